//! A proxy between a relay and its database: a pooler that drops notifications, or a connection
//! whose other end has vanished.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::{Database, data_folder};

/// The type of a notification in the protocol (PostgreSQL's manual, "Message Formats").
const NOTIFICATION: u8 = b'A';

/// The type of the message after a commit: ready for the next query.
const READY: u8 = b'Z';

/// A proxy on a socket in its own folder.
pub struct Pooler {
    url: String,
    /// Whether new connections lose their notifications.
    drops: Arc<AtomicBool>,
    /// Whether each open connection loses its notifications.
    came: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
    /// A text that a client may send. Its connection is cut once the server has done what the text
    /// asks for and before the answer arrives.
    fatal: Arc<Mutex<Option<&'static str>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Pooler {
    /// Starts a proxy before a database. With `drops` it drops notifications.
    pub fn before(database: &Database, drops: bool) -> Self {
        let folder = data_folder();
        std::fs::create_dir(&folder).expect("a folder");
        let server = database.socket();
        let listener =
            UnixListener::bind(folder.join(server.file_name().expect("a name"))).expect("a socket");
        let url = database.url_by(&folder);
        let drops = Arc::new(AtomicBool::new(drops));
        let came: Arc<Mutex<Vec<Arc<AtomicBool>>>> = Arc::default();
        let (drops_from_now, known) = (Arc::clone(&drops), Arc::clone(&came));
        let fatal: Arc<Mutex<Option<&'static str>>> = Arc::default();
        let fatal_from_now = Arc::clone(&fatal);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let drops = Arc::new(AtomicBool::new(drops_from_now.load(Ordering::Relaxed)));
                known.lock().expect("a list").push(Arc::clone(&drops));
                tokio::spawn(pass_on(client, server.clone(), drops, Arc::clone(&fatal_from_now)));
            }
        });
        Self { url, drops, came, fatal, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The value of `--database-url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Open connections lose their notifications from now on; new ones do not.
    pub fn drop_notifications(&self) {
        for connection in &*self.came.lock().expect("a list") {
            connection.store(true, Ordering::Relaxed);
        }
    }

    /// Cuts the next connection that sends this text, once the server has done what the text asks
    /// for.
    pub fn cut_after(&self, text: &'static str) {
        *self.fatal.lock().expect("a text") = Some(text);
    }

    /// Whether that connection was cut.
    pub fn has_cut(&self) -> bool {
        self.fatal.lock().expect("a text").is_none()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.came.lock().expect("a list").len()
    }

    /// New connections get their notifications again.
    pub fn heal(&self) {
        self.drops.store(false, Ordering::Relaxed);
    }
}

/// Passes a client's bytes on as they arrive, and the server's message by message, without
/// notifications while `drops` is set.
async fn pass_on(
    client: UnixStream,
    server: PathBuf,
    drops: Arc<AtomicBool>,
    fatal: Arc<Mutex<Option<&'static str>>>,
) {
    let Ok(server) = UnixStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let doomed = AtomicBool::new(false);
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let mut fatal = fatal.lock().expect("a text").take_if(|text| {
                buffer[..read].windows(text.len()).any(|window| window == text.as_bytes())
            });
            if fatal.take().is_some() {
                doomed.store(true, Ordering::Relaxed);
            }
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    let back = async {
        loop {
            // A message is a type, a length that counts itself, and the rest.
            let mut message = vec![0; 5];
            from_server.read_exact(&mut message).await?;
            let length =
                u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
            message.resize(1 + length, 0);
            from_server.read_exact(&mut message[5..]).await?;
            if message[0] == READY && doomed.load(Ordering::Relaxed) {
                return Ok(());
            }
            if message[0] != NOTIFICATION || !drops.load(Ordering::Relaxed) {
                to_client.write_all(&message).await?;
            }
        }
    };
    // The end of one direction ends both.
    let _: Result<(), std::io::Error> =
        tokio::select! { ended = there => ended, ended = back => ended };
}
