//! Faults on demand: what a real source does on a bad night, switched on by `POST /_control/faults`.

use std::time::Duration;

use serde::Deserialize;

use crate::message::{Body, Delivery, Reply, Request};

/// A fault as it is posted. Every kind uses some of the settings; see `simulator/README.md`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    #[serde(rename = "match", default)]
    on: Match,
    /// How many requests it hits.
    #[serde(default = "once")]
    times: u64,
    /// How many matching requests pass before it begins.
    #[serde(default)]
    skip: u64,
    status: Option<u16>,
    message: Option<String>,
    retry_after: Option<String>,
    after_bytes: Option<usize>,
    delay_ms: Option<u64>,
    trickle_ms: Option<u64>,
    by: Option<i64>,
    from: Option<String>,
    to: Option<String>,
    seconds: Option<i64>,
    bytes: Option<usize>,
}

fn once() -> u64 {
    1
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Status,
    Timeout,
    Reset,
    CutBody,
    TruncatedJson,
    Html,
    #[serde(rename = "error_in_200")]
    ErrorIn200,
    Slow,
    WrongTotal,
    EmptyPage,
    RepeatPage,
    Shift,
    GzipGarbage,
    RenameField,
    DateShift,
    Padding,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    region: Option<String>,
    page: Option<u64>,
    path: Option<String>,
}

/// The faults that are switched on.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

/// How a fault changes which rows an answer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distortion {
    pub(crate) total_by: i64,
    pub(crate) no_rows: bool,
    pub(crate) first_page: bool,
    pub(crate) shift_by: i64,
}

impl Faults {
    /// Reads a JSON array of faults. The error says what is wrong with it.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let faults: Vec<Fault> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        for fault in &faults {
            if fault.kind == Kind::RenameField && (fault.from.is_none() || fault.to.is_none()) {
                return Err("rename_field needs `from` and `to`".to_owned());
            }
            if fault.times == 0 {
                return Err("`times` must be at least 1".to_owned());
            }
        }
        Ok(Self(faults))
    }

    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The fault that hits this request, if one does; it is used up by that.
    pub(crate) fn take(&mut self, request: &Request) -> Option<Fault> {
        let at = self.0.iter_mut().position(|fault| {
            if !fault.on.fits(request) {
                return false;
            }
            let passes = fault.skip > 0;
            fault.skip = fault.skip.saturating_sub(1);
            !passes
        })?;
        let fault = self.0[at].clone();
        self.0[at].times -= 1;
        if self.0[at].times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }
}

impl Match {
    fn fits(&self, request: &Request) -> bool {
        let region = ["kdprov", "kdkab", "kdfasyankes"].into_iter().find_map(|name| request.parameter(name));
        let same_region = |wanted: &String| region.is_some_and(|it| it.replace('.', "") == wanted.replace('.', ""));
        let page = request.parameter("page").and_then(|it| it.parse::<u64>().ok());
        self.region.as_ref().is_none_or(same_region)
            && self.page.is_none_or(|wanted| page == Some(wanted))
            && self.path.as_ref().is_none_or(|wanted| *wanted == request.path)
    }
}

impl Fault {
    /// The answer that comes instead of the real one, if the fault is of that sort.
    pub(crate) fn instead(&self) -> Option<Reply> {
        let message = |usual: &str| self.message.clone().unwrap_or_else(|| usual.to_owned());
        match self.kind {
            Kind::Status => {
                let status = self.status.unwrap_or(503);
                let mut reply = Reply::source_status(status, status, &message("Layanan tidak tersedia"));
                if let Some(after) = &self.retry_after {
                    reply.headers.push(("Retry-After", after.clone()));
                }
                Some(reply)
            }
            Kind::ErrorIn200 => {
                Some(Reply::source_status(200, self.status.unwrap_or(500), &message("Terjadi kesalahan pada server")))
            }
            Kind::Html => {
                let page =
                    b"<!DOCTYPE html><html><head><title>Pemeliharaan</title></head><body><h1>Sistem sedang dalam \
                    pemeliharaan</h1></body></html>";
                Some(Reply {
                    content_type: "text/html; charset=utf-8",
                    ..Reply::json(self.status.unwrap_or(200), page.to_vec())
                })
            }
            Kind::GzipGarbage => {
                let mut reply = Reply::json(200, b"\x1f\x8b\x08\x00ini bukan gzip".to_vec());
                reply.headers.push(("Content-Encoding", "gzip".to_owned()));
                Some(reply)
            }
            Kind::Reset => Some(Reply { delivery: Delivery::Reset, ..Reply::json(200, Vec::new()) }),
            Kind::Timeout => {
                let for_at_most = Duration::from_millis(self.delay_ms.unwrap_or(600_000));
                Some(Reply { delivery: Delivery::Hold { for_at_most }, ..Reply::json(200, Vec::new()) })
            }
            Kind::CutBody
            | Kind::TruncatedJson
            | Kind::Slow
            | Kind::WrongTotal
            | Kind::EmptyPage
            | Kind::RepeatPage
            | Kind::Shift
            | Kind::RenameField
            | Kind::DateShift
            | Kind::Padding => None,
        }
    }

    /// How the rows of the real answer are chosen wrongly.
    pub(crate) fn distortion(&self) -> Distortion {
        let mut distortion = Distortion::default();
        match self.kind {
            Kind::WrongTotal => distortion.total_by = self.by.unwrap_or(7),
            Kind::EmptyPage => distortion.no_rows = true,
            Kind::RepeatPage => distortion.first_page = true,
            Kind::Shift => distortion.shift_by = self.by.unwrap_or(1),
            _ => {}
        }
        distortion
    }

    /// Whether the rows of a spoiled answer can still be read by the client.
    pub(crate) fn rows_arrive(&self) -> bool {
        matches!(
            self.kind,
            Kind::Slow | Kind::WrongTotal | Kind::RepeatPage | Kind::Shift | Kind::DateShift | Kind::Padding
        )
    }

    /// Spoils the real answer.
    pub(crate) fn spoil(&self, mut reply: Reply) -> Reply {
        let Body::Whole(body) = &mut reply.body else { return reply };
        match self.kind {
            Kind::CutBody => {
                let after = self.after_bytes.unwrap_or(body.len() / 2).min(body.len());
                reply.delivery = Delivery::Cut { after };
            }
            Kind::TruncatedJson => {
                let length = self.after_bytes.unwrap_or(body.len() / 2);
                body.truncate(length);
            }
            Kind::Slow => {
                reply.delivery = Delivery::Slow {
                    delay: Duration::from_millis(self.delay_ms.unwrap_or(2_000)),
                    trickle: Duration::from_millis(self.trickle_ms.unwrap_or(0)),
                };
            }
            Kind::RenameField => {
                let (from, to) = (self.from.as_deref().unwrap_or(""), self.to.as_deref().unwrap_or(""));
                *body = renamed(body, from, to);
            }
            Kind::Padding => {
                let mut padded = vec![b' '; self.bytes.unwrap_or(64 << 20)];
                padded.append(body);
                *body = padded;
            }
            Kind::DateShift => reply.date_shift_seconds = self.seconds.unwrap_or(600),
            _ => {}
        }
        reply
    }
}

/// `body` with every key `from` called `to`.
fn renamed(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (old, new) = (format!("\"{from}\":"), format!("\"{to}\":"));
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(old.as_bytes()) {
            out.extend_from_slice(new.as_bytes());
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Faults {
        Faults::read(text.as_bytes()).expect("readable")
    }

    #[test]
    fn a_fault_hits_what_it_matches_and_only_so_often() {
        let mut faults = faults(
            r#"[{"kind":"status","status":429,"retry_after":"3","match":{"region":"32.73","page":2},"times":2,"skip":1}]"#,
        );
        let hit = Request::new("GET", "/rest/sdmk?kdkab=3273&page=2&limit=100");
        assert!(faults.take(&Request::new("GET", "/rest/sdmk?kdkab=3273&page=1")).is_none());
        assert!(faults.take(&Request::new("GET", "/rest/sdmk?kdprov=32&page=2")).is_none());
        let hits: Vec<bool> = (0..4).map(|_| faults.take(&hit).is_some()).collect();
        assert_eq!(hits, [false, true, true, false]);
        assert_eq!(faults.len(), 0);
    }

    #[test]
    fn what_is_not_a_fault_is_refused() {
        for text in ["{}", r#"[{"kind":"flood"}]"#, r#"[{"kind":"slow","speed":1}]"#, r#"[{"kind":"rename_field"}]"#] {
            assert!(Faults::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_is_renamed_wherever_it_is_a_key() {
        let body = br#"{"data":[{"NIK":"data"}]}"#;
        assert_eq!(renamed(body, "data", "rows"), br#"{"rows":[{"NIK":"data"}]}"#);
    }
}
