//! Asks before a relay that someone else may be using is posted to: the events stay in its
//! database, and at full speed a class beside them waits.

use std::io::{self, BufRead, IsTerminal, Write};

use super::args::{Args, Pace};
use crate::client::BaseUrl;
use crate::error::Failure;

/// The word that is asked for.
const WORD: &str = "yes";

/// Asks on the terminal.
///
/// # Errors
/// If there is no terminal to ask on, or the answer is another one.
pub(super) async fn ask(args: &Args, urls: &[BaseUrl]) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(
            "simulate posts to the relays of --url, and there is no terminal to ask on whether it \
             may: add --yes",
        ));
    }
    let mut stderr = io::stderr();
    write!(stderr, "{} Type {WORD} to go on: ", question(args, urls))
        .and_then(|()| stderr.flush())?;
    // In a thread of its own: a signal must end the program while it waits for an answer.
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer = read.await??;
    if answer.trim() == WORD {
        return Ok(());
    }
    Err(Failure::new("nothing was posted: the answer was not yes"))
}

fn question(args: &Args, urls: &[BaseUrl]) -> String {
    let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
    let load = match (args.pace, args.rate) {
        (Pace::Realistic, _) => format!("a lesson of {} students", args.students),
        (Pace::Flat, Some(rate)) => format!("{rate} events/s"),
        (Pace::Flat, None) => "as many events as it takes".to_owned(),
    };
    let class = args
        .class
        .as_ref()
        .map_or_else(|| "a new class".to_owned(), |class| format!("class {class:?}"));
    format!(
        "This posts {load} for {:?} to {}, into {class}; the events stay in its database.",
        args.duration,
        urls.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_question_says_what_is_at_stake() {
        let line = "simulate --url http://relay.example --rate 200 --duration 5m --class algebra";
        let args = Only::try_parse_from(line.split_whitespace()).expect("valid").args;
        let urls = [BaseUrl::parse("http://relay.example").expect("a URL")];
        let question = question(&args, &urls);
        for part in ["http://relay.example:80", "200 events/s", "300s", "\"algebra\""] {
            assert!(question.contains(part), "{part} in {question}");
        }
    }
}
