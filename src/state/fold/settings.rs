//! The settings of a class, as the fold reads them.
//!
//! The relay checks settings before it stores them, but anyone may insert an event with SQL. So the
//! fold takes whatever it finds: a member that is not usable counts as absent. The dashboard's fold
//! reads settings in the same way.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::heap::text_bytes;
use super::names::{self, CellsBy, NotebooksBy};
use super::values::{integer, text};
use crate::event::json;

/// Students of a roster: as many as a class stores.
pub(crate) const MAX_ROSTER: usize = 10_000;
/// The longest id of a student, in bytes.
const MAX_STUDENT_ID: usize = 200;
/// Failures in a row on one cell that make a student stuck, unless the class says otherwise.
const STUCK_FAILURES: i64 = 3;
/// How long any event keeps a student's status at `active`, unless the class says otherwise.
const ACTIVE_SPAN: Duration = Duration::from_secs(120);

/// The settings of a class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// As they were written: an object.
    pub(crate) text: Box<str>,
    pub(crate) cells_by: CellsBy,
    pub(crate) notebooks_by: NotebooksBy,
    pub(crate) thresholds: Thresholds,
    /// The roster, in its order; none if it is empty.
    pub(crate) roster: Arc<[Enrolled]>,
    /// Each student's place in the roster.
    places: HashMap<Box<str>, usize>,
}

/// From when on a student is stuck, or idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// Failures in a row on one cell that make a student stuck.
    pub(crate) stuck_after: i64,
    /// How long any event keeps a student's status at `active`.
    pub(crate) idle_after: Duration,
}

/// A student of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enrolled {
    pub(crate) student: Box<str>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) team: Option<Box<str>>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { stuck_after: STUCK_FAILURES, idle_after: ACTIVE_SPAN }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            text: "{}".into(),
            cells_by: CellsBy::default(),
            notebooks_by: NotebooksBy::default(),
            thresholds: Thresholds::default(),
            roster: Arc::default(),
            places: HashMap::new(),
        }
    }
}

impl Settings {
    /// Reads settings from JSON.
    pub(crate) fn parse(value: &str) -> Self {
        let mut this = Self::default();
        if !value.starts_with('{') {
            return this;
        }
        this.text = well_formed(value);
        let is = |value: &str, word: &str| text(value).as_deref() == Some(word);
        // Of a key that comes twice, the last counts, as in JavaScript.
        for (key, value) in json::members(value) {
            match &*key {
                "cellsBy" if is(value, "position") => this.cells_by = CellsBy::Position,
                "cellsBy" => this.cells_by = CellsBy::Id,
                "notebooksBy" if is(value, "name") => this.notebooks_by = NotebooksBy::Name,
                "notebooksBy" => this.notebooks_by = NotebooksBy::Path,
                "stuckAfter" => {
                    let after = integer(value).filter(|after| (1..=100).contains(after));
                    this.thresholds.stuck_after = after.unwrap_or(STUCK_FAILURES);
                }
                "idleAfter" => {
                    let after = integer(value).filter(|after| (10..=86_400).contains(after));
                    this.thresholds.idle_after =
                        after.map_or(ACTIVE_SPAN, |after| Duration::from_secs(after as u64));
                }
                "roster" => this.set_roster(value),
                _ => {}
            }
        }
        this
    }

    fn set_roster(&mut self, value: &str) {
        self.places = HashMap::new();
        let mut roster = Vec::new();
        if value.starts_with('[') {
            for enrolled in json::elements(value).take(MAX_ROSTER).filter_map(enrolled) {
                if !self.places.contains_key(&enrolled.student) {
                    self.places.insert(enrolled.student.clone(), roster.len());
                    roster.push(enrolled);
                }
            }
        }
        self.roster = roster.into();
    }

    /// The settings as a student may see them: without the roster and the outline.
    pub(in crate::state) fn without_names(&self) -> Self {
        let &Self { cells_by, notebooks_by, thresholds, .. } = self;
        Self { cells_by, notebooks_by, thresholds, ..Self::default() }
    }

    /// The name of a notebook.
    pub(crate) fn notebook_name(&self, path: &str) -> Option<String> {
        names::notebook(path.into(), self.notebooks_by).map(Cow::into_owned)
    }

    /// A student's entry in the roster.
    pub(crate) fn enrolled(&self, student: &str) -> Option<&Enrolled> {
        self.places.get(student).and_then(|&place| self.roster.get(place))
    }

    /// The bytes that the settings hold on the heap.
    pub(in crate::state) fn heap(&self) -> usize {
        let texts = |enrolled: &Enrolled| {
            let others = [&enrolled.name, &enrolled.team].into_iter().flatten();
            2 * text_bytes(&enrolled.student) + others.map(|text| text_bytes(text)).sum::<usize>()
        };
        let entry = size_of::<Enrolled>() + 2 * size_of::<(Box<str>, usize)>();
        text_bytes(&self.text)
            + self.roster.iter().map(texts).sum::<usize>()
            + self.roster.len() * entry
    }
}

/// Settings as they are sent to those who ask: SQL may have written what strict readers refuse, as
/// halves of surrogate pairs.
fn well_formed(value: &str) -> Box<str> {
    let mut text = String::with_capacity(value.len());
    match json::canonical(value, &mut text) {
        Ok(()) => text.into(),
        // Nested so deep that it is no use to anybody.
        Err(_) => value.into(),
    }
}

fn enrolled(value: &str) -> Option<Enrolled> {
    if !value.starts_with('{') {
        return None;
    }
    let (mut student, mut name, mut team) = (None, None, None);
    let boxed = |text: Cow<'_, str>| Box::from(&*text);
    for (key, value) in json::members(value) {
        match &*key {
            "id" => student = text(value).filter(|id| id.len() <= MAX_STUDENT_ID).map(boxed),
            "name" => name = text(value).map(boxed),
            "team" => team = text(value).map(boxed),
            _ => {}
        }
    }
    Some(Enrolled { student: student?, name, team })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_not_usable_are_absent() {
        for text in ["7", "null", "[]", r#"{"cellsBy":1,"roster":{},"stuckAfter":0}"#] {
            let settings = Settings::parse(text);
            assert_eq!(settings.cells_by, CellsBy::Id);
            assert_eq!(settings.thresholds, Thresholds::default());
            assert!(settings.roster.is_empty());
        }
    }

    #[test]
    fn what_strict_readers_refuse_is_mended() {
        let text = "{\"a\":\"\\ud800\\u0000\",\n\"roster\":[{\"id\":\"\\udc00\"}],\"a\":1}";
        let settings = Settings::parse(text);
        assert_eq!(&*settings.text, "{\"roster\":[{\"id\":\"\u{fffd}\"}],\"a\":1}");
        assert_eq!(Settings::parse(&settings.text), settings);
        assert!(settings.enrolled("\u{fffd}").is_some());
    }

    #[test]
    fn of_equal_ids_the_first_counts() {
        let text = r#"{"roster":[{"id":"a","name":"Ann"},{"id":""},7,{"id":"a","name":"Bea"},
            {"id":"b","team":"red"}]}"#;
        let settings = Settings::parse(text);
        assert_eq!(settings.roster.len(), 2);
        assert_eq!(settings.enrolled("a").and_then(|a| a.name.as_deref()), Some("Ann"));
        assert_eq!(settings.enrolled("b").and_then(|b| b.team.as_deref()), Some("red"));
        assert_eq!(settings.enrolled("c"), None);
    }
}
