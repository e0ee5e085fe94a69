//! Follows a class and resumes: `cargo run --example subscriber -- URL CLASS CURSOR_FILE`
//!
//! Prints each event as a line of JSON. The cursor file says how far it came: after a lost
//! connection, a restart of the relay or of this program it continues there, without a gap and
//! without a repeat. Without the file it starts with the events that come from now on.

use std::error::Error;
use std::fs;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use url::Url;

/// The relay sends something every 25 s: after so long without, it is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Follows one connection until it is lost.
async fn follow(url: &Url, path: &str) -> Result<(), Box<dyn Error>> {
    let mut url = url.clone();
    if let Ok(cursor) = fs::read_to_string(path) {
        url.query_pairs_mut().append_pair("cursor", cursor.trim());
    }
    let address = url.socket_addrs(|| None)?;
    let stream = TcpStream::connect(&*address).await?;
    let (mut socket, _) = client_async(url.as_str(), stream).await?;
    while let Some(message) = timeout(SILENCE, socket.next()).await? {
        let text = match message? {
            Message::Text(text) => text,
            Message::Close(Some(close)) if close.code == CloseCode::Policy => {
                // The relay will not change its mind.
                eprintln!("not allowed: {}", close.reason);
                std::process::exit(1);
            }
            _ => continue,
        };
        let frame: Value = serde_json::from_str(&text)?;
        for event in frame["events"].as_array().into_iter().flatten() {
            println!("{event}");
        }
        if frame["type"] == "reset" {
            // A program that keeps state reads /api/class/summary here, and goes on from its
            // cursor.
            eprintln!("reset ({}): events may be missing", frame["reason"]);
        }
        if let Some(cursor) = frame["cursor"].as_str() {
            // Renamed into place: a crash leaves the old cursor or the new one. A program that must
            // not repeat the last frame after a crash stores cursor and results in one transaction.
            fs::write(format!("{path}.new"), cursor)?;
            fs::rename(format!("{path}.new"), path)?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, class, path] = &arguments[..] else { return Err("URL CLASS CURSOR_FILE".into()) };
    let mut url = Url::parse(&url.replacen("http", "ws", 1))?.join("ws/connect")?;
    url.query_pairs_mut().append_pair("class", class);
    loop {
        if let Err(error) = follow(&url, path).await {
            eprintln!("connecting again: {error}");
        }
        // So that not all subscribers come back at once.
        sleep(Duration::from_millis(fastrand::u64(100..2000))).await;
    }
}
