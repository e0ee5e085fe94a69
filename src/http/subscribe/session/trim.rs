//! Fewer and smaller events: a student's own alone; for a subscriber that asks for it without some
//! members (`fields=-code`), and in frames of a bounded size (`max=65536`).
//!
//! **A student's own.** A student is sent the events of its own name, which are its activity and
//! what instructors did about it, and that a lesson began. It is sent no other event of the class
//! itself: settings have the names of the roster, and whom an instructor looks at is not its
//! concern. Events are left out here, so that the session, its cursor and its marks are those of
//! every subscriber: a mark says that there is nothing more of the student's up to there.
//!
//! **Sizes.** A library that limits a frame's size ends the connection at a larger one. The client
//! resumes, meets the same frame, and so never gets past it. A subscriber that asks gets other
//! frames, made for it alone from those that all share; the others' frames cost no more than
//! before.

use super::cut;
use crate::event::{Epoch, StudentId, json};
use crate::http::query::Query;
use crate::log::{ChunkBuilder, ENVELOPE_BYTES, EncodedFrame, MAX_FRAME_BYTES};

/// The least that `max` may be: room for the members that identify an event, and for the names in
/// `truncated`.
const MIN_MAX: usize = 4096;
/// Most members that may be left out, and the longest name of one in bytes.
const MAX_LEFT_OUT: usize = 64;
const MAX_NAME_BYTES: usize = 100;
/// The events about the class itself that its students are sent: a lesson's beginning lowers hands
/// and forgets failures.
const FOR_STUDENTS: [&str; 1] = ["lesson_started"];
/// Who did it. A student reads who comes to its hand, and nothing more of whom.
const ACTOR: &str = "actor";

/// The events, members and sizes that a subscriber may not have or does not want.
#[derive(Debug, Default)]
pub(in crate::http) struct Trim {
    /// The student whose events alone are sent.
    own: Option<StudentId>,
    /// Members that are not sent.
    left_out: Vec<String>,
    /// Bytes of a frame.
    max_frame: Option<usize>,
}

/// How much of an event a subscriber may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    WithoutActor,
}

/// A parameter that cannot be used: its name, and what it must be.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct BadTrim {
    pub(in crate::http) parameter: &'static str,
    pub(in crate::http) reason: String,
}

impl Trim {
    /// Reads `fields` and `max` for a subscriber that is this student, or is none. `None` if
    /// everything is sent.
    pub(in crate::http) fn parse(
        query: &Query<'_>,
        own: Option<StudentId>,
    ) -> Result<Option<Self>, BadTrim> {
        let mut trim = Self { own, ..Self::default() };
        for list in query.all("fields") {
            for item in list.split(',') {
                trim.leave_out(item.trim())?;
            }
        }
        if let Some(text) = query.first("max") {
            trim.max_frame = Some(parse_max(text, query.all("max").count())?);
        }
        let trims = trim.own.is_some() || trim.max_frame.is_some() || !trim.left_out.is_empty();
        Ok(trims.then_some(trim))
    }

    fn leave_out(&mut self, item: &str) -> Result<(), BadTrim> {
        let wrong = |reason: String| BadTrim { parameter: "fields", reason };
        let name =
            item.strip_prefix('-').filter(|name| !name.is_empty() && name.len() <= MAX_NAME_BYTES);
        let name = name
            .ok_or_else(|| wrong("must list what to leave out: fields=-code,-result".to_owned()))?;
        if cut::is_kept(name) || self.left_out.iter().any(|other| other == name) {
            return Ok(());
        }
        if self.left_out.len() == MAX_LEFT_OUT {
            return Err(wrong(format!("may name at most {MAX_LEFT_OUT} members")));
        }
        self.left_out.push(name.to_owned());
        Ok(())
    }

    /// The same for frames that have `bytes` more around them.
    pub(in crate::http) fn with_room_for(mut self, bytes: usize) -> Self {
        self.max_frame = self.max_frame.map(|max| max - bytes);
        self
    }

    /// The frames of this subscriber, made from some of those that all share. Together they are
    /// hardly larger.
    pub(super) fn frames(&self, shared: &[EncodedFrame], epoch: &Epoch) -> Vec<EncodedFrame> {
        let max_frame = self.max_frame.unwrap_or(usize::MAX);
        let max_event = max_frame - ENVELOPE_BYTES;
        let mut builder =
            ChunkBuilder::with_max_frame(epoch.clone(), max_frame.min(MAX_FRAME_BYTES));
        let mut text = String::new();
        for frame in shared {
            for (id, event) in frame.events() {
                let Some(part) = self.part(event) else { continue };
                text.clear();
                self.write(event, part, max_event, &mut text);
                builder.push_written(id, &text, frame.received_at);
            }
        }
        builder.finish().iter().map(crate::log::Chunk::frame).collect()
    }

    /// How much of an event the subscriber may have; `None` for nothing.
    fn part(&self, event: &str) -> Option<Part> {
        let Some(own) = &self.own else { return Some(Part::Whole) };
        // The student stands before the members of the body: for most events it is all that is
        // read.
        let (_, student) = json::members(event).find(|(key, _)| key == "studentId")?;
        let student = json::decode(student);
        if student == own.as_str() {
            return Some(Part::Whole);
        }
        if !StudentId::is_the_class(&student) {
            return None;
        }
        let (_, kind) = json::members(event).filter(|(key, _)| key == "eventType").last()?;
        FOR_STUDENTS.contains(&&*json::decode(kind)).then_some(Part::WithoutActor)
    }

    fn write(&self, event: &str, part: Part, max: usize, out: &mut String) {
        let members = || {
            let wanted = move |key: &str| {
                !self.left_out.iter().any(|name| name == key)
                    && (part == Part::Whole || key != ACTOR)
            };
            json::members(event).filter(move |(key, _)| wanted(key))
        };
        let size: usize = members().map(|(key, value)| cut::size(&key, value)).sum();
        if size + cut::BRACES > max {
            return cut::write(members(), max, out);
        }
        out.push('{');
        for (index, (key, value)) in members().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json::write_string(&key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
    }
}

fn parse_max(text: &str, times: usize) -> Result<usize, BadTrim> {
    let wrong = |reason: String| Err(BadTrim { parameter: "max", reason });
    if times > 1 {
        return wrong("may be given once".to_owned());
    }
    // Digits alone: a sign or a unit is a mistake.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(max) if digits && max >= MIN_MAX => Ok(max),
        _ => wrong(format!("must be a number of bytes, {MIN_MAX} at least")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Micros, StoredEvent};

    fn parse(query: &str) -> Result<Option<Trim>, BadTrim> {
        Trim::parse(&Query::parse(query), None)
    }

    fn trim(query: &str) -> Trim {
        parse(query).expect("valid").expect("some")
    }

    #[test]
    fn parameters_are_checked() {
        assert!(parse("class=a&cursor=e.1").expect("valid").is_none());
        assert!(parse("fields=-id,-eventId").expect("valid").is_none(), "these always stay");
        let both = trim("fields=-code,%20-result&fields=-code&max=65536");
        assert_eq!(
            (both.left_out, both.max_frame),
            (vec!["code".to_owned(), "result".to_owned()], Some(65_536))
        );
        let many: Vec<String> = (0..=MAX_LEFT_OUT).map(|n| format!("-f{n}")).collect();
        let long = format!("fields=-{}", "x".repeat(MAX_NAME_BYTES + 1));
        let many = format!("fields={}", many.join(","));
        for query in [
            "fields=",
            "fields=code",
            "fields=-",
            "fields=-code,",
            "fields=-code,result",
            &long,
            &many,
        ] {
            assert_eq!(parse(query).expect_err(query).parameter, "fields", "{query}");
        }
        for query in
            ["max=", "max=0", "max=4095", "max=64KiB", "max=+5000", "max=-1", "max=5000&max=5000"]
        {
            assert_eq!(parse(query).expect_err(query).parameter, "max", "{query}");
        }
    }

    fn shared(bodies: &[String]) -> Vec<EncodedFrame> {
        shared_of(bodies.iter().map(|body| ("s", body.as_str())))
    }

    fn shared_of<'a>(events: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<EncodedFrame> {
        let mut builder = ChunkBuilder::new(Epoch::new("e1"));
        for (id, (student, body)) in (1..).zip(events) {
            // A class whose name tries to look like a member.
            let class = r#"a","studentId":"ann","#;
            builder.push(&StoredEvent { id, class, student, received_at: Micros(0), body });
        }
        builder.finish().iter().map(crate::log::Chunk::frame).collect()
    }

    #[test]
    fn a_student_is_sent_its_own_events_and_that_a_lesson_began() {
        let own = StudentId::of_client("ann").expect("a student");
        let with_query = |query: &str| {
            Trim::parse(&Query::parse(query), Some(own.clone())).expect("valid").expect("some")
        };
        let kind = |kind: &str| format!(r#"{{"eventType":"{kind}","actor":"Ito","code":"c"}}"#);
        let bodies = [
            ("ann", kind("help")),
            ("bob", kind("help")),
            ("bob", r#"{"studentId":"ann","x":{"studentId":"ann"}}"#.to_owned()),
            ("ann ", kind("help")),
            ("Ann", kind("help")),
            ("@class", kind("lesson_started")),
            ("@class", kind("settings_changed")),
            ("@class", kind("instructor_viewing")),
            ("@class", kind("cell_executed")),
            ("@class", r#"{"eventType":"lesson_started","eventType":"settings_changed"}"#.into()),
            ("@class", "{}".to_owned()),
            ("ann", kind("help_claimed")),
        ];
        let shared = shared_of(bodies.iter().map(|(student, body)| (*student, body.as_str())));
        for (query, has_code) in [("", true), ("fields=-code", false), ("max=4096", true)] {
            let frames = with_query(query).frames(&shared, &Epoch::new("e1"));
            let sent = events(&frames);
            let ids: Vec<_> = sent.iter().map(|event| event["id"].as_i64()).collect();
            assert_eq!(ids, [Some(1), Some(6), Some(12)], "{query}");
            assert_eq!(sent[2]["actor"], "Ito", "who comes to the hand");
            assert_eq!(sent[1].get("actor"), None);
            assert!(sent.iter().all(|event| event.get("code").is_some() == has_code), "{query}");
        }
        let of_others = shared_of(std::iter::once(("bob", "{}")));
        assert!(with_query("").frames(&of_others, &Epoch::new("e1")).is_empty());
    }

    fn events(frames: &[EncodedFrame]) -> Vec<serde_json::Value> {
        let mut events = Vec::new();
        for frame in frames {
            let whole: serde_json::Value = serde_json::from_slice(&frame.text).expect("JSON");
            let own = whole["events"].as_array().expect("events").clone();
            assert_eq!(own.last().expect("an event")["id"], frame.last);
            assert_eq!(whole["cursor"], format!("e1.{}", frame.last));
            events.extend(own);
        }
        events
    }

    #[test]
    fn members_are_left_out_and_frames_stay_within_max() {
        let bodies: Vec<String> = (0..200)
            .map(|n| {
                format!(
                    r#"{{"eventType":"x","code":"{}","n":{n},"result":"r"}}"#,
                    "y".repeat(50 * n)
                )
            })
            .collect();
        let shared = shared(&bodies);
        for query in ["fields=-code", "max=4096", "fields=-result&max=20000", "max=1000000000"] {
            let trim = trim(query);
            let frames = trim.frames(&shared, &Epoch::new("e1"));
            let max = trim.max_frame.unwrap_or(usize::MAX).min(MAX_FRAME_BYTES);
            assert!(frames.iter().all(|frame| frame.text.len() <= max), "{query}");
            let events = events(&frames);
            assert_eq!(events.len(), bodies.len(), "{query}");
            for (n, event) in events.iter().enumerate() {
                assert_eq!((&event["n"], &event["id"]), (&n.into(), &(n + 1).into()), "{query}");
                for name in ["code", "result"] {
                    assert_eq!(event.get(name).is_none(), query.contains(name), "{query}");
                }
                let cut = event["code"].as_str().is_some_and(|code| code.len() < 50 * n);
                assert_eq!(event.get("truncated").is_some(), cut, "{query}");
            }
        }
    }
}
