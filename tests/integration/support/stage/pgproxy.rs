//! A proxy between relays and PostgreSQL, which knows each connection by its `application_name` and
//! can lead it elsewhere, stall it or cut it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Codes in the place of the protocol's version (PostgreSQL's manual, "Message Formats").
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Where a new connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    To(SocketAddr),
    /// The connection is accepted and never answered.
    Silent,
    /// The connection is accepted and closed at once.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Half open: the kernel acknowledges bytes, and the proxy reads none of them.
    Stalled,
    Cut,
}

struct Live {
    application: String,
    mode: watch::Sender<Mode>,
}

struct Shared {
    /// Routes by a part of the application's name. The last one that fits counts, or the default.
    routes: Vec<(String, Route)>,
    default: Route,
    live: Vec<Live>,
    /// How long a LISTEN takes.
    listen: Duration,
}

impl Shared {
    fn route(&self, application: &str) -> Route {
        let fits = |(part, _): &&(String, Route)| application.contains(part.as_str());
        self.routes.iter().rev().find(fits).map_or(self.default, |(_, route)| *route)
    }
}

/// The proxy. A name is a part of an `application_name`; the empty name means every connection.
pub struct PgProxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _accepting: AbortOnDropHandle<()>,
}

impl PgProxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared {
            routes: Vec::new(),
            default: Route::To(server),
            live: Vec::new(),
            listen: Duration::ZERO,
        };
        let shared = Arc::new(Mutex::new(shared));
        let known = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&known);
                tokio::spawn(async move { drop(pass_on(client, &shared).await) });
            }
        });
        Self { address, shared, _accepting: AbortOnDropHandle::new(accepting) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections of this name to `route`; open connections stay where they are.
    pub fn lead(&self, application: &str, route: Route) {
        let mut shared = self.shared.lock().expect("routes");
        if application.is_empty() {
            shared.default = route;
            shared.routes.clear();
        } else {
            shared.routes.push((application.to_owned(), route));
        }
    }

    /// Stalls open connections of this name: they pass no bytes and do not end. Returns their
    /// number.
    pub fn stall(&self, application: &str) -> usize {
        self.switch(application, Mode::Stalled)
    }

    /// Closes open connections of this name. Returns their number.
    pub fn cut(&self, application: &str) -> usize {
        self.switch(application, Mode::Cut)
    }

    fn switch(&self, application: &str, mode: Mode) -> usize {
        let shared = self.shared.lock().expect("connections");
        let of_name = shared.live.iter().filter(|live| live.application.contains(application));
        // A connection that has ended no longer receives the mode.
        of_name.filter(|live| live.mode.send(mode).is_ok()).count()
    }

    /// Makes each LISTEN take this long, as a long queue of notifications does. The server works on
    /// it meanwhile and can cancel it.
    pub fn slow_listen(&self, time: Duration) {
        self.shared.lock().expect("settings").listen = time;
    }
}

async fn pass_on(mut client: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (startup, application) = read_startup(&mut client).await?;
    let (route, mut mode) = {
        let mut shared = shared.lock().expect("routes");
        let route = shared.route(&application);
        let (sender, mode) = watch::channel(Mode::Pass);
        shared.live.retain(|live| !live.mode.is_closed());
        shared.live.push(Live { application, mode: sender });
        (route, mode)
    };
    let address = match route {
        Route::To(address) => address,
        Route::Closed => return Ok(()),
        Route::Silent => {
            let _ = mode.wait_for(|mode| *mode == Mode::Cut).await;
            return Ok(());
        }
    };
    let mut server = TcpStream::connect(address).await?;
    server.set_nodelay(true)?;
    server.write_all(&startup).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // The end of one direction ends both.
    tokio::select! {
        ended = copy(from_client, to_server, mode.clone(), Some(shared)) => ended,
        ended = copy(from_server, to_client, mode, None) => ended,
    }
}

/// The message with a pause appended, if it is a LISTEN that is to be slow.
fn slowed(message: &[u8], shared: &Mutex<Shared>) -> Option<Vec<u8>> {
    let time = shared.lock().expect("settings").listen;
    let text = message.get(5..)?.strip_suffix(b"\0")?;
    if time.is_zero() || message[0] != b'Q' || !text.starts_with(b"LISTEN ") {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    let text = format!("{}; SELECT pg_sleep({})\0", text.trim_end_matches(';'), time.as_secs_f64());
    let length = u32::try_from(4 + text.len()).ok()?;
    Some([b"Q", &length.to_be_bytes()[..], text.as_bytes()].concat())
}

/// Passes bytes on while the mode is [`Mode::Pass`].
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    holding: Option<&Mutex<Shared>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let now = *mode.borrow_and_update();
        tokio::select! {
            changed = mode.changed() => {
                if changed.is_err() || *mode.borrow() == Mode::Cut {
                    return Ok(());
                }
            }
            read = from.read(&mut buffer), if now == Mode::Pass => match read? {
                0 => return Ok(()),
                count => {
                    let message = &buffer[..count];
                    let slowed = holding.and_then(|shared| slowed(message, shared));
                    to.write_all(slowed.as_deref().unwrap_or(message)).await?;
                }
            },
        }
    }
}

/// The startup message and the application's name in it. Requests for encryption are declined.
async fn read_startup(client: &mut TcpStream) -> io::Result<(Vec<u8>, String)> {
    loop {
        let length = client.read_u32().await?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a startup message");
        let rest =
            length.checked_sub(4).filter(|rest| (4..10_000).contains(rest)).ok_or_else(wrong)?;
        let mut message = vec![0; rest as usize];
        client.read_exact(&mut message).await?;
        let code = u32::from_be_bytes([message[0], message[1], message[2], message[3]]);
        if code == SSL_REQUEST || code == GSS_REQUEST {
            client.write_all(b"N").await?;
            continue;
        }
        let application = if code == CANCEL_REQUEST {
            "a cancel request".to_owned()
        } else {
            let mut words = message[4..].split(|byte| *byte == 0);
            let name =
                words.by_ref().find(|word| *word == b"application_name").and_then(|_| words.next());
            String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
        };
        let whole = [&length.to_be_bytes()[..], &message].concat();
        return Ok((whole, application));
    }
}
