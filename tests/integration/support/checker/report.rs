//! The result of a check, and the history around its first violation.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::{Action, Actor, Record};

/// How many records of the same actor are shown before and after a violation.
const AROUND: usize = 12;
/// How many records that name the event are shown.
const OF_MARK: usize = 40;

/// The rule that is violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// A good event was answered with 3xx or 4xx.
    Refused,
    OutOfOrder,
    Twice,
    /// A cursor passed an event that was not delivered.
    Gap,
    MixedEpochs,
    /// An event was delivered that the table of the same epoch does not have.
    Phantom,
    LostSilently,
    /// An event was neither delivered nor passed by the dashboard's cursor.
    Behind,
    NotInTable,
    /// An event was acknowledged on a server that had been left behind for too long.
    Orphan,
    StateDiffers,
    /// The history contradicts itself: an error of the tests.
    Harness,
}

/// One violation.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The index of the record in the history, or its length for the state afterwards.
    pub index: usize,
    pub kind: ViolationKind,
    pub actor: Actor,
    pub mark: Option<i64>,
    pub text: String,
}

/// The result of a check. Losses, repeats and gaps are counted for each dashboard.
#[derive(Debug, Default)]
pub struct Report {
    /// Events with a 2xx.
    pub acknowledged: usize,
    /// How many of these every dashboard received.
    pub delivered: usize,
    pub lost_silently: usize,
    pub lost_announced: usize,
    /// Acknowledged, and not in the table.
    pub orphaned_silently: usize,
    pub orphaned_announced: usize,
    /// How long after a primary was reachable an event was acknowledged that is not in the table.
    pub orphan_time: Duration,
    /// Good events answered with 3xx or 4xx.
    pub refused: usize,
    /// Events whose client used up its retries.
    pub given_up: usize,
    pub twice: usize,
    /// Delivered a second time under another epoch.
    pub again: usize,
    pub gaps: usize,
    pub resets: usize,
    /// From the end of the fault to the first acknowledgement, and until every dashboard had a
    /// frame.
    pub recovered_posts: Option<Duration>,
    pub recovered_frames: Option<Duration>,
    /// In the order of the history.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Fails the test with the first violation and its history, if there is any.
    pub fn assert_clean(&self, history: &[Record]) {
        if let Some(first) = self.violations.first() {
            panic!("{}", self.explain(first, history));
        }
    }

    /// Describes a violation, with the records around it.
    pub fn explain(&self, violation: &Violation, history: &[Record]) -> String {
        let mut shown: Vec<usize> = Vec::new();
        let concerned = |index: &usize| history[*index].actor == violation.actor;
        let here = violation.index.min(history.len());
        shown.extend((0..here).rev().filter(concerned).take(AROUND));
        shown.extend((here..history.len()).filter(concerned).take(AROUND));
        if let Some(mark) = violation.mark {
            let of_mark = (0..history.len()).filter(|index| history[*index].action.concerns(mark));
            shown.extend(of_mark.take(OF_MARK));
        }
        let landmark = |index: &usize| {
            let record = &history[*index];
            record.actor == Actor::Stage
                || (concerned(index)
                    && matches!(record.action, Action::Connected { .. } | Action::Reset { .. }))
        };
        shown.extend((0..history.len()).filter(landmark));
        shown.sort_unstable();
        shown.dedup();

        let mut text = format!("{:?}, {}: {}\n", violation.kind, violation.actor, violation.text);
        let others = self.violations.len() - 1;
        if others > 0 {
            let _ = writeln!(text, "(the first of {} violations)", others + 1);
        }
        let mut before = None;
        for index in shown {
            if before.is_some_and(|before| before + 1 != index) {
                text.push_str("          …\n");
            }
            let pointer = if index == violation.index { ">" } else { " " };
            let _ = writeln!(text, "{pointer} {}", history[index]);
            before = Some(index);
        }
        text
    }
}

/// The first difference of two values, with its path.
pub fn difference(expected: &Value, found: &Value) -> Option<String> {
    let mut path = String::new();
    descend(expected, found, &mut path)
}

fn descend(expected: &Value, found: &Value, path: &mut String) -> Option<String> {
    let length = path.len();
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let _ = write!(path, "/{name}");
                let (left, right) = (one.get(name).unwrap_or(&Value::Null), other.get(name));
                let found = descend(left, right.unwrap_or(&Value::Null), path);
                if found.is_some() {
                    return found;
                }
                path.truncate(length);
            }
            None
        }
        (Value::Array(one), Value::Array(other)) => {
            for index in 0..one.len().max(other.len()) {
                let _ = write!(path, "/{index}");
                let (left, right) = (one.get(index), other.get(index));
                let found =
                    descend(left.unwrap_or(&Value::Null), right.unwrap_or(&Value::Null), path);
                if found.is_some() {
                    return found;
                }
                path.truncate(length);
            }
            None
        }
        _ if expected == found => None,
        _ => Some(format!("at {path}: {} expected, {} found", short(expected), short(found))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
