//! Requests to answers: the two source services and the control side. No network and no clock: `now` is an argument.

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::access::{Accepted, Access};
use crate::book::{Book, Row, Window};
use crate::calendar::Stamp;
use crate::fault::{Distortion, Fault, Faults};
use crate::message::{Body, NDJSON, Reply, Request, RequestLog};
use crate::pen::{Pen, push_string};
use crate::person::{Person, Unit};
use crate::population::{Make, Population};
use crate::record::{Shape, push_record};
use crate::served::Served;
use crate::truth::IdentityKey;

/// Most rows on a page.
const LIMIT_MAX: usize = 100;

/// Everything that the simulator is, apart from its network and its clock.
#[derive(Debug)]
pub(crate) struct Simulator {
    pub(crate) population: Population,
    pub(crate) book: RwLock<Book>,
    pub(crate) served: Mutex<Served>,
    pub(crate) identity_key: Option<IdentityKey>,
    pub(crate) frozen: AtomicBool,
    pub(crate) log: Mutex<RequestLog>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) requests: AtomicU64,
    pub(crate) records_served: AtomicU64,
    pub(crate) access: Access,
    gzip: bool,
    biodata_status: bool,
}

/// What the services offer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offer {
    /// Answers are compressed for clients that accept it.
    pub(crate) gzip: bool,
    /// The older service carries `STATUS_AKTIF`, which the observed one does not.
    pub(crate) biodata_status: bool,
}

/// A page's place.
#[derive(Clone, Copy, Debug)]
struct Page {
    number: u64,
    limit: usize,
}

impl Simulator {
    pub(crate) fn new(make: Make, accepted: Accepted, identity_key: Option<IdentityKey>, offer: Offer) -> Self {
        let population = Population::new(make);
        let book = RwLock::new(Book::new(&population));
        Self {
            population,
            book,
            served: Mutex::default(),
            identity_key,
            frozen: AtomicBool::new(false),
            log: Mutex::default(),
            faults: Mutex::default(),
            requests: AtomicU64::new(0),
            records_served: AtomicU64::new(0),
            access: Access::new(accepted),
            gzip: offer.gzip,
            biodata_status: offer.biodata_status,
        }
    }

    /// The answer to a request.
    pub(crate) fn answer(self: &Arc<Self>, request: &Request, now: Stamp) -> Reply {
        if request.path.starts_with("/_control/") {
            return crate::control::answer(self, request, now);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.lock().expect("nobody panics while holding it").take(request);
        let reply = match fault.as_ref().and_then(Fault::instead) {
            Some(reply) => reply,
            None => {
                let reply = self.source(request, now, fault.as_ref());
                match &fault {
                    Some(fault) => fault.spoil(reply),
                    None => reply,
                }
            }
        };
        self.log.lock().expect("nobody panics while holding it").push(request, &reply, now);
        self.compressed(request, reply)
    }

    fn source(&self, request: &Request, now: Stamp, fault: Option<&Fault>) -> Reply {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/rest/login_ws") => self.access.login(request, now),
            ("POST", "/oauth2/v1/accesstoken") => self.access.oauth2(request, now),
            ("GET", "/rest/sdmk" | "/rest/biodata" | "/rest/fasyankes") if !self.access.allows(request, now) => {
                let mut reply = Reply::source_status(401, 401, "Unauthorized");
                reply.headers.push(("WWW-Authenticate", "Bearer".to_owned()));
                reply
            }
            ("GET", "/rest/sdmk") => {
                self.modified(request, fault).unwrap_or_else(|message| Reply::source_status(400, 400, &message))
            }
            ("GET", "/rest/biodata") => self.biodata(request, fault),
            ("GET", "/rest/fasyankes") => self.fasyankes(),
            (_, "/rest/login_ws" | "/oauth2/v1/accesstoken" | "/rest/sdmk" | "/rest/biodata" | "/rest/fasyankes") => {
                Reply::source_status(405, 405, "Method Not Allowed")
            }
            _ => Reply::source_status(404, 404, "Not Found"),
        }
    }

    /// `GET /rest/sdmk`. The error says which parameter is wrong.
    fn modified(&self, request: &Request, fault: Option<&Fault>) -> Result<Reply, String> {
        let range = self.range(request)?;
        let window = Window {
            since: stamp_parameter(request, "startModifiedAt")?,
            until: stamp_parameter(request, "endModifiedAt")?,
        };
        let page = page(request)?;
        let distortion = fault.map(Fault::distortion).unwrap_or_default();
        let number = if distortion.first_page { 1 } else { page.number };
        let first = u64::try_from(page.limit).unwrap_or(1).saturating_mul(number - 1);
        let offset = usize::try_from(first.saturating_add_signed(distortion.shift_by)).unwrap_or(usize::MAX);
        let limit = if distortion.no_rows { 0 } else { page.limit };
        let (total, rows) =
            self.book.read().expect("nobody panics while holding it").select(range, window, offset, limit);
        let total = u64::try_from(total).unwrap_or(u64::MAX).saturating_add_signed(distortion.total_by);
        let mut body = Vec::with_capacity(rows.len() * 1_100 + 256);
        // Writing to a Vec cannot fail.
        let _ = write!(
            body,
            "{{\"status\":200,\"message\":\"OK\",\"totalRowCount\":{total},\"page\":{},\"limit\":{},\"data\":",
            page.number, page.limit
        );
        let count = self.push_rows(&mut body, &rows, Shape::SdmkModified, fault, |_| true);
        body.push(b'}');
        Ok(Reply { rows: count, ..Reply::json(200, body) })
    }

    /// `GET /rest/biodata`: everybody who has a job at one facility.
    fn biodata(&self, request: &Request, fault: Option<&Fault>) -> Reply {
        let Some(code) = request.parameter("kdfasyankes") else {
            return Reply::source_status(400, 400, "kdfasyankes wajib diisi");
        };
        let unit =
            Unit::read(code, &self.population.wilayah).filter(|it| it.number < self.population.units(it.regency));
        let Some(unit) = unit else {
            return Reply::source_status(200, 404, "Data tidak ditemukan");
        };
        let distortion = fault.map_or_else(Distortion::default, Fault::distortion);
        let candidates = if distortion.no_rows { Vec::new() } else { self.population.candidates(unit) };
        let rows: Vec<Row> = {
            let book = self.book.read().expect("nobody panics while holding it");
            candidates.into_iter().map(|index| book.row(index)).collect()
        };
        let mut body = b"{\"status\":200,\"message\":\"sukses\",\"data\":".to_vec();
        let works_there = |person: &Person| person.jobs.iter().any(|job| job.unit == unit);
        let count = self.push_rows(&mut body, &rows, self.biodata_shape(), fault, works_there);
        body.push(b'}');
        Reply { rows: count, ..Reply::json(200, body) }
    }

    /// The older service's shape.
    pub(crate) fn biodata_shape(&self) -> Shape {
        Shape::BiodataFacility { status: self.biodata_status }
    }

    /// Appends the array of records and takes note of what is given out. Result: how many records it holds.
    fn push_rows(
        &self,
        body: &mut Vec<u8>,
        rows: &[Row],
        shape: Shape,
        fault: Option<&Fault>,
        wanted: impl Fn(&Person) -> bool,
    ) -> u64 {
        let arrives = fault.is_none_or(Fault::rows_arrive);
        let mut noted = Vec::new();
        let mut count = 0;
        body.push(b'[');
        for row in rows {
            let person = self.population.person(row.index, row.revision, row.stamp);
            if !wanted(&person) {
                continue;
            }
            if count > 0 {
                body.push(b',');
            }
            count += 1;
            push_record(body, &person, &self.population.wilayah, &self.population.make, shape);
            if arrives && Served::wants(&self.population, &person, shape) {
                noted.push(person);
            }
        }
        body.push(b']');
        if !noted.is_empty() {
            let mut served = self.served.lock().expect("nobody panics while holding it");
            for person in &noted {
                served.note(person, shape);
            }
        }
        if arrives {
            self.records_served.fetch_add(count, Ordering::Relaxed);
        }
        count
    }

    fn range(&self, request: &Request) -> Result<Range<u32>, String> {
        let wilayah = &self.population.wilayah;
        match (request.parameter("kdprov"), request.parameter("kdkab")) {
            (Some(code), None) => wilayah
                .province(code)
                .map(|at| self.population.of_province(at))
                .ok_or_else(|| "kdprov tidak dikenal".to_owned()),
            (None, Some(code)) => wilayah
                .regency(code)
                .map(|at| self.population.of_regency(at))
                .ok_or_else(|| "kdkab tidak dikenal".to_owned()),
            (None, None) => Err("kdprov atau kdkab wajib diisi".to_owned()),
            (Some(_), Some(_)) => Err("kdprov dan kdkab tidak boleh bersamaan".to_owned()),
        }
    }

    fn compressed(&self, request: &Request, mut reply: Reply) -> Reply {
        let encoded = reply.headers.iter().any(|(name, _)| *name == "Content-Encoding");
        if self.gzip
            && request.accepts_gzip()
            && !encoded
            && let Body::Whole(body) = &mut reply.body
        {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
            // Writing to a Vec cannot fail.
            let _ = encoder.write_all(body);
            *body = encoder.finish().unwrap_or_default();
            reply.headers.push(("Content-Encoding", "gzip".to_owned()));
        }
        reply
    }

    /// Workers change by themselves, unless the data is frozen.
    pub(crate) fn change_by_itself(&self, count: u64, now: Stamp) {
        if count > 0 && !self.frozen.load(Ordering::Acquire) {
            self.change(count, now);
        }
    }

    /// `count` workers change now. Result: how many did.
    pub(crate) fn change(&self, count: u64, now: Stamp) -> u64 {
        self.book.write().expect("nobody panics while holding it").change(&self.population, count, now)
    }

    /// Calls `tell` with the code of every facility.
    fn each_facility(&self, mut tell: impl FnMut(&str)) {
        let mut code = String::new();
        for regency in 0..self.population.wilayah.regencies.len() {
            for number in 0..self.population.units(regency) {
                code.clear();
                Unit { regency, number }.push_code(&mut code, &self.population.wilayah);
                tell(&code);
            }
        }
    }

    /// `GET /rest/fasyankes`: every facility.
    fn fasyankes(&self) -> Reply {
        let mut body = b"{\"status\":200,\"message\":\"sukses\",\"data\":[".to_vec();
        let mut count: u64 = 0;
        self.each_facility(|code| {
            if count > 0 {
                body.push(b',');
            }
            count += 1;
            let mut pen = Pen::new(&mut body);
            pen.open(b'{');
            pen.text("KODE", Some(code));
            pen.close(b'}');
        });
        body.extend_from_slice(b"]}");
        Reply { rows: count, ..Reply::json(200, body) }
    }

    /// Every facility, one JSON text a line.
    pub(crate) fn facilities(&self) -> Reply {
        let mut body = Vec::new();
        self.each_facility(|code| {
            push_string(&mut body, code);
            body.push(b'\n');
        });
        Reply { content_type: NDJSON, ..Reply::json(200, body) }
    }

    /// `GET /_control/summary`.
    pub(crate) fn summary(&self, now: Stamp) -> Reply {
        let workers = u64::from(self.population.make.workers);
        let (bad, changes) = {
            let book = self.book.read().expect("nobody panics while holding it");
            (book.bad(), book.changes())
        };
        let mut body = Vec::new();
        let mut pen = Pen::new(&mut body);
        pen.open(b'{');
        pen.raw("workers", &workers.to_string());
        pen.raw("good", &(workers - bad).to_string());
        pen.raw("bad", &bad.to_string());
        pen.raw("changes", &changes.to_string());
        pen.raw("frozen", if self.frozen.load(Ordering::Acquire) { "true" } else { "false" });
        pen.raw("requests", &self.requests.load(Ordering::Relaxed).to_string());
        pen.raw("records_served", &self.records_served.load(Ordering::Relaxed).to_string());
        pen.text("now", Some(&now.to_string()));
        pen.close(b'}');
        Reply::json(200, body)
    }
}

fn stamp_parameter(request: &Request, name: &str) -> Result<Option<Stamp>, String> {
    match request.parameter(name) {
        None => Ok(None),
        Some(text) => Stamp::parse(text).map(Some).ok_or_else(|| format!("{name} bukan waktu RFC 3339")),
    }
}

fn page(request: &Request) -> Result<Page, String> {
    let number = |name: &str, usual: u64| match request.parameter(name) {
        None => Ok(usual),
        Some(text) => {
            text.parse::<u64>().ok().filter(|it| *it > 0).ok_or_else(|| format!("{name} harus bilangan mulai 1"))
        }
    };
    let limit = usize::try_from(number("limit", 100)?).unwrap_or(usize::MAX);
    if limit > LIMIT_MAX {
        return Err(format!("limit paling banyak {LIMIT_MAX}"));
    }
    Ok(Page { number: number("page", 1)?, limit })
}
