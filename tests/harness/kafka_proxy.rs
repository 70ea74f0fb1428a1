//! A proxy that reads Kafka's framing: it can keep one request to end a transaction, cut the link, and deliver that request in
//! the middle of the next transaction of the same producer.
//!
//! That is what a slow network does, made certain: the client reconnects and sends the request again, the broker answers the
//! second one, and the first one comes late. It can also withhold records, as a broker does that goes away while it is read.
//! Everything else passes as it is.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use platform::kafka::Deadline;

/// `Fetch`.
const FETCH: i16 = 1;
/// `AddOffsetsToTxn`: in our processor the step between a transaction's records and its end.
const ADD_OFFSETS_TO_TXN: i16 = 25;
/// `EndTxn`.
const END_TXN: i16 = 26;
/// From this version on both requests are written in another form; librdkafka uses versions below.
const FLEXIBLE_VERSION: i16 = 3;
/// Larger than any request of ours.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest wait for an order, and how often it is looked for.
const ORDER_LIMIT: Duration = Duration::from_secs(30);
const ORDER_STEP: Duration = Duration::from_millis(5);
/// Longest time the broker may take to answer the late request.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What has become of the request that is to come late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// Nothing is to happen.
    #[default]
    Nothing,
    /// The next request to commit a transaction of an id that begins so will be kept.
    Awaited(String),
    /// It is kept, and its link was cut.
    Kept {
        /// The id in full.
        transactional_id: String,
        /// The request as it was sent.
        frame: Vec<u8>,
        /// The client has sent it again since.
        repeated: bool,
    },
    /// The next transaction asks for its positions and waits; [`KafkaProxy::deliver`] sends the kept request first.
    Met {
        /// The request as it was sent.
        frame: Vec<u8>,
    },
    /// It was delivered after the next transaction had begun; the broker's answer, 0 for success.
    Delivered(i16),
    /// The proxy did not understand what passed, or the broker did not answer.
    Failed(String),
}

#[derive(Debug, Default)]
struct State {
    late: Late,
    /// The kept request waits for an order.
    on_order: bool,
    server: Option<SocketAddr>,
    /// Nobody is given records.
    withholds: bool,
    stopped: bool,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running proxy.
#[derive(Debug)]
pub struct KafkaProxy {
    address: SocketAddr,
    state: Shared,
}

impl KafkaProxy {
    /// Listens on a free port of this machine; connections are closed until [`KafkaProxy::lead_to`] says where they go.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for a proxy")?;
        let address = listener.local_addr()?;
        let state = Shared::default();
        let shared = Arc::clone(&state);
        thread::Builder::new().name("kafka-proxy".to_owned()).spawn(move || accept(&listener, &shared))?;
        Ok(Self { address, state })
    }

    /// Where clients come in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections go from now on.
    pub fn lead_to(&self, server: SocketAddr) {
        lock(&self.state).server = Some(server);
    }

    /// From now on requests for records are dropped without an answer, or pass again; all others pass.
    pub fn withhold_records(&self, withholds: bool) {
        lock(&self.state).withholds = withholds;
    }

    /// Keeps the next request to commit a transaction of an id that begins so.
    pub fn delay_commit_of(&self, transactional_id: &str) {
        lock(&self.state).late = Late::Awaited(transactional_id.to_owned());
    }

    /// The same, and the kept request is delivered only by [`KafkaProxy::deliver`]: the next transaction waits with its positions
    /// until then, and its records go on meanwhile.
    pub fn delay_commit_until_told(&self, transactional_id: &str) {
        let mut state = lock(&self.state);
        state.on_order = true;
        state.late = Late::Awaited(transactional_id.to_owned());
    }

    /// Delivers the request that is [`Late::Met`]; the broker's answer, 0 for success.
    pub fn deliver(&self) -> Result<i16> {
        let (late, server) = {
            let state = lock(&self.state);
            (state.late.clone(), state.server.context("nowhere to go")?)
        };
        let Late::Met { frame } = late else { bail!("there is nothing to deliver: {late:?}") };
        let code = send(&frame, server)?;
        lock(&self.state).late = Late::Delivered(code);
        Ok(code)
    }

    /// What has become of it.
    #[must_use]
    pub fn late(&self) -> Late {
        lock(&self.state).late.clone()
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        // Wakes the accepting thread; the others end with their connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, state: &Shared) {
    for client in listener.incoming() {
        let (stopped, server) = {
            let state = lock(state);
            (state.stopped, state.server)
        };
        if stopped {
            return;
        }
        let Some((client, server)) = client.ok().zip(server) else { continue };
        let Ok(server) = TcpStream::connect(server) else { continue };
        let state = Arc::clone(state);
        // Each ends as soon as one of its sides does.
        thread::spawn(move || {
            let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else { return };
            thread::spawn(move || {
                let _ = io::copy(&mut &from_server, &mut &to_client);
                close(&from_server, &to_client);
            });
            let _ = requests(&client, &server, &state);
            close(&client, &server);
        });
    }
}

fn close(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Passes requests on one by one, until the client has no more or one is kept.
fn requests(mut client: &TcpStream, mut server: &TcpStream, state: &Shared) -> io::Result<()> {
    for stream in [client, server] {
        stream.set_nodelay(true)?;
    }
    loop {
        let frame = read_frame(&mut client)?;
        if frame.get(4..6) == Some(&FETCH.to_be_bytes()) && lock(state).withholds {
            continue;
        }
        if !passes(&frame, state) {
            return Ok(());
        }
        server.write_all(&frame)?;
    }
}

/// One request or answer with its length before it.
fn read_frame(stream: &mut &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if bytes > FRAME_BYTES_MAX {
        return Err(io::Error::other("a frame beyond all bounds"));
    }
    let mut frame = length.to_vec();
    frame.resize(4 + bytes, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Looks at a request before it goes on; false: it is kept, and the link is to be cut.
fn passes(frame: &[u8], state: &Shared) -> bool {
    let request = match Request::read(frame) {
        Ok(Some(request)) => request,
        Ok(None) => return true,
        Err(error) => {
            lock(state).late = Late::Failed(format!("{error:#}"));
            return true;
        }
    };
    let mut guard = lock(state);
    let (mut deliver, server, on_order) = (None, guard.server, guard.on_order);
    match &mut guard.late {
        Late::Awaited(prefix) if request.commits && request.transactional_id.starts_with(prefix.as_str()) => {
            guard.late =
                Late::Kept { transactional_id: request.transactional_id, frame: frame.to_vec(), repeated: false };
            return false;
        }
        Late::Kept { transactional_id, frame, repeated } if *transactional_id == request.transactional_id => {
            match request.api {
                END_TXN => *repeated = true,
                _ if *repeated => deliver = Some(std::mem::take(frame)),
                _ => {}
            }
        }
        _ => {}
    }
    if on_order && let Some(frame) = deliver.take() {
        guard.late = Late::Met { frame };
        drop(guard);
        let deadline = Deadline::after(ORDER_LIMIT);
        while matches!(lock(state).late, Late::Met { .. }) {
            if deadline.passed() {
                lock(state).late = Late::Failed("nobody gave the order".to_owned());
            }
            thread::sleep(ORDER_STEP);
        }
        return true;
    }
    drop(guard);
    if let Some(late) = deliver {
        // The request that we look at waits for it: the transaction is open and has its records.
        let outcome = server.context("nowhere to go").and_then(|server| send(&late, server));
        lock(state).late = outcome.map_or_else(|error| Late::Failed(format!("{error:#}")), Late::Delivered);
    }
    true
}

/// Sends a request over a link of its own; the answer's error code.
fn send(frame: &[u8], server: SocketAddr) -> Result<i16> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    (&stream).write_all(frame)?;
    let answer = read_frame(&mut &stream).context("no answer to the late request")?;
    // Length, correlation, throttle time, error code.
    let code = answer.get(12..14).and_then(|code| code.try_into().ok()).context("a short answer")?;
    Ok(i16::from_be_bytes(code))
}

/// A request about a transaction.
struct Request {
    api: i16,
    transactional_id: String,
    commits: bool,
}

impl Request {
    /// Reads one of the two kinds that matter; `None` for every other one.
    fn read(frame: &[u8]) -> Result<Option<Self>> {
        let mut rest = frame.get(4..).context("no header")?;
        let api = short(&mut rest)?;
        if ![ADD_OFFSETS_TO_TXN, END_TXN].contains(&api) {
            return Ok(None);
        }
        let version = short(&mut rest)?;
        if version >= FLEXIBLE_VERSION {
            bail!("version {version} of request {api} is not understood here");
        }
        take(&mut rest, 4)?; // correlation
        text(&mut rest)?; // client id
        let transactional_id = text(&mut rest)?;
        take(&mut rest, 8 + 2)?; // producer's id and epoch
        let commits = api == END_TXN && take(&mut rest, 1)? == [1];
        Ok(Some(Self { api, transactional_id, commits }))
    }
}

fn take<'b>(rest: &mut &'b [u8], bytes: usize) -> Result<&'b [u8]> {
    let (taken, after) = rest.split_at_checked(bytes).context("a short request")?;
    *rest = after;
    Ok(taken)
}

fn short(rest: &mut &[u8]) -> Result<i16> {
    Ok(i16::from_be_bytes(take(rest, 2)?.try_into()?))
}

fn text(rest: &mut &[u8]) -> Result<String> {
    let bytes = usize::try_from(short(rest)?.max(0))?;
    Ok(String::from_utf8_lossy(take(rest, bytes)?).into_owned())
}
