//! A web server of somebody else: pages that a browser shows, and the requests that it made there.

use std::sync::{Arc, Mutex};

use progress_relay::client::BaseUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// The most bytes of a request that are read.
const MAX_REQUEST: usize = 16 * 1024;

/// A site at a free port of this machine. Every path shows the same page.
pub struct Site {
    port: u16,
    page: Arc<Mutex<String>>,
    requests: Arc<Mutex<Vec<String>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Site {
    /// A site that shows an empty page.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let page = Arc::new(Mutex::new(String::new()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (shown, seen) = (Arc::clone(&page), Arc::clone(&requests));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shown), Arc::clone(&seen)));
            }
        });
        Self { port, page, requests, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// From now on the site shows this content of a body.
    pub fn show(&self, body: &str) {
        body.clone_into(&mut self.page.lock().expect("a page"));
    }

    /// The site's origin under this name. `localhost` is another site than `127.0.0.1`; names of
    /// `.test` lead to this machine too.
    pub fn origin(&self, name: &str) -> String {
        format!("http://{name}:{}", self.port)
    }

    /// The site, as a relay's address is written.
    pub fn address(&self) -> BaseUrl {
        BaseUrl::parse(&self.origin("127.0.0.1")).expect("a URL")
    }

    /// The heads of the requests so far, in lower case, whose first line has this text in it.
    pub fn requests(&self, path: &str) -> Vec<String> {
        let requests = self.requests.lock().expect("requests");
        let has = |head: &&String| head.lines().next().is_some_and(|line| line.contains(path));
        requests.iter().filter(has).cloned().collect()
    }
}

async fn answer(
    mut stream: TcpStream,
    page: Arc<Mutex<String>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_REQUEST {
        match stream.read_buf(&mut head).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    requests.lock().expect("requests").push(head);
    let page = format!("<!doctype html><title>site</title>{}", page.lock().expect("a page"));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nSet-Cookie: a=b\r\n\
         Content-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}
