//! `progress-relay tail`: follows classes in the terminal, over the WebSocket.

use std::io::{self, Write};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use tokio::sync::{mpsc, oneshot};

use crate::backoff::Backoff;
use crate::cli::base_url;
use crate::client::ws::{Frame, Subscriber};
use crate::client::{BaseUrl, ClientError, reconnect_backoff};
use crate::error::Failure;
use crate::relay::signals::Signals;

mod line;

/// Frames' lines that wait for stdout. Beyond it the socket is not read: the server keeps what
/// follows.
const WAITING_FRAMES: usize = 8;

/// How long lines already received may take to be written at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Follow classes in the terminal, a line an event.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the relay is
    #[arg(long, env = "RELAY_URL", value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub url: String,
    /// A class to follow; may be given several times
    #[arg(long = "class", env = "RELAY_CLASS", value_name = "CLASS", default_value = "default")]
    pub classes: Vec<String>,
    /// Go on after this cursor instead of with what is sent from now on
    #[arg(long, env = "RELAY_CURSOR", value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// One JSON object a line, with the cursor from which it goes on after that event
    #[arg(long, env = "RELAY_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Runs until it is interrupted or nobody reads any more.
///
/// # Errors
/// If the URL is wrong, the relay does not let it in, or stdout cannot be written to.
pub async fn run(args: Args) -> Result<(), Failure> {
    let base = base_url(&args.url)?;
    let mut signals = Signals::new()?;
    let (lines, mut written) = start_printer()?;
    let outcome = tokio::select! {
        outcome = follow(&base, args, lines) => outcome,
        result = &mut written => return finished(result),
        () = signals.next() => Ok(()),
    };
    // `follow` has let go of its end: the printer ends after the last line.
    if let Ok(result) = tokio::time::timeout(LAST_WORDS, written).await {
        finished(result)?;
    }
    outcome
}

/// Writes to stdout in a thread of its own: a pager that does not read must not keep signals from
/// being heard, and no thread of the runtime may hang in a write when the program ends.
fn start_printer() -> io::Result<(mpsc::Sender<String>, oneshot::Receiver<io::Result<()>>)> {
    let (lines, mut queue) = mpsc::channel::<String>(WAITING_FRAMES);
    let (done, written) = oneshot::channel();
    std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        let mut print = || {
            while let Some(text) = queue.blocking_recv() {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                stdout.flush()?;
            }
            Ok(())
        };
        let result = print();
        let _ = done.send(result);
    })?;
    Ok((lines, written))
}

/// What the printer's end means: nobody reading any more is a way to be told to stop.
fn finished(result: Result<io::Result<()>, oneshot::error::RecvError>) -> Result<(), Failure> {
    match result {
        Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A line on stderr. A closed stderr is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", line::escape(text));
}

/// Follows through disconnects until there is a reason to stop; `Ok` when the printer is gone.
async fn follow(base: &BaseUrl, args: Args, lines: mpsc::Sender<String>) -> Result<(), Failure> {
    let mut session = Session {
        json: args.json,
        several: args.classes.len() > 1,
        cursor: args.cursor,
        said_live: false,
        lines,
    };
    let mut backoff = reconnect_backoff();
    let mut connected_before = false;
    loop {
        let mut subscriber =
            match Subscriber::connect(base, &args.classes, session.cursor.as_deref()).await {
                Ok(subscriber) => subscriber,
                Err(error) if error.is_transient() => {
                    let hint = if connected_before || !matches!(error, ClientError::Connect { .. })
                    {
                        ""
                    } else {
                        "; start the relay (progress-relay serve) or check --url"
                    };
                    wait(&error, hint, &mut backoff).await;
                    continue;
                }
                Err(error) => {
                    return Err(Failure::new(format!(
                        "cannot follow: {}",
                        line::escape(&error.to_string())
                    )));
                }
            };
        connected_before = true;
        let ended = session.read(&mut subscriber, &mut backoff).await;
        match ended {
            Ended::Printer => return Ok(()),
            Ended::Client(error) if error.is_transient() => wait(&error, "", &mut backoff).await,
            Ended::Client(error) => return Err(Failure::new(line::escape(&error.to_string()))),
        }
    }
}

/// Says what happened and when it tries again, and waits until then.
async fn wait(error: &ClientError, hint: &str, backoff: &mut Backoff) {
    let delay = backoff.next_wait();
    say(&format!("{error}{hint}; trying again in {:.1} s", delay.as_secs_f64()));
    tokio::time::sleep(delay).await;
}

/// Why a session is over.
enum Ended {
    Client(ClientError),
    Printer,
}

/// What outlives a connection.
struct Session {
    json: bool,
    several: bool,
    cursor: Option<String>,
    said_live: bool,
    lines: mpsc::Sender<String>,
}

impl Session {
    async fn read(&mut self, subscriber: &mut Subscriber, backoff: &mut Backoff) -> Ended {
        loop {
            let frame = match subscriber.next().await {
                Ok(frame) => frame,
                Err(error) => return Ended::Client(error),
            };
            if let Frame::Closed { code, reason } = frame {
                return Ended::Client(ClientError::Closed { code, reason });
            }
            // It speaks: the next disconnect is a new one.
            backoff.reset();
            match frame {
                Frame::Progress { cursor, events } => {
                    let text = self.render(&cursor, &events);
                    if self.lines.send(text).await.is_err() {
                        return Ended::Printer;
                    }
                    self.cursor = Some(cursor);
                }
                Frame::Live { cursor } => {
                    if !self.json && !self.said_live {
                        say("live: what was sent until now has been shown, the rest comes as it \
                                 happens");
                    }
                    self.said_live = true;
                    self.cursor = Some(cursor);
                }
                Frame::Reset { reason, cursor } => {
                    say(&format!(
                        "reset ({reason}): it cannot go on from where it was; events may be \
                         missing before the next line"
                    ));
                    self.cursor = Some(cursor);
                }
                Frame::Mark { cursor } | Frame::Pong { cursor } => self.cursor = Some(cursor),
                Frame::Unknown | Frame::Closed { .. } => {}
            }
        }
    }

    /// A frame's lines.
    fn render(&self, cursor: &str, events: &[Box<serde_json::value::RawValue>]) -> String {
        let mut text = String::new();
        let mut before = self.cursor.clone();
        for (index, event) in events.iter().enumerate() {
            let event = line::compact(event.get());
            let members = line::members(&event);
            if self.json {
                let own = if index + 1 == events.len() {
                    Some(cursor.to_owned())
                } else {
                    // An event without an id of its own: from before it, twice rather than never.
                    line::event_cursor(cursor, &members).or(before)
                };
                text.push_str(&line::json(&event, &members, own.as_deref()));
                before = own;
            } else {
                text.push_str(&line::human(&members, self.several));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_line_carries_the_cursor_after_it() {
        let (lines, _queue) = mpsc::channel(1);
        let session = Session { json: true, several: false, cursor: None, said_live: false, lines };
        let text =
            r#"{"type":"progress","cursor":"a1.9","events":[{"id":3,"a":"\ud800"},{"id":9}]}"#;
        let Ok(Frame::Progress { cursor, events }) = Frame::parse(text) else { panic!("{text}") };
        assert_eq!(
            session.render(&cursor, &events),
            "{\"id\":3,\"a\":\"\\ud800\",\"cursor\":\"a1.3\"}\n{\"id\":9,\"cursor\":\"a1.9\"}\n"
        );
    }
}
