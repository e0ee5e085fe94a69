//! What may stand between a relay and its database: a pooler that passes everything on but notifications, or a connection whose
//! other end is gone without a word.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::{Database, data_folder};

/// How the server calls a notification (the manual's "Message Formats").
const NOTIFICATION: u8 = b'A';

/// A proxy on a socket of its own.
pub struct Pooler {
    url: String,
    /// Whether connections that come lose their notifications.
    deaf: Arc<AtomicBool>,
    /// The same of each that came.
    came: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Pooler {
    /// Before a database; deaf from the beginning, or not.
    pub fn before(database: &Database, deaf: bool) -> Self {
        let folder = data_folder();
        std::fs::create_dir(&folder).expect("a folder");
        let server = database.socket();
        let listener =
            UnixListener::bind(folder.join(server.file_name().expect("a name"))).expect("a socket");
        let url = database.url_by(&folder);
        let deaf = Arc::new(AtomicBool::new(deaf));
        let came: Arc<Mutex<Vec<Arc<AtomicBool>>>> = Arc::default();
        let (deaf_from_now, known) = (Arc::clone(&deaf), Arc::clone(&came));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let deaf = Arc::new(AtomicBool::new(deaf_from_now.load(Ordering::Relaxed)));
                known.lock().expect("a list").push(Arc::clone(&deaf));
                tokio::spawn(pass_on(client, server.clone(), deaf));
            }
        });
        Self { url, deaf, came, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// For `--database-url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections that stand hear nothing any more; those that come do.
    pub fn deafen(&self) {
        for connection in &*self.came.lock().expect("a list") {
            connection.store(true, Ordering::Relaxed);
        }
    }

    /// How many connections have come so far.
    pub fn connections(&self) -> usize {
        self.came.lock().expect("a list").len()
    }

    /// Connections that come hear.
    pub fn heal(&self) {
        self.deaf.store(false, Ordering::Relaxed);
    }
}

/// Passes a client's bytes on as they come, and the server's message by message, without its notifications if `deaf`.
async fn pass_on(client: UnixStream, server: PathBuf, deaf: Arc<AtomicBool>) {
    let Ok(server) = UnixStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(|_| ()) };
    let back = async {
        loop {
            // A type, a length that counts itself, the rest.
            let mut message = vec![0; 5];
            from_server.read_exact(&mut message).await?;
            let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
            message.resize(1 + length, 0);
            from_server.read_exact(&mut message[5..]).await?;
            if message[0] != NOTIFICATION || !deaf.load(Ordering::Relaxed) {
                to_client.write_all(&message).await?;
            }
        }
    };
    // Either side's end ends both.
    let _: Result<(), std::io::Error> = tokio::select! { ended = there => ended, ended = back => ended };
}
