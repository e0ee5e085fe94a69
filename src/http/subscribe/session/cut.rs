//! One event cut to a size: its longest texts lose their ends, and `truncated` names the members
//! that are not whole.

use std::borrow::Cow;
use std::cmp::Reverse;

use super::json_prefix::prefix;
use crate::event::json;

/// Members that are always sent, and sent whole: they say which event it is, and where it belongs.
const KEPT: &[&str] =
    &["id", "classId", "studentId", "receivedAt", "eventId", "eventType", "eventTime", TRUNCATED];
const TRUNCATED: &str = "truncated";
/// Texts that are cut before any other.
const FIRST: &[&str] = &["code", "result", "errorMessage"];

/// Bytes that are left of a text of [`FIRST`] before other texts are cut.
const FIRST_FLOOR: usize = 256;
/// Bytes that are left of another text before members are left out.
const FLOOR: usize = 64;
/// Members that are looked at; any further ones are left out. Known clients send about twenty.
const MAX_MEMBERS: usize = 1000;
/// Names in `truncated`, and bytes of each. [`MORE`] stands for any further ones.
const MAX_NAMED: usize = 16;
const MAX_NAME_BYTES: usize = 64;
const MORE: &str = "…";

/// The braces around an event.
pub(super) const BRACES: usize = 2;

/// Whether a member is always sent.
pub(super) fn is_kept(key: &str) -> bool {
    KEPT.contains(&key)
}

/// Bytes that a member takes: its key, its value, a colon and a comma.
pub(super) fn size(key: &str, value: &str) -> usize {
    json::string_len(key) + value.len() + 2
}

/// How much of a member is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Whole,
    /// At most so many bytes of a text, as it is written in JSON, without its quotes.
    Part(usize),
    Nothing,
}

struct Member<'a> {
    key: Cow<'a, str>,
    /// As it is written in JSON.
    value: &'a str,
    /// Bytes of all but the value.
    overhead: usize,
    sent: Sent,
}

impl Member<'_> {
    fn is_text(&self) -> bool {
        self.value.starts_with('"')
    }

    /// Bytes of the text, as it is written in JSON, without its quotes.
    fn text_len(&self) -> usize {
        self.value.len().saturating_sub(2)
    }

    /// An upper bound of the bytes that are sent.
    fn size(&self) -> usize {
        match self.sent {
            Sent::Whole => self.overhead + self.value.len(),
            Sent::Part(bytes) => self.overhead + 2 + bytes,
            Sent::Nothing => 0,
        }
    }
}

/// An event that is over its size.
struct Event<'a> {
    members: Vec<Member<'a>>,
    /// The names that `truncated` had before.
    truncated: Vec<String>,
    /// Whether members beyond [`MAX_MEMBERS`] were left out.
    more: bool,
    max: usize,
}

/// Writes an event of these members in at most `max` bytes. If the members that are always sent
/// take more, the event is larger.
pub(super) fn write<'a>(
    members: impl Iterator<Item = (Cow<'a, str>, &'a str)>,
    max: usize,
    out: &mut String,
) {
    let mut event = Event::new(members, max);
    let fits = event.leave_out_large_values()
        || event.cut_texts(FIRST_FLOOR, |key| FIRST.contains(&key))
        || event.cut_texts(FLOOR, |key| !FIRST.contains(&key));
    if !fits {
        event.leave_out(max, |_| true);
    }
    event.write(out);
}

impl<'a> Event<'a> {
    fn new(members: impl Iterator<Item = (Cow<'a, str>, &'a str)>, max: usize) -> Self {
        let mut event = Self { members: Vec::new(), truncated: Vec::new(), more: false, max };
        for (key, value) in members {
            if key == TRUNCATED {
                let names =
                    json::elements(value).filter(|name| name.starts_with('"')).take(MAX_NAMED);
                event.truncated =
                    names.map(|name| shortened(&json::decode(name)).to_owned()).collect();
            } else if event.members.len() < MAX_MEMBERS || is_kept(&key) || FIRST.contains(&&*key) {
                let overhead = size(&key, "");
                event.members.push(Member { key, value, overhead, sent: Sent::Whole });
            } else {
                event.more = true;
            }
        }
        event
    }

    /// The names that stand in `truncated`.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.truncated.iter().map(String::as_str).collect();
        let mut more = self.more;
        for member in self.members.iter().filter(|member| member.sent != Sent::Whole) {
            let name = shortened(&member.key);
            if names.contains(&name) {
                continue;
            }
            if names.len() == MAX_NAMED {
                more = true;
                break;
            }
            names.push(name);
        }
        if more {
            names.push(MORE);
        }
        names
    }

    fn size(&self) -> usize {
        let names: usize = self.names().iter().map(|name| json::string_len(name) + 1).sum();
        let members: usize = self.members.iter().map(Member::size).sum();
        BRACES + members + size(TRUNCATED, "[]") + names
    }

    fn fits(&self) -> bool {
        self.size() <= self.max
    }

    /// Values that are no texts cannot be cut. Where they alone take over half of the room, the
    /// largest are left out.
    fn leave_out_large_values(&mut self) -> bool {
        self.leave_out(self.max / 2, |member| !member.is_text());
        self.fits()
    }

    /// Leaves out the largest of some members until these take no more than `max`, or the event
    /// fits. Those of [`FIRST`], which are cut by now, go last.
    fn leave_out(&mut self, max: usize, of: impl Fn(&Member<'a>) -> bool) {
        let mut some: Vec<usize> =
            (0..self.members.len()).filter(|&index| of(&self.members[index])).collect();
        some.sort_by_key(|&index| {
            let member = &self.members[index];
            (FIRST.contains(&&*member.key), Reverse(member.size()))
        });
        let mut size: usize = some.iter().map(|&index| self.members[index].size()).sum();
        for index in some {
            if is_kept(&self.members[index].key) {
                continue;
            }
            if size <= max && (max < self.max || self.fits()) {
                return;
            }
            size -= self.members[index].size();
            self.members[index].sent = Sent::Nothing;
        }
    }

    /// Cuts the longest of some texts to the length at which the event fits, but to no less than
    /// `floor` bytes.
    fn cut_texts(&mut self, floor: usize, of: impl Fn(&str) -> bool) -> bool {
        let some: Vec<usize> = (0..self.members.len())
            .filter(|&index| {
                let member = &self.members[index];
                let whole = member.sent == Sent::Whole && member.is_text() && !is_kept(&member.key);
                whole && member.text_len() > floor && of(&member.key)
            })
            .collect();
        let cut_to = |event: &mut Self, length: usize| {
            for &index in &some {
                let member = &mut event.members[index];
                member.sent =
                    if member.text_len() > length { Sent::Part(length) } else { Sent::Whole };
            }
            event.fits()
        };
        if !cut_to(self, floor) {
            return false;
        }
        // It fits at `low` and does not at `high`.
        let (mut low, mut high) = (floor, self.max);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if cut_to(self, middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        cut_to(self, low)
    }

    fn write(&self, out: &mut String) {
        out.push('{');
        for member in &self.members {
            let value = match member.sent {
                Sent::Nothing => continue,
                Sent::Whole => member.value,
                Sent::Part(bytes) => prefix(member.value, bytes),
            };
            json::write_string(&member.key, out);
            out.push(':');
            out.push_str(value);
            // The quote that was cut off.
            out.push_str(if matches!(member.sent, Sent::Part(_)) { "\"," } else { "," });
        }
        out.push_str("\"truncated\":[");
        for (index, name) in self.names().into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json::write_string(name, out);
        }
        out.push_str("]}");
    }
}

fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_BYTES)]
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn cut(event: &str, max: usize) -> (usize, Map<String, Value>) {
        let mut out = String::new();
        write(json::members(event), max, &mut out);
        let value: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        (out.len(), value.as_object().expect("an object").clone())
    }

    #[test]
    fn the_long_three_are_cut_before_other_texts() {
        let note = "n".repeat(1500);
        let event = json!({
            "id": 7, "eventType": "cell_executed", "code": "c".repeat(9000),
            "result": "r".repeat(3000), "note": note, "truncated": ["result"],
        });
        let (size, got) = cut(&event.to_string(), 4000);
        assert!((3990..=4000).contains(&size), "{size}");
        assert_eq!((&got["note"], &got["id"]), (&note.into(), &7.into()));
        let (code, result) =
            (got["code"].as_str().expect("text"), got["result"].as_str().expect("text"));
        assert_eq!(code.len(), result.len(), "the longest are cut to one length");
        assert_eq!(got["truncated"], json!(["result", "code"]), "merged with the names before");
        let (size, got) = cut(&event.to_string(), 1000);
        assert!(size <= 1000, "{size}");
        assert_eq!(got["code"].as_str().map(str::len), Some(FIRST_FLOOR));
        assert!(got["note"].as_str().is_some_and(|text| text.len() > FLOOR));
        assert_eq!(got["truncated"], json!(["result", "code", "note"]));
    }

    #[test]
    fn values_that_cannot_be_cut_are_left_out() {
        let event = json!({
            "id": 7, "code": "c".repeat(500), "outputs": vec!["x".repeat(100); 100], "tags": [1, 2],
        });
        let (_, got) = cut(&event.to_string(), 4000);
        assert_eq!(got["code"], "c".repeat(500), "it fits without the outputs");
        assert_eq!((&got["tags"], got.get("outputs")), (&json!([1, 2]), None));
        assert_eq!(got["truncated"], json!(["outputs"]));
    }

    #[test]
    fn countless_members_are_named_by_one() {
        for value in ["1", "\"x\"", "\"0123456789012345678901234567890123456789\""] {
            let members: Vec<String> = (0..20_000).map(|n| format!("\"{n}\":{value}")).collect();
            let event = format!("{{{},\"eventId\":\"e\",\"code\":\"c\"}}", members.join(","));
            let (size, got) = cut(&event, 4000);
            assert!(size <= 4000, "{size}");
            assert_eq!((&got["eventId"], &got["code"]), (&"e".into(), &"c".into()));
            let names = got["truncated"].as_array().expect("names");
            assert_eq!((names.len(), names.last()), (MAX_NAMED + 1, Some(&MORE.into())));
        }
    }

    /// For every event: valid JSON within its size, texts that are prefixes of the original texts,
    /// and every difference named.
    #[test]
    fn every_event_is_cut_to_its_size() {
        let mut random = fastrand::Rng::with_seed(7);
        let characters = ['a', '"', '\\', '\n', '\u{1b}', 'é', '漢', '😀'];
        for _ in 0..2_000 {
            let mut event = Map::new();
            for key in ["id", "eventId", "eventType"] {
                event.insert(key.to_owned(), "x".repeat(random.usize(1..60)).into());
            }
            for n in 0..random.usize(0..40) {
                let key = match n {
                    0 => "code".to_owned(),
                    1 => "errorMessage".to_owned(),
                    _ => {
                        format!(
                            "{}{n}",
                            characters[random.usize(..8)].to_string().repeat(random.usize(..90))
                        )
                    }
                };
                let length = 1 << random.usize(..12);
                let text: String = (0..length).map(|_| characters[random.usize(..8)]).collect();
                let value = match random.u8(..4) {
                    0 => json!({"in": [text, n]}),
                    1 => json!(n),
                    _ => json!(text),
                };
                event.insert(key, value);
            }
            if random.bool() {
                event.insert("truncated".to_owned(), json!(["code", "z"]));
            }
            let whole = Value::from(event.clone()).to_string();
            let max = random.usize(3_900..20_000);
            if whole.len() <= max {
                continue;
            }
            let (size, got) = cut(&whole, max);
            assert!(size <= max, "{size} of {max}: {whole}");
            let names: Vec<&str> = got["truncated"]
                .as_array()
                .expect("names")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            for (key, value) in &event {
                if key == TRUNCATED || got.get(key) == Some(value) {
                    continue;
                }
                assert!(!is_kept(key));
                assert!(
                    names.contains(&shortened(key)) || names.contains(&MORE),
                    "{key}: {names:?}"
                );
                if let (Some(Value::String(part)), Value::String(text)) = (got.get(key), value) {
                    assert!(text.starts_with(part), "{part:?} of {text:?}");
                }
            }
            assert!(got.keys().all(|key| key == TRUNCATED || event.contains_key(key)));
        }
    }
}
