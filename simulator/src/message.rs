//! A request and its answer, without the network.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use crate::calendar::Stamp;
use crate::pen::Pen;

/// One HTTP request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Decoded.
    pub(crate) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The request for `target`, a path with its query as it stands in the request line.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { method: method.to_owned(), path: path.to_owned(), query: read_form(query), ..Self::default() }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A field of the form in the body, or else of the query: clients do both.
    pub(crate) fn form_field(&self, name: &str) -> Option<String> {
        let form = read_form(std::str::from_utf8(&self.body).unwrap_or(""));
        let found = form.into_iter().find(|(key, _)| key == name).map(|(_, value)| value);
        found.or_else(|| self.parameter(name).map(str::to_owned))
    }

    pub(crate) fn accepts_gzip(&self) -> bool {
        self.header("accept-encoding").is_some_and(|it| it.split(',').any(|one| one.trim().starts_with("gzip")))
    }

    /// The query for the log, with secrets masked.
    fn masked_query(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.query {
            let secret = matches!(
                key.as_str(),
                "token" | "access_token" | "username" | "password" | "client_id" | "client_secret"
            );
            let separator = if text.is_empty() { "" } else { "&" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{key}={}", if secret { "***" } else { value });
        }
        text
    }
}

/// Reads `a=1&b=%20+`: percent escapes, and a plus for a blank.
pub(crate) fn read_form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match (first, escaped) {
            (_, Some((high, low))) => {
                bytes.push(high * 16 + low);
                rest = &after[2..];
            }
            (b'+', None) => bytes.push(b' '),
            (other, None) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What an answer carries.
pub(crate) enum Body {
    Whole(Vec<u8>),
    /// Made piece by piece while it is sent.
    Pieces(Box<dyn Iterator<Item = Vec<u8>> + Send>),
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Delivery {
    #[default]
    Normal,
    /// Waits before the first byte, then spreads the body over a time.
    Slow { delay: Duration, trickle: Duration },
    /// Announces the whole body, sends this many bytes of it and closes.
    Cut { after: usize },
    /// Resets the connection without an answer.
    Reset,
    /// Holds the connection and then closes it without an answer.
    Hold { for_at_most: Duration },
}

/// One HTTP answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
    pub(crate) delivery: Delivery,
    /// Added to the time in the `Date` header.
    pub(crate) date_shift_seconds: i64,
    /// Records in the body.
    pub(crate) rows: u64,
}

/// JSON.
pub(crate) const JSON: &str = "application/json";
/// One JSON value a line.
pub(crate) const NDJSON: &str = "application/x-ndjson";

impl Reply {
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: JSON,
            headers: Vec::new(),
            body: Body::Whole(body),
            delivery: Delivery::Normal,
            date_shift_seconds: 0,
            rows: 0,
        }
    }

    /// A source's answer without data: its own status and a message.
    pub(crate) fn source_status(status: u16, in_body: u16, message: &str) -> Self {
        let mut body = Vec::new();
        let mut pen = Pen::new(&mut body);
        pen.open(b'{');
        pen.raw("status", &in_body.to_string());
        pen.text("message", Some(message));
        pen.raw("data", "[]");
        pen.close(b'}');
        Self::json(status, body)
    }

    /// The control side's error.
    pub(crate) fn control_error(status: u16, code: &str, message: &str, field: Option<&str>) -> Self {
        let mut body = Vec::new();
        let mut pen = Pen::new(&mut body);
        pen.open(b'{');
        pen.open_at("error", b'{');
        pen.text("code", Some(code));
        pen.text("message", Some(message));
        pen.text("field", field);
        pen.close(b'}');
        pen.close(b'}');
        Self::json(status, body)
    }

    pub(crate) fn stream(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self { content_type: NDJSON, body: Body::Pieces(Box::new(pieces)), ..Self::json(200, Vec::new()) }
    }
}

/// The last requests of the source side.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    lines: VecDeque<Box<[u8]>>,
    dropped: u64,
}

const LOG_LINES_MAX: usize = 1_000_000;

impl RequestLog {
    /// Takes note of a request and what was answered. `status` 0: nothing was.
    pub(crate) fn push(&mut self, request: &Request, reply: &Reply, now: Stamp) {
        let status = match reply.delivery {
            Delivery::Reset | Delivery::Hold { .. } => 0,
            Delivery::Normal | Delivery::Slow { .. } | Delivery::Cut { .. } => reply.status,
        };
        let mut line = Vec::with_capacity(256);
        let mut pen = Pen::new(&mut line);
        pen.open(b'{');
        pen.text("at", Some(&now.to_string()));
        pen.text("method", Some(&request.method));
        pen.text("path", Some(&request.path));
        pen.text("query", Some(&request.masked_query()));
        pen.raw("status", &status.to_string());
        pen.text("x_request_id", request.header("x-request-id"));
        pen.text("traceparent", request.header("traceparent"));
        pen.raw("rows", &reply.rows.to_string());
        pen.close(b'}');
        line.push(b'\n');
        if self.lines.len() == LOG_LINES_MAX {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line.into_boxed_slice());
    }

    /// The number of the next line, counted from the first request on.
    pub(crate) fn end(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }

    /// Lines from number `from` to before `to`, at most `count`, and the number of the line after them.
    pub(crate) fn lines(&self, from: u64, to: u64, count: usize) -> (Vec<u8>, u64) {
        let from = from.max(self.dropped);
        let skip = usize::try_from(from - self.dropped).unwrap_or(usize::MAX);
        let most = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX).min(count);
        let mut text = Vec::new();
        let mut next = from;
        for line in self.lines.iter().skip(skip).take(most) {
            text.extend_from_slice(line);
            next += 1;
        }
        (text, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let request = Request::new(
            "GET",
            "/rest/sdmk?kdprov=32&startModifiedAt=2026-11-20T08%3A15%3A30%2B07%3A00&x=a+b&y=%zz&token=t",
        );
        assert_eq!(request.path, "/rest/sdmk");
        assert_eq!(request.parameter("startModifiedAt"), Some("2026-11-20T08:15:30+07:00"));
        assert_eq!(request.parameter("x"), Some("a b"));
        assert_eq!(request.parameter("y"), Some("%zz"));
        assert!(!request.masked_query().contains("token=t"));
        assert!(request.masked_query().ends_with("token=***"));
    }

    #[test]
    fn the_log_gives_out_what_is_new() {
        let mut log = RequestLog::default();
        let reply = Reply::json(200, Vec::new());
        for page in 0..5 {
            log.push(&Request::new("GET", &format!("/rest/sdmk?page={page}")), &reply, Stamp(0));
        }
        let (text, next) = log.lines(3, log.end(), 10);
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(next, 5);
    }
}
