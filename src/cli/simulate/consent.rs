//! Asks for consent before the run posts to a relay that others may be using. The events stay in
//! that relay's database, and at full speed they delay the events of real classes.

use std::io::{self, BufRead, IsTerminal, Write};

use super::args::{Args, Behaviour};
use crate::client::BaseUrl;
use crate::error::Failure;

/// The answer that gives consent.
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
    // A blocking thread waits for the answer, so that a signal can end the program meanwhile.
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
        (Behaviour::Realistic, _) => format!("a lesson of {} students", args.students),
        (Behaviour::Flat, Some(rate)) => format!("{rate} events/s"),
        (Behaviour::Flat, None) => "as many events as it takes".to_owned(),
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
    fn the_question_names_the_relay_the_load_and_the_class() {
        let line = "simulate --url http://relay.example --rate 200 --duration 5m --class algebra";
        let args = Only::try_parse_from(line.split_whitespace()).expect("valid").args;
        let urls = [BaseUrl::parse("http://relay.example").expect("a URL")];
        let question = question(&args, &urls);
        for part in ["http://relay.example:80", "200 events/s", "300s", "\"algebra\""] {
            assert!(question.contains(part), "{part} in {question}");
        }
    }
}
