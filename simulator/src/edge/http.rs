//! A small HTTP/1.1 server.
//!
//! Written by hand because its faults are faults of the wire: a body that ends early, a reset instead of an answer.
//! A server library is built to prevent exactly those. It speaks what our clients speak: requests with a
//! `Content-Length`, connections that stay open, bodies in chunks where the length is not known.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::calendar::{SECOND, Stamp, http_date};
use crate::edge::clock;
use crate::message::{Body, Delivery, Reply, Request};
use crate::service::Simulator;

const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
const CONNECTIONS_MAX: usize = 1_024;
/// Pieces into which a slow body is cut.
const TRICKLE_PIECES: usize = 20;
const CHANGE_TICK: Duration = Duration::from_millis(20);

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, simulator: Arc<Simulator>) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.context("failed to wait for a free connection")?;
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => return Err(error).context("failed to accept a connection"),
        };
        let simulator = Arc::clone(&simulator);
        tokio::spawn(async move {
            // A client that goes away is its own business: tests cut connections on purpose.
            let _ = converse(stream, &simulator).await;
            drop(place);
        });
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Lets workers change by themselves, `rate` millionths of a change in a second.
pub(crate) async fn change_by_itself(simulator: Arc<Simulator>, rate: u64) {
    let mut tick = tokio::time::interval(CHANGE_TICK);
    let mut last = clock::now();
    let mut owed: u64 = 0;
    loop {
        tick.tick().await;
        let now = clock::now();
        // In millionths of a millionth of a change, so that no fraction is lost between ticks.
        owed = owed.saturating_add(rate.saturating_mul((now.0 - last.0).max(0).unsigned_abs()));
        last = now;
        let one = 1_000_000 * SECOND.unsigned_abs();
        simulator.change_by_itself(owed / one, now);
        owed %= one;
    }
}

/// Why a conversation ends.
enum End {
    Closed,
    Refused(&'static str),
}

async fn converse(mut stream: TcpStream, simulator: &Arc<Simulator>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Vec::with_capacity(4 << 10);
    loop {
        let request = match read_request(&mut stream, &mut inbox).await? {
            Ok(request) => request,
            Err(End::Closed) => return Ok(()),
            Err(End::Refused(why)) => {
                let reply = Reply::control_error(400, "bad_request", why, None);
                return send(&mut stream, &Request::default(), reply, clock::now(), false).await;
            }
        };
        let now = clock::now();
        let reply = simulator.answer(&request, now);
        let stays_open = !request.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        match reply.delivery {
            Delivery::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
            Delivery::Hold { for_at_most } => {
                let mut rest = [0; 1];
                // Ends when the client gives up, whichever comes first.
                let _ = tokio::time::timeout(for_at_most, stream.read(&mut rest)).await;
                return Ok(());
            }
            Delivery::Cut { .. } => return send(&mut stream, &request, reply, now, false).await,
            Delivery::Normal | Delivery::Slow { .. } => send(&mut stream, &request, reply, now, stays_open).await?,
        }
        if !stays_open {
            return Ok(());
        }
    }
}

/// Reads one request; what follows it stays in `inbox`.
async fn read_request(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> std::io::Result<Result<Request, End>> {
    let head_bytes = loop {
        if let Some(at) = find(inbox, b"\r\n\r\n") {
            break at + 4;
        }
        if inbox.len() > HEAD_BYTES_MAX {
            return Ok(Err(End::Refused("the head is too large")));
        }
        if stream.read_buf(inbox).await? == 0 {
            return Ok(Err(End::Closed));
        }
    };
    let Some(mut request) = read_head(&inbox[..head_bytes]) else {
        return Ok(Err(End::Refused("the head cannot be read")));
    };
    if request.header("transfer-encoding").is_some() {
        return Ok(Err(End::Refused("a body needs a Content-Length")));
    }
    let body_bytes = match request.header("content-length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(bytes)) if bytes <= BODY_BYTES_MAX => bytes,
        Some(_) => return Ok(Err(End::Refused("the Content-Length is not a number or too large"))),
    };
    if request.header("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while inbox.len() < head_bytes + body_bytes {
        if stream.read_buf(inbox).await? == 0 {
            return Ok(Err(End::Closed));
        }
    }
    request.body = inbox[head_bytes..head_bytes + body_bytes].to_vec();
    inbox.drain(..head_bytes + body_bytes);
    Ok(Ok(request))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn read_head(head: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return None;
    }
    let mut request = Request::new(method, target);
    for line in lines.filter(|it| !it.is_empty()) {
        let (name, value) = line.split_once(':')?;
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(request)
}

async fn send(
    stream: &mut TcpStream,
    request: &Request,
    reply: Reply,
    now: Stamp,
    stays_open: bool,
) -> std::io::Result<()> {
    let head = head(request, &reply, now, stays_open);
    let body = match reply.body {
        Body::Whole(body) => body,
        Body::Pieces(pieces) => return send_pieces(stream, head, pieces).await,
    };
    match reply.delivery {
        Delivery::Slow { delay, trickle } => {
            tokio::time::sleep(delay).await;
            stream.write_all(&head).await?;
            let piece_bytes = body.len().div_ceil(TRICKLE_PIECES).max(1);
            for piece in body.chunks(piece_bytes) {
                stream.write_all(piece).await?;
                tokio::time::sleep(trickle / u32::try_from(TRICKLE_PIECES).unwrap_or(1)).await;
            }
            Ok(())
        }
        Delivery::Cut { after } => {
            stream.write_all(&head).await?;
            stream.write_all(&body[..after.min(body.len())]).await?;
            stream.shutdown().await
        }
        Delivery::Normal | Delivery::Reset | Delivery::Hold { .. } => {
            // One write for head and body: no small packet waits for an acknowledgement.
            let mut whole = head;
            whole.extend_from_slice(&body);
            stream.write_all(&whole).await
        }
    }
}

async fn send_pieces(
    stream: &mut TcpStream,
    head: Vec<u8>,
    pieces: Box<dyn Iterator<Item = Vec<u8>> + Send>,
) -> std::io::Result<()> {
    stream.write_all(&head).await?;
    for piece in pieces.filter(|it| !it.is_empty()) {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(&piece);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk).await?;
        // Other connections get their turn between two pieces.
        tokio::task::yield_now().await;
    }
    stream.write_all(b"0\r\n\r\n").await
}

fn head(request: &Request, reply: &Reply, now: Stamp, stays_open: bool) -> Vec<u8> {
    use std::fmt::Write;
    let date = http_date(Stamp(now.0 + reply.date_shift_seconds * SECOND));
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nDate: {date}\r\nContent-Type: {}\r\n",
        reply.status,
        reason(reply.status),
        reply.content_type
    );
    let request_id = request.header("x-request-id").filter(|it| it.bytes().all(|byte| byte.is_ascii_graphic()));
    // Writing to a String cannot fail.
    let _ = match request_id {
        Some(id) => write!(head, "X-Request-ID: {id}\r\n"),
        None => write!(head, "X-Request-ID: {}\r\n", uuid::Uuid::now_v7()),
    };
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = match &reply.body {
        Body::Whole(body) => write!(head, "Content-Length: {}\r\n", body.len()),
        Body::Pieces(_) => write!(head, "Transfer-Encoding: chunked\r\n"),
    };
    head.push_str(if stays_open { "\r\n" } else { "Connection: close\r\n\r\n" });
    head.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_a_broken_one_refused() {
        let request =
            read_head(b"GET /rest/sdmk?page=1 HTTP/1.1\r\nHost: x\r\nX-Request-ID:  7 \r\n\r\n").expect("readable");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/rest/sdmk"));
        assert_eq!(request.header("x-request-id"), Some("7"));
        for head in [&b"GET /\r\n\r\n"[..], b"GET / HTTP/2\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"]
        {
            assert!(read_head(head).is_none());
        }
    }
}
