//! `sisdmk source probe`: one request, and its answer held against the profile. Names and kinds, never a value.

use platform::exit::Failure;
use platform::settings::Settings;
use producer::probe::{self, Place, Probed};
use serde_json::{Value, json};

use crate::command::ProbeArgs;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::shape::{self, Shape};
use crate::table::{Side, Table, pairs};
use crate::verbs::validate;
use crate::words::counted;

/// Asks the source once.
pub(crate) async fn probe(settings: &Settings, args: &ProbeArgs) -> Outcome {
    let (_, layout) = validate::profile(settings)?;
    let place = match (&args.region, &args.facility) {
        (Some(region), _) => Place::Region(region.clone()),
        (None, Some(facility)) => Place::Facility(facility.clone()),
        (None, None) => Place::First,
    };
    let probed = probe::probe(settings, &place).await?;
    let rows = probed.records().count();
    let shape = shape::shape(probed.records(), &layout);
    let (result, text) = (result(&probed, rows, &shape), text(&probed, rows, &shape));
    let page = match &probed.page {
        Ok(page) => page,
        Err(fault) => {
            let (code, message, hint) = explained(fault.code, &probed);
            let failure = Failure::environment(message).hint(hint);
            return Err(Refusal::new(code, failure).with(result, text));
        }
    };
    let mandatory: Vec<&str> =
        shape.missing().filter(|missing| missing.is_mandatory).map(|missing| missing.field.as_str()).collect();
    if !mandatory.is_empty() {
        let failure = Failure::environment(format!("the source does not deliver {}", mandatory.join(", ")))
            .hint("without it every record is refused; correct the name in a copy of the profile");
        return Err(Refusal::new("source_differs", failure).with(result, text));
    }
    let total = page.total.map_or_else(String::new, |total| format!(" of {total}"));
    let summary = format!(
        "the source answers: {}{total}, {} missing, {} unknown",
        counted(rows, "record", "records"),
        counted(shape.missing().count(), "declared field is", "declared fields are"),
        counted(shape.unknown.len(), "name is", "names are"),
    );
    Ok(Answer::new(summary, result).text(text))
}

/// Code, sentence and hint for an answer that is no page.
fn explained(code: &str, probed: &Probed) -> (&'static str, String, &'static str) {
    let request = probed.request_id;
    let refused = matches!(
        code,
        "http_401" | "http_403" | "in_body_auth" | "login_refused" | "login_no_token" | "token_unusable"
    );
    if refused {
        let hint = "check the secret's file; do not repeat this often, sources lock accounts";
        return (
            "source_refused",
            format!("the source refuses our token or credentials ({code}, request {request})"),
            hint,
        );
    }
    if matches!(code, "http_redirect" | "login_http_redirect") {
        let hint = "give the address that it is sent to as source.base_url; a redirect is never followed, it would take the token along";
        return (
            "source_unreachable",
            format!("the source sends us to another address ({code}, request {request})"),
            hint,
        );
    }
    let shape = matches!(probed.page, Err(fault) if fault.kind == probe::FaultKind::Format);
    if shape {
        let hint = "hold [answer] and [paging] of the profile against what came; docs/profiles.md explains each key";
        return ("source_differs", format!("the answer is not the declared shape ({code}, request {request})"), hint);
    }
    let hint = "check source.base_url and the way to it; `sisdmk doctor` probes the links";
    ("source_unreachable", format!("there is no good answer ({code}, request {request})"), hint)
}

fn kinds(kinds: &std::collections::BTreeSet<&'static str>) -> String {
    kinds.iter().copied().collect::<Vec<_>>().join(", ")
}

fn result(probed: &Probed, rows: usize, shape: &Shape) -> Value {
    let page = probed.page.as_ref().ok();
    let fields = shape.declared.iter().map(|declared| {
        json!({
            "field": declared.field, "source": declared.name, "found": declared.found, "of": declared.of,
            "kinds": declared.kinds, "mandatory": declared.is_mandatory,
        })
    });
    let unknown = shape.unknown.iter().map(|unknown| {
        json!({ "section": unknown.section, "name": unknown.name, "found": unknown.found, "kinds": unknown.kinds })
    });
    json!({
        "source": probed.source,
        "place": probed.place,
        "request_id": probed.request_id.to_string(),
        "code": probed.code,
        "http_status": probed.http_status,
        "logged_in": probed.logged_in,
        "took_ms": u64::try_from(probed.took.as_millis()).unwrap_or(u64::MAX),
        "bytes": probed.body().len(),
        "rows": page.map(|_| rows),
        "total": page.and_then(|page| page.total),
        "more": page.map(|page| page.next.is_some() || page.total.is_some_and(|total| total > u64::try_from(rows).unwrap_or(u64::MAX))),
        "unreadable": shape.unreadable,
        "fields": fields.collect::<Vec<_>>(),
        "missing": shape.missing().map(|missing| missing.field.clone()).collect::<Vec<_>>(),
        "unknown": unknown.collect::<Vec<_>>(),
    })
}

fn text(probed: &Probed, rows: usize, shape: &Shape) -> String {
    let mut lines = vec![("source", probed.source.clone()), ("asked for", probed.place.clone())];
    if let Some(logged_in) = probed.logged_in {
        lines.push(("login", if logged_in { "brought a token" } else { "brought none" }.to_owned()));
    }
    let status = probed.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    lines.push((
        "answer",
        format!("{status}, {}, {} ms", counted(probed.body().len(), "byte", "bytes"), probed.took.as_millis()),
    ));
    lines.push(("request id", probed.request_id.to_string()));
    if let Ok(page) = &probed.page {
        let total = page.total.map_or_else(|| "the source tells no total".to_owned(), |total| format!("total {total}"));
        lines.push(("records", format!("{rows}, {total}")));
    }
    let mut text = pairs(lines);
    if rows > 0 {
        let mut table = Table::new(&[
            ("our field", Side::Left),
            ("the source's name", Side::Left),
            ("found", Side::Right),
            ("kinds", Side::Left),
        ]);
        for declared in &shape.declared {
            let found = match (declared.found, declared.of) {
                (_, 0) => "-".to_owned(),
                (0, _) => "missing".to_owned(),
                (found, of) => format!("{found}/{of}"),
            };
            table.row([declared.field.clone(), declared.name.clone(), found, kinds(&declared.kinds)]);
        }
        for unknown in &shape.unknown {
            let section = format!("({})", unknown.section);
            table.row([section, unknown.name.clone(), format!("unknown, {}", unknown.found), kinds(&unknown.kinds)]);
        }
        text.push('\n');
        text.push_str(&table.render());
        text.push('\n');
    }
    text
}
