//! Random events of a class, most of them of no form that a client sends.

use fastrand::Rng;
use progress_relay::event::{Micros, StoredEvent};

/// 2026-04-01T09:00:00Z.
pub(super) const NINE: i64 = 1_775_034_000_000_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
pub(super) const DAY: i64 = 24 * HOUR;

/// A row of the table.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) id: i64,
    student: &'static str,
    pub(super) received_at: i64,
    body: String,
}

impl Row {
    pub(super) fn stored(&self) -> StoredEvent<'_> {
        let Self { id, student, received_at, ref body } = *self;
        StoredEvent { id, class: "c", student, received_at: Micros(received_at), body }
    }
}

/// Makes events that no client sends.
pub(super) struct Hostile(pub(super) Rng);

/// Values of any type.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "1",
    "2.0",
    "2e0",
    "20e-1",
    "1.5",
    "1e308",
    "1e400",
    "-1e400",
    "5e-324",
    "1e-400",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993.0",
    "-9007199254740991",
    "123456789012345678901234567890",
    "0.30000000000000004",
    "\"\"",
    "\" \"",
    "\"1\"",
    "\"code\"",
    "\"CODE\"",
    "\"markdown\"",
    "\"help_stop\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud83d\"",
    "\"\\ud83d\\ude00\"",
    "\"a\\u0000b\"",
    "\"\u{7f}\\u001b[31m\"",
    "\"\u{2028}\"",
    "\"e\u{301}\"",
    "\"\u{e9}\"",
    "\"__proto__\"",
    "[]",
    "{}",
    "[\"x\"]",
    "{\"toString\":1}",
    "[[[[[[[[{\"a\":[1,2,{\"b\":null}]}]]]]]]]]",
];

/// Students of whom some look alike.
const STUDENTS: &[&str] =
    &["s1", "s2", "s3", "@class", "__proto__", "e\u{301}", "\u{e9}", "😀", "\u{ffff}"];

const TYPES: &[&str] = &[
    "cell_executed",
    "cell_executed",
    "cell_executed",
    "cell_executed",
    "cell_executed",
    "help",
    "help",
    "help_stop",
    "help_resolved",
    "help_claimed",
    "lesson_started",
    "settings_changed",
    "instructor_viewing",
    "student_erased",
    "class_deleted",
    "notebook_saved",
    "constructor",
];

/// Names of cells, notebooks and sessions, and parts of messages.
const NOTEBOOKS: &[&str] = &[
    "n.ipynb",
    "RTC:n.ipynb",
    "./n.ipynb",
    "//./n.ipynb",
    "a/n-Copy1.ipynb",
    "n-Copy.ipynb",
    "n-Copy1-Copy22.ipynb",
    ".ipynb-Copy3",
    "a:b:c/n-Copy9",
    "7:n.ipynb",
    "RTC:",
    "./",
    "日本語-Copy２.ipynb",
    "x/..",
    "n.ipynb/",
];
const WORDS: &[&str] = &[
    "0x1f",
    "0x7f3a9c0b12d0",
    "0XABCD",
    "0xABCDG",
    "1234567",
    "123456",
    "ipykernel_4711",
    "ipykernel_",
    "a94a8fe5ccb1",
    "a94a8fe5ccb",
    "deadbeefcafe",
    "123456789012a",
    "NameError:",
    "日本",
    "😀",
    "\\ud83d",
    "\\u0000",
    "\\n",
    "\\r",
    "_1234567",
    "550e8400-e29b-41d4-a716-446655440000",
    "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE",
    "550e8400-e29b-41d4-a716-44665544000",
    "12.py",
    "12.pyx",
    "In[",
    "In [",
    "ipython-input-",
    "5",
    "]",
    ".py",
    ".",
    "-",
];

/// Parts of times.
const YEARS: &[&str] = &[
    "0000", "0001", "0099", "0100", "1899", "1900", "1970", "1999", "2000", "2024", "2026", "2026",
    "2026", "2100", "2101", "2199", "2200", "9999", "+2026", "026",
];
const DAYS: &[&str] =
    &["01-01", "02-28", "02-29", "02-30", "04-01", "04-31", "12-31", "13-01", "00-10", "4-1"];
const CLOCKS: &[&str] = &[
    "00:00:00",
    "09:00:00",
    "09:00:04.999999",
    "09:00:05.0000009",
    "23:59:59.9999999",
    "23:59:60",
    "24:00:00",
    "9:00:00",
    "09:00:00,5",
    "09:00:00.",
];
const ZONES: &[&str] = &["Z", "z", "+09:00", "-00:00", "-23:59", "+24:00", "+0900", "", " Z"];

impl Hostile {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())]
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.0.u32(..count) == 0
    }

    /// From one event to the next, in microseconds.
    pub(super) fn step(&mut self) -> i64 {
        let usual = self.0.i64(0..20 * SECOND);
        let steps = [
            usual,
            usual,
            usual,
            usual,
            0,
            1,
            5 * SECOND,
            75 * SECOND - 1,
            75 * SECOND,
            300 * SECOND,
            1_800 * SECOND - 1,
            1_800 * SECOND,
            -3 * SECOND,
            -90 * SECOND,
            6 * HOUR - 1,
            6 * HOUR,
            DAY,
            7 * DAY,
            -2 * DAY,
        ];
        self.one(&steps)
    }

    pub(super) fn rows(&mut self) -> Vec<Row> {
        let (mut id, mut at) = (0, NINE);
        // Most classes have some usual time; a few live in years that no clock shows.
        let count = self.0.usize(1..80);
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            id += self.0.i64(1..4);
            at += self.step();
            let odd = [i64::MIN / 2, -62_135_596_800_000_000, 7_258_118_400_000_000, i64::MAX / 2];
            let received_at = if self.one_in(200) { self.one(&odd) } else { at };
            let student = self.one(STUDENTS);
            rows.push(Row { id, student, received_at, body: self.body(received_at) });
        }
        rows
    }

    /// An event's body: members in any order, some of them twice.
    fn body(&mut self, received_at: i64) -> String {
        let mut members = vec![("eventType", format!("\"{}\"", self.one(TYPES)))];
        for name in [
            "eventTime",
            "userName",
            "teamName",
            "sessionId",
            "notebookPath",
            "cellId",
            "cellType",
            "cellIndex",
            "executionCount",
            "hasError",
            "errorMessage",
            "until",
            "unconfigured",
            "actor",
            "by",
            "released",
            "title",
            "settings",
            "replaces",
            "message",
            "__proto__",
        ] {
            while self.one_in(2) {
                let value = self.member(name, received_at);
                members.push((name, value));
                if !self.one_in(20) {
                    break;
                }
            }
        }
        if self.one_in(30) {
            let value = self.one(VALUES).to_owned();
            members.push(("eventType", value));
        }
        self.0.shuffle(&mut members);
        let blank = self.one(&["", "", "", " ", "\n", "\t\r\n"]);
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value)| format!("{blank}\"{name}\"{blank}:{blank}{value}"))
            .collect();
        let body = format!("{{{}{blank}}}", members.join(","));
        if self.one_in(10) { body.replace("\"eventT", "\"\\u0065vent\\u0054") } else { body }
    }

    fn member(&mut self, name: &str, received_at: i64) -> String {
        if self.one_in(8) {
            return self.one(VALUES).to_owned();
        }
        match name {
            "eventTime" => self.time(received_at),
            "userName" | "teamName" | "actor" | "by" | "title" => self.text(),
            "sessionId" => self.one(&["\"k1\"", "\"k2\""]).to_owned(),
            "notebookPath" => format!("\"{}\"", self.one(NOTEBOOKS)),
            "cellId" => self.one(&["\"a\"", "\"b\"", "\"#1\"", "\"#-1\""]).to_owned(),
            "cellType" => self.one(&["\"code\"", "\"code\"", "\"markdown\"", "\"\""]).to_owned(),
            "cellIndex" => self.one(&["0", "1", "2", "3", "-1", "1.0"]).to_owned(),
            "executionCount" | "replaces" => self.one(&["1", "2", "3", "7", "30"]).to_owned(),
            "hasError" | "unconfigured" | "released" => self.one(&["true", "false"]).to_owned(),
            "errorMessage" | "message" => self.message(),
            "until" => "\"help_stop\"".to_owned(),
            "settings" => self.settings(),
            _ => self.one(VALUES).to_owned(),
        }
    }

    fn time(&mut self, received_at: i64) -> String {
        if !self.one_in(6) {
            return format!(
                "\"{}\"",
                Micros(received_at.saturating_add(self.step() / 2)).to_rfc3339()
            );
        }
        let (year, day, zone) = (self.one(YEARS), self.one(DAYS), self.one(ZONES));
        format!("\"{year}-{day}{}{}{zone}\"", self.one(&["T", "T", "t", " "]), self.one(CLOCKS))
    }

    /// A text of about the longest length, or a short one.
    fn text(&mut self) -> String {
        let unit = self.one(&["x", "é", "日", "😀", "\\ud800", "\\u0000"]);
        let bytes = match unit {
            "x" => 1,
            "é" => 2,
            "😀" => 4,
            _ => 3,
        };
        let count = self.one(&[0, 1, 1, 2, 200 / bytes, 1_024 / bytes, 1_024 / bytes + 1]);
        format!("\"{}\"", unit.repeat(count))
    }

    fn message(&mut self) -> String {
        let mut text = String::from("\"");
        if self.one_in(4) {
            let unit = self.one(&["x", "😀", "\\ud83d", "1"]);
            text.push_str(&unit.repeat(self.0.usize(195..205)));
        }
        for _ in 0..self.0.usize(..6) {
            text.push_str(self.one(WORDS));
            text.push_str(self.one(&["", "", " ", " ", "😀"]));
        }
        text.push('"');
        text
    }

    fn settings(&mut self) -> String {
        let mut members = Vec::new();
        for (name, values) in [
            ("cellsBy", &["\"id\"", "\"position\"", "\"position\""][..]),
            ("notebooksBy", &["\"path\"", "\"name\"", "\"name\""]),
            ("stuckAfter", &["1", "2", "2.0", "100", "101", "0", "1e2"]),
            ("idleAfter", &["10", "9", "86400", "86401", "60.0"]),
            ("roster", &["[]", "{}"]),
        ] {
            while self.one_in(2) {
                let value = match name {
                    _ if self.one_in(8) => self.one(VALUES).to_owned(),
                    "roster" if !self.one_in(4) => self.roster(),
                    _ => self.one(values).to_owned(),
                };
                members.push(format!("\"{name}\" : {value}"));
                if !self.one_in(10) {
                    break;
                }
            }
        }
        self.0.shuffle(&mut members);
        format!("{{{}}}", members.join(","))
    }

    fn roster(&mut self) -> String {
        let mut entries = Vec::new();
        for _ in 0..self.0.usize(..6) {
            let id = format!("\"{}\"", self.one(STUDENTS));
            let id = if self.one_in(6) { self.text() } else { id };
            let (name, team) = (self.text(), self.text());
            let entry = self.one(&[
                "{\"id\":I}",
                "{\"id\":I,\"name\":N}",
                "{\"id\":I,\"name\":N,\"team\":T,\"id\":I}",
                "{\"name\":N}",
                "I",
                "null",
            ]);
            entries.push(entry.replace('I', &id).replace('N', &name).replace('T', &team));
        }
        format!("[{}]", entries.join(","))
    }
}
