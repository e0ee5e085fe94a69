//! The forms in which an export is written.

use super::event_rows;
use super::statements::{STATEMENT_BYTES, Statements};
use super::student_rows::{NoRoom, StudentRows};
use crate::event::StoredEvent;

/// Excel takes CSV for the system's own encoding unless it begins with this.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Bytes of a row beside an event's body: its ids, times and commas.
const ROW_BYTES: usize = 4096;

/// The form of an export, and what it has counted so far.
#[derive(Debug)]
pub(super) enum Form {
    /// A row for each event, with times that are `offset` seconds ahead of UTC.
    Csv { offset: i64 },
    /// A row for each student.
    Students(Box<StudentRows>),
    /// The events themselves, one a line.
    Ndjson,
    /// One JSON array of xAPI statements, one a line.
    Xapi(Statements),
    /// xAPI statements, one a line.
    XapiNdjson(Statements),
}

impl Form {
    /// The file's name for clients that know ASCII alone, the end of the one with the class's name,
    /// and the content type.
    pub(super) fn file(&self) -> (&'static str, &'static str, &'static str) {
        const CSV: &str = "text/csv; charset=utf-8; header=present";
        match self {
            Self::Csv { .. } => ("events.csv", ".csv", CSV),
            Self::Students(_) => ("students.csv", "-students.csv", CSV),
            Self::Ndjson => ("events.ndjson", ".ndjson", "application/x-ndjson"),
            Self::Xapi(_) => ("statements.json", "-xapi.json", "application/json"),
            Self::XapiNdjson(_) => ("statements.ndjson", "-xapi.ndjson", "application/x-ndjson"),
        }
    }

    /// Writes what comes before the events.
    pub(super) fn begin(&self, out: &mut String) {
        match self {
            Self::Csv { offset } => {
                out.push(BYTE_ORDER_MARK);
                event_rows::write_heading(*offset, out);
            }
            Self::Students(rows) => {
                out.push(BYTE_ORDER_MARK);
                rows.write_heading(out);
            }
            Self::Xapi(_) => out.push_str("[\n"),
            Self::Ndjson | Self::XapiNdjson(_) => {}
        }
    }

    /// The most bytes that an event with such a body is written with.
    pub(super) fn most_bytes(&self, body: &str) -> usize {
        match self {
            // Every character may be a quote, which is written twice, or have an apostrophe.
            Self::Csv { .. } => 2 * body.len() + ROW_BYTES,
            Self::Students(_) => 0,
            Self::Ndjson => body.len() + ROW_BYTES,
            // Paths and ids stand in several identifiers, in which a byte takes three.
            Self::Xapi(_) | Self::XapiNdjson(_) => 10 * body.len() + STATEMENT_BYTES,
        }
    }

    /// Writes an event, or counts it. `is_first` is whether nothing was written before.
    ///
    /// # Errors
    /// If there is no room for what is counted.
    pub(super) fn event(
        &mut self,
        event: &StoredEvent<'_>,
        is_first: &mut bool,
        out: &mut String,
    ) -> Result<(), NoRoom> {
        match self {
            Self::Csv { offset } => event_rows::write_row(event, *offset, out),
            Self::Students(rows) => rows.count(event)?,
            Self::Ndjson => {
                event.write(out);
                out.push('\n');
            }
            Self::Xapi(statements) => {
                let before = out.len();
                if !*is_first {
                    out.push_str(",\n");
                }
                if !statements.write(event, out) {
                    out.truncate(before);
                    return Ok(());
                }
            }
            Self::XapiNdjson(statements) => {
                if statements.write(event, out) {
                    out.push('\n');
                }
            }
        }
        *is_first = false;
        Ok(())
    }

    /// The next piece of what comes after the events; none once all was written. `is_first` as in
    /// [`Form::event`].
    pub(super) fn end(&mut self, is_ended: &mut bool, is_first: bool) -> Option<String> {
        match self {
            Self::Students(rows) => rows.next_rows(),
            Self::Xapi(_) if !std::mem::replace(is_ended, true) => {
                Some(if is_first { "]\n" } else { "\n]\n" }.to_owned())
            }
            _ => None,
        }
    }
}
