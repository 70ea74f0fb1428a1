//! A TCP proxy in front of one server: cut, delay, hold, throttle, reset, restore.
//!
//! It knows nothing of what passes through it. Each proxy has a thread of its own and ends with it; everything
//! listens on 127.0.0.1, on a free port.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is read at a time: also the grain of a throttled link.
const PIECE_BYTES: usize = 16 * 1024;

/// What the link does to what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Passes everything at once.
    Clear,
    /// Nothing gets through: connections end, new ones are closed before a byte.
    Cut,
    /// Connections stay and are made, and nothing moves in either direction: what is held comes later.
    Hold,
    /// Only what the server answers is held: requests arrive and are done.
    HoldAnswers,
    /// Every piece takes this much longer, in each direction.
    Delay(Duration),
    /// At most so many bytes a second in each direction of each connection.
    Throttle {
        /// Bytes a second.
        bytes_per_second: u32,
    },
}

/// What the connections of a proxy look at.
#[derive(Clone, Copy, Debug)]
struct State {
    weather: Weather,
    /// Raised by a reset: connections that began before it end at once.
    era: u64,
    /// Where connections are passed on to; a server that was started again may have another port.
    server: Option<SocketAddr>,
}

/// A running proxy; it and its connections end when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Proxy {
    /// Listens on a free port; connections are closed until [`Proxy::lead_to`] says where they go.
    pub fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for a proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (state, look) = watch::channel(State { weather: Weather::Clear, era: 0, server: None });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener, look) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, state, thread: Some(thread), stop: Some(stop) })
    }

    /// Where clients come in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on new connections go to this server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.state.send_modify(|state| state.server = Some(server));
    }

    /// Changes the weather for connections that are open and for new ones.
    pub fn set(&self, weather: Weather) {
        self.state.send_modify(|state| state.weather = weather);
    }

    /// Ends all open connections with a reset; new ones are made as the weather allows.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.era += 1);
    }

    /// Passes everything again.
    pub fn restore(&self) {
        self.set(Weather::Clear);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It has ended by itself otherwise.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, look: watch::Receiver<State>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of files for a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let state = *look.borrow();
        let Some(server) = state.server.filter(|_| state.weather != Weather::Cut) else { continue };
        tokio::spawn(connection(client, server, look.clone(), state.era));
    }
}

/// One connection, until either side ends it or the link does.
async fn connection(mut client: TcpStream, server: SocketAddr, look: watch::Receiver<State>, era: u64) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        // Small requests must not wait for each other here.
        let _ = stream.set_nodelay(true);
    }
    let mut ends = look.clone();
    let broken = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, look.clone(), Way::Up);
        let down = pump(from_server, to_client, look, Way::Down);
        tokio::select! {
            state = ends.wait_for(|state| state.era != era || state.weather == Weather::Cut) => {
                state.is_ok_and(|state| state.era != era)
            }
            ((), ()) = async { tokio::join!(up, down) } => false,
        }
    };
    if broken {
        for stream in [&client, &server] {
            // A close without this would be an orderly end.
            let _ = stream.set_zero_linger();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Passes one direction on. It ends when the reader ends, and tells the writer so.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut look: watch::Receiver<State>, way: Way) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = match from.read(&mut piece).await {
            Ok(length) if length > 0 => length,
            _ => break,
        };
        // What has been read while the link is held waits here, and everything behind it in the kernel.
        let passes = |state: &State| match state.weather {
            Weather::Hold => false,
            Weather::HoldAnswers => way == Way::Up,
            Weather::Clear | Weather::Cut | Weather::Delay(_) | Weather::Throttle { .. } => true,
        };
        let Ok(weather) = look.wait_for(passes).await.map(|state| state.weather) else { return };
        match weather {
            Weather::Delay(span) => tokio::time::sleep(span).await,
            Weather::Throttle { bytes_per_second } => {
                let share = u32::try_from(length).unwrap_or(u32::MAX);
                let span = f64::from(share) / f64::from(bytes_per_second.max(1));
                tokio::time::sleep(Duration::from_secs_f64(span)).await;
            }
            Weather::Clear | Weather::Cut | Weather::Hold | Weather::HoldAnswers => {}
        }
        let Some(piece) = piece.get(..length) else { break };
        if to.write_all(piece).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// A server that sends back what it gets, and a proxy in front of it.
    fn echo() -> (Proxy, std::net::TcpListener) {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let proxy = Proxy::start().expect("a proxy");
        proxy.lead_to(listener.local_addr().expect("bound"));
        let served = listener.try_clone().expect("cloned");
        std::thread::spawn(move || {
            for stream in served.incoming() {
                let Ok(mut stream) = stream else { return };
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut bytes) {
                        let Ok(()) = stream.write_all(&bytes[..length]) else { return };
                    }
                });
            }
        });
        (proxy, listener)
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).expect("the proxy listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        stream
    }

    fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn a_clear_link_passes_every_byte() {
        let (proxy, _server) = echo();
        let mut stream = connect(&proxy);
        let text: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut writer = stream.try_clone().expect("cloned");
        let sent = text.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent));
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).expect("all of it");
        writing.join().expect("written").expect("written");
        assert!(answer == text);
    }

    #[test]
    fn a_cut_link_ends_connections_and_takes_no_new_one_until_it_is_restored() {
        let (proxy, _server) = echo();
        let mut open = connect(&proxy);
        assert_eq!(ask(&mut open, b"one").expect("clear"), b"one");
        proxy.set(Weather::Cut);
        assert!(ask(&mut open, b"two").is_err());
        assert!(ask(&mut connect(&proxy), b"three").is_err());
        proxy.restore();
        assert_eq!(ask(&mut connect(&proxy), b"four").expect("restored"), b"four");
    }

    #[test]
    fn what_is_held_comes_later_and_whole() {
        let (proxy, _server) = echo();
        let mut stream = connect(&proxy);
        assert_eq!(ask(&mut stream, b"one").expect("clear"), b"one");
        for weather in [Weather::Hold, Weather::HoldAnswers] {
            proxy.set(weather);
            stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
            stream.write_all(b"two").expect("written");
            let mut answer = [0; 3];
            let silent = stream.read(&mut answer).expect_err("nothing comes");
            assert!(matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
            proxy.restore();
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
            stream.read_exact(&mut answer).expect("it comes");
            assert_eq!(&answer, b"two");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test is about elapsed time")]
    fn delay_and_throttle_take_at_least_their_time() {
        let (proxy, _server) = echo();
        for (weather, least) in [
            (Weather::Delay(Duration::from_millis(200)), Duration::from_millis(400)),
            (Weather::Throttle { bytes_per_second: 10 }, Duration::from_millis(800)),
        ] {
            proxy.set(weather);
            let before = std::time::Instant::now();
            assert_eq!(ask(&mut connect(&proxy), b"four").expect("slow"), b"four");
            assert!(before.elapsed() >= least, "{weather:?} took {:?}", before.elapsed());
        }
    }

    #[test]
    fn a_reset_is_seen_as_one_and_ends_nothing_that_comes_later() {
        let (proxy, _server) = echo();
        let mut open = connect(&proxy);
        assert_eq!(ask(&mut open, b"one").expect("clear"), b"one");
        proxy.reset();
        let mut byte = [0];
        let error = open.read(&mut byte).expect_err("not an orderly end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(ask(&mut connect(&proxy), b"two").expect("a new one"), b"two");
    }

    #[test]
    fn a_server_may_come_back_elsewhere() {
        let (proxy, _first) = echo();
        let (_other, second) = echo();
        proxy.lead_to(second.local_addr().expect("bound"));
        assert_eq!(ask(&mut connect(&proxy), b"one").expect("the second"), b"one");
    }
}
