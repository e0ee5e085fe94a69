//! The events that students' extensions send.

use std::fmt::Write as _;

use bytes::Bytes;
use time::OffsetDateTime;
use time::macros::format_description;

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Run { failed: bool },
    Opened,
    Saved,
    Help,
    HelpStop,
}

/// One event of a student.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) kind: Act,
    pub(super) student: u32,
    pub(super) cell: u32,
    pub(super) execution: u64,
}

/// The body of a POST as JupyterLab's Cell Monitor 1.1.4 sends it, of about 450 bytes a run. Its
/// texts contain no brace, which keeps the scan of the dashboards short. The sequence numbers of
/// the events begin with `first`.
pub(super) fn body(marker: &str, first: usize, sent: u64, events: &[Occurrence]) -> Bytes {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let time = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    let mut out = String::with_capacity(events.len() * 560 + 2);
    for (index, event) in (first..).zip(events) {
        let event_id =
            uuid::Builder::from_random_bytes(fastrand::u128(..).to_le_bytes()).into_uuid();
        let &Occurrence { kind, student, cell, execution } = event;
        let name = match kind {
            Act::Run { .. } => "cell_executed",
            Act::Opened => "notebook_opened",
            Act::Saved => "notebook_saved",
            Act::Help => "help",
            Act::HelpStop => "help_stop",
        };
        out.push(if index == first { '[' } else { ',' });
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            "{{{marker}{index}\",\"simulateSentAt\":{sent},\"eventId\":\"{event_id}\",\
             \"eventType\":\"{name}\",\"eventTime\":\"{time}\",\
             \"emailAddress\":\"s{student:04}@example.com\",\
             \"teamName\":\"Team {team}\",\"userName\":\"Student {student}\",\
             \"sessionId\":\"17e2b34b-0de8-4810-ac52-{student:012x}\",\
             \"notebookPath\":\"lesson1.ipynb\"",
            team = student % 20,
        );
        if let Act::Run { failed } = kind {
            let _ = write!(
                out,
                ",\"cellId\":\"c-{cell}\",\"cellIndex\":{cell},\"cellType\":\"code\",\"code\":\"x \
                     = 6*7\\nx\",\
                 \"executionCount\":{execution},",
            );
            out.push_str(if failed {
                "\"hasError\":true,\"errorMessage\":\"NameError: name 'y' is not \
                     defined\",\"executionDurationMs\":1"
            } else {
                "\"hasError\":false,\"result\":\"42\",\"executionDurationMs\":1"
            });
        }
        out.push('}');
    }
    out.push(']');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::scan;

    #[test]
    fn a_body_is_json_with_the_stamps_of_its_events() {
        let run =
            |failed| Occurrence { kind: Act::Run { failed }, student: 3, cell: 1, execution: 2 };
        let help = Occurrence { kind: Act::Help, ..run(true) };
        let body = body("\"simulateSeq\":\"ab-", 7, 99, &[run(true), run(false), help]);
        let events: Vec<Box<serde_json::value::RawValue>> =
            serde_json::from_slice(&body).expect("valid");
        let stamps: Vec<_> =
            events.iter().map(|event| scan::stamp(event.get(), "\"simulateSeq\":\"ab-")).collect();
        assert_eq!(stamps, [Some((7, 99)), Some((8, 99)), Some((9, 99))]);
        let size = events[0].get().len();
        assert!((400..600).contains(&size), "{size}");
    }
}
