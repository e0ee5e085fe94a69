//! `progress-relay tail`: follows classes in the terminal, over the WebSocket.

use std::io::{self, Write};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use tokio::sync::{mpsc, oneshot};

use crate::backoff::Backoff;
use crate::cli::flags::token::TokenFlags;
use crate::cli::relay_url::parse_relay_url;
use crate::client::ws::{Frame, Subscriber};
use crate::client::{BaseUrl, ClientError, reconnect_backoff};
use crate::error::Failure;
use crate::relay::signals::Signals;

mod line;

/// The frames whose lines wait for stdout. When there are more, the socket is not read, and the
/// server keeps the events that follow.
const WAITING_FRAMES: usize = 8;

/// How long the lines that were already received may take to be written at the end.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// Follow classes in the terminal, a line an event.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// URL of the relay
    #[arg(long, env = "RELAY_URL", value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub url: String,
    #[command(flatten)]
    pub token: TokenFlags,
    /// A class to follow; may be given several times
    #[arg(long = "class", env = "RELAY_CLASS", value_name = "CLASS", default_value = "default")]
    pub classes: Vec<String>,
    /// Start after this cursor instead of with the events from now on
    #[arg(long, env = "RELAY_CURSOR", value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// One JSON object a line, with the cursor after which to resume
    #[arg(long, env = "RELAY_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Runs until a signal ends it, or the reader of stdout is gone.
///
/// # Errors
/// If the URL is wrong, the relay refuses the connection, or stdout cannot be written to.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let base = args.token.apply(parse_relay_url(&args.url)?)?;
    let mut signals = Signals::new()?;
    let (lines, mut written) = start_printer()?;
    let outcome = tokio::select! {
        outcome = follow(&base, args, lines) => outcome,
        result = &mut written => return finished(result),
        () = signals.next() => Ok(()),
    };
    // `follow` has dropped its sender, so the printer ends after the last line.
    if let Ok(result) = tokio::time::timeout(LAST_LINES_TIMEOUT, written).await {
        finished(result)?;
    }
    outcome
}

/// Starts a thread that writes to stdout. A pager that does not read blocks only this thread: the
/// runtime still receives signals, and none of its threads hangs in a write when the program ends.
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

/// The outcome of the command once the printer has ended. A closed pipe is no failure: the reader
/// has stopped.
fn finished(result: Result<io::Result<()>, oneshot::error::RecvError>) -> Result<(), Failure> {
    match result {
        Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a line on stderr. A closed stderr is ignored.
fn notify(text: &str) {
    let _ = writeln!(io::stderr(), "{}", line::escape(text));
}

/// Follows the classes, and reconnects when the connection is lost.
///
/// # Errors
/// If reconnecting is of no use. `Ok` if the printer has ended.
async fn follow(base: &BaseUrl, args: Args, lines: mpsc::Sender<String>) -> Result<(), Failure> {
    let mut follower = Follower {
        json: args.json,
        several: args.classes.len() > 1,
        cursor: args.cursor,
        announced_live: false,
        lines,
    };
    let mut backoff = reconnect_backoff();
    let mut connected_before = false;
    loop {
        let mut subscriber =
            match Subscriber::connect(base, &args.classes, follower.cursor.as_deref()).await {
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
        let ended = follower.read(&mut subscriber, &mut backoff).await;
        match ended {
            Ended::Printer => return Ok(()),
            Ended::Client(error) if error.is_transient() => wait(&error, "", &mut backoff).await,
            Ended::Client(error) => return Err(Failure::new(line::escape(&error.to_string()))),
        }
    }
}

/// Prints the error and the time of the next attempt, and waits until then.
async fn wait(error: &ClientError, hint: &str, backoff: &mut Backoff) {
    let delay = backoff.next_wait();
    notify(&format!("{error}{hint}; trying again in {:.1} s", delay.as_secs_f64()));
    tokio::time::sleep(delay).await;
}

/// Why a connection ended.
enum Ended {
    Client(ClientError),
    Printer,
}

/// The state that survives a connection.
struct Follower {
    json: bool,
    several: bool,
    cursor: Option<String>,
    announced_live: bool,
    lines: mpsc::Sender<String>,
}

impl Follower {
    async fn read(&mut self, subscriber: &mut Subscriber, backoff: &mut Backoff) -> Ended {
        loop {
            let frame = match subscriber.next().await {
                Ok(frame) => frame,
                Err(error) => return Ended::Client(error),
            };
            if let Frame::Closed { code, reason } = frame {
                return Ended::Client(ClientError::Closed { code, reason });
            }
            // The relay answers, so the next disconnect begins with the shortest wait.
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
                    if !self.json && !self.announced_live {
                        notify("live: all events until now have been shown, further events follow");
                    }
                    self.announced_live = true;
                    self.cursor = Some(cursor);
                }
                Frame::Reset { reason, cursor } => {
                    notify(&format!(
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

    /// The lines of a frame.
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
                    // An event without an id gets the cursor before it: resuming there repeats the
                    // event, and does not lose it.
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
    async fn each_line_has_the_cursor_after_its_event() {
        let (lines, _queue) = mpsc::channel(1);
        let follower =
            Follower { json: true, several: false, cursor: None, announced_live: false, lines };
        let text =
            r#"{"type":"progress","cursor":"a1.9","events":[{"id":3,"a":"\ud800"},{"id":9}]}"#;
        let Ok(Frame::Progress { cursor, events }) = Frame::parse(text) else { panic!("{text}") };
        assert_eq!(
            follower.render(&cursor, &events),
            "{\"id\":3,\"a\":\"\\ud800\",\"cursor\":\"a1.3\"}\n{\"id\":9,\"cursor\":\"a1.9\"}\n"
        );
    }
}
