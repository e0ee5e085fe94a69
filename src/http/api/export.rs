//! `GET /api/class/export`: all of a class's events, oldest first, as CSV or NDJSON; a page at a
//! time, as fast as the client takes them.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, Stream};
use http::{HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;
use warp::Reply;
use warp::reply::Response;

use super::request::ApiRequest;
use crate::database::{LogRow, PageError, Pages};
use crate::event::{ClassId, Epoch, StoredEvent, json};
use crate::http::budget::AnswerBudget;
use crate::http::problem::Problem;
use crate::repeated::Repeated;

/// Events read at a time.
const PAGE_ROWS: usize = 500;
/// Bytes after which a page ends early: one event may hold megabytes.
const PAGE_BYTES: usize = 4 << 20;
/// Bytes of a row beside an event's body, in which every character may be a quote that is written
/// twice.
const ROW_BYTES: usize = 4096;
/// How long an export waits for its part of the budget, and how often it looks.
const ROOM_PATIENCE: Duration = Duration::from_secs(60);
const ROOM_RETRY: Duration = Duration::from_millis(100);
/// Exports that ended early; in an outage each one under way does.
static BROKEN_OFF: Repeated = Repeated::new();

/// The columns of CSV: the event's own names.
const COLUMNS: [&str; 18] = [
    "id",
    "receivedAt",
    "eventTime",
    "eventType",
    "studentId",
    "userName",
    "teamName",
    "sessionId",
    "notebookPath",
    "cellId",
    "cellIndex",
    "cellType",
    "executionCount",
    "hasError",
    "executionDurationMs",
    "errorMessage",
    "code",
    "result",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

impl ApiRequest<'_> {
    pub(super) async fn export(&self) -> Result<Response, Problem> {
        let class = self.class()?;
        let format = match self.once("format")? {
            None | Some("csv") => Format::Csv,
            Some("ndjson") => Format::Ndjson,
            Some(_) => return Err(Problem::bad_parameter("format", "is csv or ndjson")),
        };
        let (extension, content_type) = match format {
            Format::Csv => ("csv", "text/csv; charset=utf-8; header=present"),
            Format::Ndjson => ("ndjson", "application/x-ndjson"),
        };
        let name = utf8_percent_encode(class.as_str(), NON_ALPHANUMERIC);
        let disposition = format!(
            "attachment; filename=\"events.{extension}\"; filename*=UTF-8''{name}.{extension}"
        );
        let mut export = Export {
            pages: self.relay.pages.clone(),
            answers: self.relay.answers.clone(),
            class,
            format,
            after: 0,
            until: i64::MAX,
            epoch: None,
        };
        // The first page before the answer begins: a database that is away is still an error then.
        let first = export.page().await?;
        let mut response = warp::reply::stream(export.stream(first)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(disposition) = HeaderValue::from_str(&disposition) {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        Ok(response)
    }
}

/// An export under way.
struct Export {
    pages: Pages,
    answers: AnswerBudget,
    class: ClassId,
    format: Format,
    after: i64,
    /// The newest id when it began: later events are left out, or it might never end.
    until: i64,
    /// The first page's epoch; in another, ids mean other events.
    epoch: Option<Epoch>,
}

/// A page's text with its part of the budget, and whether there is more.
type Page = (Bytes, bool);

impl Export {
    /// The export, `first` included. An error breaks the body off, so that the client notices that
    /// rows are missing.
    fn stream(mut self, first: Page) -> impl Stream<Item = Result<Bytes, PageError>> + Send + Sync {
        let header =
            if self.format == Format::Csv { COLUMNS.join(",") + "\r\n" } else { String::new() };
        let (mut text, mut more) = first;
        // A page waits here while the client takes the one before: no more than two are held.
        let (mut sender, receiver) = mpsc::channel(0);
        tokio::spawn(async move {
            if !header.is_empty() && sender.send(Ok(header.into())).await.is_err() {
                return;
            }
            // Once the client has gone nothing can be sent.
            while sender.send(Ok(std::mem::take(&mut text))).await.is_ok() && more {
                (text, more) = match self.page().await {
                    Ok(page) => page,
                    Err(error) => {
                        if let Some(due) = BROKEN_OFF.met(&error.to_string()) {
                            tracing::warn!(class = %self.class, "an export was broken off{due}: \
                                 {error}");
                        }
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                };
            }
        });
        receiver
    }

    /// The next page, once there is room for something of it.
    async fn page(&mut self) -> Result<Page, PageError> {
        let deadline = Instant::now() + ROOM_PATIENCE;
        loop {
            let (text, more) = self.try_page().await?;
            if !text.is_empty() || !more {
                return Ok((text, more));
            }
            if Instant::now() >= deadline {
                return Err(PageError::Busy);
            }
            tokio::time::sleep(ROOM_RETRY).await;
        }
    }

    /// A page, as large as there is room for; empty if there is none.
    async fn try_page(&mut self) -> Result<Page, PageError> {
        let (mut out, mut until, mut last) = (String::new(), self.until, self.after);
        let (format, mut room, mut epoch) = (self.format, self.answers.begin(), self.epoch.clone());
        let extent = self
            .pages
            .read(std::slice::from_ref(&self.class), self.after, PAGE_ROWS, |row| {
                let event = match row {
                    LogRow::Header(header) => {
                        until = until.min(header.newest.unwrap_or(i64::MAX));
                        let expected = epoch.get_or_insert_with(|| header.epoch.clone());
                        if *expected != header.epoch {
                            return ControlFlow::Break(());
                        }
                        return ControlFlow::Continue(());
                    }
                    LogRow::Event(event) => event,
                };
                if event.id > until
                    || out.len() > PAGE_BYTES
                    || !room.grow(out.len() + 2 * event.body.len() + ROW_BYTES)
                {
                    return ControlFlow::Break(());
                }
                last = event.id;
                match format {
                    Format::Csv => write_csv(event, &mut out),
                    Format::Ndjson => {
                        event.write(&mut out);
                        out.push('\n');
                    }
                }
                ControlFlow::Continue(())
            })
            .await?;
        if epoch.as_ref() != Some(&extent.header.epoch) {
            return Err(PageError::OtherEpoch);
        }
        (self.until, self.after, self.epoch) = (until, last, epoch);
        let more = extent.events == PAGE_ROWS || (extent.broken_off && extent.last <= until);
        Ok((room.hold(out.into()), more))
    }
}

fn write_csv(event: &StoredEvent<'_>, out: &mut String) {
    let members: Vec<_> = json::members(event.body).collect();
    for (index, column) in COLUMNS.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match column {
            "id" => out.push_str(&event.id.to_string()),
            "receivedAt" => out.push_str(&event.received_at.to_rfc3339()),
            "studentId" => write_field(event.student, out),
            _ => {
                let value = members.iter().rfind(|(key, _)| key == column).map(|&(_, value)| value);
                match value {
                    None | Some("null") => {}
                    Some(value) if value.starts_with('"') => write_field(&json::decode(value), out),
                    // Numbers and booleans as they are; anything else (SQL may have put it there)
                    // as text.
                    Some(value) if value.starts_with(['{', '[']) => write_field(value, out),
                    Some(value) => out.push_str(value),
                }
            }
        }
    }
    out.push_str("\r\n");
}

/// A text as RFC 4180 has it. Spreadsheets run a text that begins with one of a few characters
/// as a formula, and students write these texts: an apostrophe before it makes it a text there.
fn write_field(text: &str, out: &mut String) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = formula || text.contains(['"', ',', '\n', '\r']);
    if quoted {
        out.push('"');
    }
    if formula {
        out.push('\'');
    }
    if quoted {
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Micros;

    #[test]
    fn fields_are_quoted_and_no_formulas() {
        for (text, field) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"\n", "\"say \"\"x\"\"\n\""),
            ("=1+1", "\"'=1+1\""),
            ("-1", "\"'-1\""),
            ("", ""),
        ] {
            let mut out = String::new();
            write_field(text, &mut out);
            assert_eq!(out, field);
        }
    }

    #[test]
    fn a_row_has_every_column() {
        let body = concat!(
            r#"{"eventType":"help","cellIndex":3,"hasError":true,"userName":null,"#,
            r#""result":{"a":"b,c"}}"#
        );
        let event = StoredEvent { id: 7, class: "c", student: "s", received_at: Micros(0), body };
        let mut out = String::new();
        write_csv(&event, &mut out);
        assert_eq!(
            out,
            "7,1970-01-01T00:00:00.000000Z,,help,s,,,,,,3,,,true,,,,\"{\"\"a\"\":\"\"b,c\"\"}\"\r\n"
        );
    }
}
