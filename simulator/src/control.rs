//! The control side, `/_control`: what tests and demonstrations ask of the simulator itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest, Sha256};

use crate::calendar::Stamp;
use crate::fault::Faults;
use crate::message::{Reply, Request};
use crate::pen::Pen;
use crate::record::{Shape, push_record};
use crate::served::BadRecord;
use crate::service::Simulator;
use crate::truth::TruthWriter;

/// Workers, bad records or log lines per piece of a stream.
const PIECE: usize = 500;

pub(crate) fn answer(simulator: &Arc<Simulator>, request: &Request, now: Stamp) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/_control/summary") => simulator.summary(now),
        ("POST", "/_control/freeze") => freeze(simulator, true, now),
        ("POST", "/_control/thaw") => freeze(simulator, false, now),
        ("POST", "/_control/change") => change(simulator, request, now),
        ("GET", "/_control/truth/persons") => with_shape(simulator, request, persons),
        ("GET", "/_control/truth/dead-letters") => with_shape(simulator, request, dead_letters),
        ("POST", "/_control/faults") => faults(simulator, request),
        ("GET", "/_control/requests") => requests(simulator),
        ("GET", "/_control/facilities") => simulator.facilities(),
        ("POST", "/_control/tokens/revoke") => {
            number("revoked", u64::try_from(simulator.access.revoke_all()).unwrap_or(u64::MAX))
        }
        _ => Reply::control_error(404, "not_found", "there is no such endpoint for this method", None),
    }
}

fn freeze(simulator: &Simulator, frozen: bool, now: Stamp) -> Reply {
    simulator.frozen.store(frozen, Ordering::Release);
    simulator.summary(now)
}

fn change(simulator: &Simulator, request: &Request, now: Stamp) -> Reply {
    let most = u64::from(simulator.population.make.workers);
    let count = request.parameter("count").and_then(|it| it.parse::<u64>().ok()).filter(|it| *it <= most);
    match count {
        Some(count) => number("changed", simulator.change(count, now)),
        None => Reply::control_error(
            400,
            "invalid_count",
            "count must be a number up to the number of workers",
            Some("count"),
        ),
    }
}

fn faults(simulator: &Simulator, request: &Request) -> Reply {
    match Faults::read(&request.body) {
        Ok(read) => {
            let mut faults = simulator.faults.lock().expect("nobody panics while holding it");
            *faults = read;
            number("faults", u64::try_from(faults.len()).unwrap_or(u64::MAX))
        }
        Err(message) => Reply::control_error(400, "invalid_faults", &message, None),
    }
}

fn number(key: &str, value: u64) -> Reply {
    let mut body = Vec::new();
    let mut pen = Pen::new(&mut body);
    pen.open(b'{');
    pen.raw(key, &value.to_string());
    pen.close(b'}');
    Reply::json(200, body)
}

fn requests(simulator: &Arc<Simulator>) -> Reply {
    let simulator = Arc::clone(simulator);
    let mut next = 0;
    let end = simulator.log.lock().expect("nobody panics while holding it").end();
    Reply::stream(std::iter::from_fn(move || {
        let (text, after) = simulator.log.lock().expect("nobody panics while holding it").lines(next, end, PIECE);
        next = after;
        (!text.is_empty()).then_some(text)
    }))
}

/// `shape=sdmk-modified` (default) or `shape=biodata-facility`: as whose records the truth is told.
fn with_shape(simulator: &Arc<Simulator>, request: &Request, tell: fn(&Arc<Simulator>, Shape) -> Reply) -> Reply {
    match request.parameter("shape") {
        None | Some("sdmk-modified") => tell(simulator, Shape::SdmkModified),
        Some("biodata-facility") => tell(simulator, simulator.biodata_shape()),
        Some(_) => Reply::control_error(400, "invalid_shape", "sdmk-modified or biodata-facility", Some("shape")),
    }
}

/// The truth of everybody, by NIK. Only numbers are sorted; people are made while they are sent.
fn persons(simulator: &Arc<Simulator>, shape: Shape) -> Reply {
    let simulator = Arc::clone(simulator);
    let mut order: Vec<(u64, u32)> =
        (0..simulator.population.make.workers).map(|index| (simulator.population.nik_number(index), index)).collect();
    order.sort_unstable();
    let mut next = 0;
    Reply::stream(std::iter::from_fn(move || {
        let piece = order.get(next..(next + PIECE).min(order.len())).filter(|it| !it.is_empty())?;
        next += piece.len();
        Some(truth_of(&simulator, piece, shape))
    }))
}

fn truth_of(simulator: &Simulator, piece: &[(u64, u32)], shape: Shape) -> Vec<u8> {
    let mut text = Vec::with_capacity(piece.len() * 1_500);
    let mut writer = TruthWriter::new(&simulator.population, simulator.identity_key.as_ref(), shape);
    for (_, index) in piece {
        let row = simulator.book.read().expect("nobody panics while holding it").row(*index);
        let mut person = simulator.population.person(row.index, row.revision, row.stamp);
        if shape.is_bad(&person) {
            // A refused record changes nothing: what was last good and given out still stands.
            let last = simulator.served.lock().expect("nobody panics while holding it").last_good(*index, shape);
            let Some(row) = last else { continue };
            person = simulator.population.person(row.index, row.revision, row.stamp);
        }
        // The older service knows people by their facility only.
        if shape == Shape::SdmkModified || person.jobs.len() > 0 {
            writer.push(&mut text, &person);
        }
    }
    text
}

fn dead_letters(simulator: &Arc<Simulator>, shape: Shape) -> Reply {
    let simulator = Arc::clone(simulator);
    let mut last: Option<BadRecord> = None;
    Reply::stream(std::iter::from_fn(move || {
        let piece = simulator.served.lock().expect("nobody panics while holding it").bad_after(last, PIECE);
        last = Some(piece.last()?.0);
        Some(letters_of(&simulator, &piece, shape))
    }))
}

fn letters_of(simulator: &Simulator, piece: &[(BadRecord, Stamp)], shape: Shape) -> Vec<u8> {
    let mut text = Vec::with_capacity(piece.len() * 160);
    let mut record = Vec::new();
    for (bad, stamp) in piece.iter().filter(|(bad, _)| bad.biodata == (shape != Shape::SdmkModified)) {
        let person = simulator.population.person(bad.index, bad.revision, *stamp);
        record.clear();
        push_record(&mut record, &person, &simulator.population.wilayah, &simulator.population.make, shape);
        let digest: String = Sha256::digest(&record).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut pen = Pen::new(&mut text);
        pen.open(b'{');
        pen.text("sha256", Some(&digest));
        pen.open_at("codes", b'[');
        for code in shape.codes(&person) {
            pen.element(code);
        }
        pen.close(b']');
        pen.raw("worker", &bad.index.to_string());
        pen.raw("revision", &bad.revision.to_string());
        pen.close(b'}');
        text.push(b'\n');
    }
    text
}
