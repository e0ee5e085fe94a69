//! An event as it is stored in the table, and as it is delivered.

use std::fmt::Write as _;

use super::json;
use super::micros::Micros;

/// A row of the log.
#[derive(Debug, Clone, Copy)]
pub struct StoredEvent<'a> {
    /// The event's id, which is its position in the log.
    pub id: i64,
    /// The event's class.
    pub class: &'a str,
    /// The event's student.
    pub student: &'a str,
    /// The database's clock when it was stored.
    pub received_at: Micros,
    /// A JSON object. The relay wrote it, or another program that inserts events with SQL.
    pub body: &'a str,
}

/// The members that are delivered from the row's columns.
const COLUMNS: &[&str] = &["id", "classId", "studentId", "receivedAt"];

impl StoredEvent<'_> {
    /// Appends the event as it is delivered: the row's columns, then the members of the stored
    /// body.
    pub fn write(&self, out: &mut String) {
        // Writing into a String cannot fail.
        let _ = write!(out, "{{\"id\":{},\"classId\":", self.id);
        json::write_string(self.class, out);
        out.push_str(",\"studentId\":");
        json::write_string(self.student, out);
        let _ = write!(out, ",\"receivedAt\":\"{}\"", self.received_at.to_rfc3339());
        if self.is_written_by_relay() {
            let members = self.body.get(1..).unwrap_or("}");
            if members.trim_ascii_start() != "}" {
                out.push(',');
            }
            out.push_str(members);
        } else {
            self.write_foreign(out);
        }
    }

    /// Whether the body has the form that the relay's ingest writes, and can be copied unchanged.
    fn is_written_by_relay(&self) -> bool {
        // A line break outside of a string would end a line of `tail --json` or a field of SSE.
        // Inside a string it is escaped.
        let one_line = !self.body.contains(['\n', '\r']);
        // The relay escapes only control characters (the colours of tracebacks), but never U+0000
        // or a surrogate.
        let has_relays_escapes = self.body.match_indices("\\u").all(|(at, _)| {
            let digits = &self.body[at + 2..];
            digits.starts_with("00") && !digits.starts_with("0000")
        });
        self.body.starts_with('{')
            && self.body.ends_with('}')
            && one_line
            && has_relays_escapes
            && !json::members(self.body).any(|(key, _)| COLUMNS.contains(&&*key))
    }

    /// Appends the members of a body that another program has written.
    fn write_foreign(&self, out: &mut String) {
        for (key, value) in json::members(self.body) {
            if COLUMNS.contains(&&*key) {
                continue;
            }
            out.push(',');
            json::write_string(&key, out);
            out.push(':');
            let start = out.len();
            if json::canonical(value, out).is_err() {
                // The value is nested too deep to be serialised once more. As it stands it is valid
                // JSON, and without line breaks it fits on one line.
                out.truncate(start);
                out.extend(value.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
            }
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(body: &str) -> serde_json::Value {
        let row = StoredEvent { id: 7, class: "a\"b", student: "s", received_at: Micros(0), body };
        let mut out = String::new();
        row.write(&mut out);
        assert!(!out.contains('\n'), "{out}");
        serde_json::from_str(&out).expect("valid")
    }

    #[test]
    fn columns_come_first_and_replace_members_of_the_body() {
        for body in
            ["{}", "{  }", r#"{"x":1}"#, r#"{"id":9,"x":1}"#, "{\n\"x\" : 1 , \"classId\":\"z\"\n}"]
        {
            let event = delivered(body);
            assert_eq!(event["id"], 7, "{body}");
            assert_eq!(event["classId"], "a\"b", "{body}");
            assert_eq!(event["receivedAt"], "1970-01-01T00:00:00.000000Z", "{body}");
            assert_eq!(
                event["x"],
                if body.len() < 5 { serde_json::Value::Null } else { 1.into() },
                "{body}"
            );
        }
    }

    #[test]
    fn strings_that_other_programs_inserted_are_repaired() {
        assert_eq!(delivered(r#"{"a":"\ud83d","b":"\u001b[0m"}"#)["a"], "\u{fffd}");
        assert_eq!(delivered(r#"{"a":"\u0000"}"#)["a"], "\u{fffd}");
    }
}
