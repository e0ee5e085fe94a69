//! CSV with a row for each event.

use super::members::Members;
use super::spreadsheet::{write_text, write_time, zone_name};
use crate::event::{StoredEvent, json};

/// The columns: the event's own names. Behind the first comes its time as spreadsheets read it.
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

/// The names of the columns. The last one names the fields that are not whole.
pub(super) fn write_heading(offset: i64, out: &mut String) {
    for (index, column) in COLUMNS.into_iter().enumerate() {
        out.push_str(column);
        out.push(',');
        if index == 0 {
            out.push_str("time (");
            out.push_str(&zone_name(offset));
            out.push_str("),");
        }
    }
    out.push_str("truncated\r\n");
}

/// The row of an event.
pub(super) fn write_row(event: &StoredEvent<'_>, offset: i64, out: &mut String) {
    let members = Members::of(event);
    let event_time = members.event_time();
    let mut truncated: Vec<String> = Vec::new();
    if let Some(names) = members.value("truncated").filter(|value| value.starts_with('[')) {
        let names = json::elements(names).filter(|name| name.starts_with('"'));
        truncated.extend(names.map(|name| json::decode(name).into_owned()));
    }
    for column in COLUMNS {
        let is_cut = match (column, event_time) {
            ("id", _) => {
                out.push_str(&event.id.to_string());
                out.push(',');
                write_time(members.moment(event.received_at), offset, out);
                false
            }
            ("eventTime", Some(time)) => {
                out.push_str(&time.to_rfc3339());
                false
            }
            ("receivedAt", _) => {
                out.push_str(&event.received_at.to_rfc3339());
                false
            }
            ("studentId", _) => write_text(event.student, out),
            ("cellIndex" | "executionCount" | "hasError" | "executionDurationMs", _) => {
                write_value(members.value(column), true, out)
            }
            _ => write_value(members.value(column), false, out),
        };
        out.push(',');
        if is_cut && !truncated.iter().any(|name| name == column) {
            truncated.push(column.to_owned());
        }
    }
    write_text(&truncated.join(" "), out);
    out.push_str("\r\n");
}

/// Writes a member's value. A number or a truth value stays one where the column is of such;
/// another program may have inserted any other value. Returns whether it was cut.
fn write_value(value: Option<&str>, is_number: bool, out: &mut String) -> bool {
    match value {
        None | Some("null") => false,
        Some(value) if value.starts_with('"') => write_text(&json::decode(value), out),
        Some(value) if value.starts_with(['{', '[']) || !is_number => write_text(value, out),
        Some(value) => {
            out.push_str(value);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Micros;

    fn row(body: &str) -> String {
        let event =
            StoredEvent { id: 7, class: "c", student: "0042", received_at: Micros(0), body };
        let mut out = String::new();
        write_row(&event, 9 * 3600, &mut out);
        out
    }

    #[test]
    fn a_row_has_every_column() {
        let body = concat!(
            r#"{"eventType":"help","eventTime":"2026-11-23T15:36:03.5Z","cellIndex":-3,"#,
            r#""hasError":true,"userName":null,"cellId":7.0,"result":{"a":"b,c"}}"#
        );
        assert_eq!(
            row(body),
            concat!(
                "7,1970-01-01 09:00:00,1970-01-01T00:00:00.000000Z,2026-11-23T15:36:03.500000Z,",
                "help,\"'0042\",,,,,\"'7.0\",-3,,,true,,,,\"{\"\"a\"\":\"\"b,c\"\"}\",\r\n"
            )
        );
        let mut heading = String::new();
        write_heading(9 * 3600, &mut heading);
        assert!(heading.starts_with("id,time (UTC+09:00),receivedAt,eventTime,"), "{heading}");
        assert_eq!(heading.matches(',').count(), row("{}").matches(',').count());
    }

    #[test]
    fn fields_that_are_not_whole_are_named() {
        let long = "x".repeat(40_000);
        let row = row(&format!(r#"{{"truncated":["result"],"code":"{long}","result":"{long}"}}"#));
        assert!(row.ends_with(",\"result code\"\r\n"), "{}", &row[row.len() - 40..]);
        assert!(row.len() < 70_000);
    }
}
