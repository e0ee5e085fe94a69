//! The page's fold, in a process of Node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use progress_relay::event::Micros;
use serde_json::Value;

/// A process that folds the events of classes as the page does.
pub struct PageFold {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl PageFold {
    pub fn start() -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dashboard/fold-lines.js");
        let mut child = Command::new("node")
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node");
        let input = child.stdin.take().expect("an input");
        let output = BufReader::new(child.stdout.take().expect("an output"));
        Self { child, input, output }
    }

    /// What the page makes of a class's events, as they are delivered: its summary at `now`, and
    /// the members in which it differs if the page takes a summary after the first `cut` events and
    /// folds the others onto that.
    pub fn fold(&mut self, events: &[String], now: Micros, cut: usize) -> (Value, Value) {
        let (now, events) = (now.to_rfc3339(), events.join(","));
        let line = format!("{{\"now\":\"{now}\",\"cut\":{cut},\"events\":[{events}]}}\n");
        self.input.write_all(line.as_bytes()).expect("an input");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an output");
        let mut answer: Value = serde_json::from_str(&line).expect("the page folds it");
        (answer["summary"].take(), answer["again"].take())
    }

    pub fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("an end").success());
    }
}
