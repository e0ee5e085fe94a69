//! Judges a run by its records alone: was anything that was acknowledged lost, doubled or
//! reordered?
//!
//! # What is checked
//!
//! - **Acknowledged ⊆ delivered.** An event is *acknowledged* when its POST was answered 2xx. A
//!   dashboard is *owed* every acknowledged event that was first sent after the dashboard's first
//!   `live`.
//! - **Acknowledged ⊆ table**, each mark once.
//! - **A good event is never refused**: no answer of 300 to 499.
//! - **Order.** Ids and cursors increase strictly at each dashboard as long as no `reset` comes,
//!   across its connections.
//! - **Nothing twice**: a mark comes to a dashboard once in an epoch. A second time under another
//!   epoch is counted (`again`), and is no violation.
//! - **No unannounced gap.** Between two cursors of one dashboard without a `reset` between them
//!   lies no event that is known to have this epoch and was not delivered to it. Known are the rows
//!   of the table (for its epoch), what any dashboard received, and the cursors of
//!   acknowledgements.
//! - **Epochs do not mix.** A dashboard's epoch changes only by a `reset`; a frame's cursor is that
//!   of its last event; an epoch and an id name one event, wherever they are seen.
//! - **State**: every replica's summary, that of a fresh replica and `rebuild-state --check` are
//!   what the table's events make.
//!
//! # Announced loss
//!
//! A `reset` takes a dashboard from a place P (its last cursor) to a place Q (the cursor in the
//! reset). The *announced gap* of the reset holds what may have happened between the two:
//!
//! - of P's epoch, the ids beyond P, and of Q's epoch the ids up to Q; an event that is known in
//!   both epochs counts as in P's;
//! - every event that is known in neither epoch: of an epoch in between, or of no known place;
//! - if both epochs are the same, the ids between P and Q.
//!
//! An acknowledged event that a dashboard did not get is an **announced loss** if it is in the gap
//! of one of this dashboard's resets, and either stands in Q's epoch up to Q, or was acknowledged
//! at most [`AGREEMENT`] after that reset. Any other is a **silent loss**.
//!
//! An acknowledged event that is not in the table is an announced loss of the table if every
//! dashboard had a reset to another epoch than the event's at most [`AGREEMENT`] before the
//! acknowledgement, or after it.

mod history;
mod report;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use history::{Place, Record, Recorder, What, Who};
pub use report::{Kind, Report, Violation};

/// Within this, a relay's connections agree on one server (DESIGN, section 2). An acknowledgement
/// that comes later on a server that was left behind is not excused by a reset before it.
pub const AGREEMENT: Duration = Duration::from_secs(2);

/// What a busy machine may be late in what is measured here.
pub const LATE: Duration = Duration::from_millis(500);

/// What the database was configured to promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing acknowledged may be missing from the table.
    Durable,
    /// A failover may lose what was acknowledged, if that is announced.
    Asynchronous,
}

/// A row of the table: id and mark.
pub type Row = (i64, i64);

/// What one way of asking for the class's state says.
#[derive(Debug, Clone)]
pub struct State {
    /// Who was asked.
    pub of: String,
    /// Up to where it holds.
    pub place: Place,
    /// The state, without what depends on the time of asking.
    pub value: Value,
}

/// What was found once everything had come to rest.
#[derive(Debug, Clone, Default)]
pub struct Afterwards {
    /// The table's epoch.
    pub epoch: String,
    /// The table in the order of ids.
    pub rows: Vec<Row>,
    /// What the table's events make.
    pub expected: Value,
    pub states: Vec<State>,
    /// `rebuild-state --check`: its exit code and what it said.
    pub rebuild: Option<(i32, String)>,
}

/// Judges a run.
pub fn check(history: &[Record], afterwards: &Afterwards, promise: Promise) -> Report {
    let mut checker = Checker::new(history, afterwards, promise);
    checker.read_history();
    checker.find_contradictions();
    checker.find_gaps();
    checker.find_losses();
    checker.look_at_table();
    checker.find_phantoms();
    checker.look_at_state();
    checker.finish()
}

/// A step from one cursor to the next without a reset between them.
struct Step {
    index: usize,
    epoch: Arc<str>,
    after: i64,
    through: i64,
}

struct Jump {
    at: Duration,
    from: Option<Place>,
    to: Place,
}

impl Jump {
    fn changes_epoch(&self) -> bool {
        self.from.as_ref().is_none_or(|from| from.epoch != self.to.epoch)
    }

    /// Whether an event that was seen at these places was there when the reset was made.
    fn went_over(&self, places: &HashSet<Place>) -> bool {
        places.iter().any(|place| place.epoch == self.to.epoch && place.id <= self.to.id)
    }

    /// Whether an event that was seen at these places is in the announced gap.
    fn covers(&self, places: &HashSet<Place>) -> bool {
        let of = |epoch: &Arc<str>| places.iter().find(|place| place.epoch == *epoch);
        let from = self.from.as_ref();
        let beyond = from.and_then(|from| Some(of(&from.epoch)?.id > from.id));
        let before = of(&self.to.epoch).map(|place| place.id <= self.to.id);
        if self.changes_epoch() {
            // In an epoch that the dashboard never was in: then the reset is all that it is told.
            beyond.or(before).unwrap_or(true)
        } else {
            beyond.unwrap_or(false) && before.unwrap_or(false)
        }
    }
}

#[derive(Default)]
struct Dashboard {
    /// Where in the history its first `live` is.
    began: Option<usize>,
    place: Option<Place>,
    steps: Vec<Step>,
    jumps: Vec<Jump>,
    /// What it got, by place.
    got: HashMap<Place, i64>,
    /// The places of each mark that it got.
    places: HashMap<i64, Vec<Place>>,
}

#[derive(Default)]
struct Event {
    sent: Option<usize>,
    /// When the first 2xx came: where in the history, and the time.
    acknowledged: Option<(usize, Duration)>,
    /// When the last 2xx came.
    last_acknowledged: Duration,
    /// Every epoch and id under which it was seen.
    places: HashSet<Place>,
    in_table: bool,
}

struct Checker<'a> {
    history: &'a [Record],
    afterwards: &'a Afterwards,
    promise: Promise,
    dashboards: BTreeMap<usize, Dashboard>,
    events: BTreeMap<i64, Event>,
    /// Whatever is known to stand somewhere: mark, and where in the history that was seen.
    known: BTreeMap<Place, (i64, usize)>,
    report: Report,
}

impl<'a> Checker<'a> {
    fn new(history: &'a [Record], afterwards: &'a Afterwards, promise: Promise) -> Self {
        let mut events: BTreeMap<i64, Event> = BTreeMap::new();
        for (id, mark) in &afterwards.rows {
            let event = events.entry(*mark).or_default();
            event.in_table = true;
            event.places.insert(Place::new(&afterwards.epoch, *id));
        }
        Self {
            history,
            afterwards,
            promise,
            dashboards: BTreeMap::new(),
            events,
            known: BTreeMap::new(),
            report: Report::default(),
        }
    }

    fn violation(&mut self, index: usize, kind: Kind, who: Who, mark: Option<i64>, text: String) {
        self.report.violations.push(Violation { index, kind, who, mark, text });
    }

    /// Remembers that an event stands somewhere; another one may not stand there too.
    fn know(&mut self, place: Place, mark: i64, index: usize, who: Who) {
        self.events.entry(mark).or_default().places.insert(place.clone());
        match self.known.get(&place) {
            Some((other, _)) if *other != mark => {
                let other = *other;
                let text = format!(
                    "{place} is the event marked {mark} here and the one marked {other} elsewhere"
                );
                self.violation(index, Kind::MixedEpochs, who, Some(mark), text);
            }
            Some(_) => {}
            None => {
                self.known.insert(place, (mark, index));
            }
        }
    }

    fn read_history(&mut self) {
        let history = self.history;
        for (index, record) in history.iter().enumerate() {
            match record.who {
                Who::Stage => {}
                Who::Producer(_) => self.producer(index, record),
                Who::Dashboard(number) => {
                    // Taken out while it is worked on.
                    let mut dashboard = self.dashboards.remove(&number).unwrap_or_default();
                    self.dashboard(index, record, &mut dashboard);
                    self.dashboards.insert(number, dashboard);
                }
            }
        }
    }

    fn producer(&mut self, index: usize, record: &Record) {
        match &record.what {
            What::Sent { mark } => {
                self.events.entry(*mark).or_default().sent.get_or_insert(index);
            }
            What::Answered { mark, status: 200..=299, place } => {
                let event = self.events.entry(*mark).or_default();
                event.acknowledged.get_or_insert((index, record.at));
                event.last_acknowledged = record.at;
                if let Some(place) = place {
                    self.know(place.clone(), *mark, index, record.who);
                }
            }
            What::Answered { mark, status: status @ 300..=499, .. } => {
                self.report.refused += 1;
                let text = format!(
                    "the event marked {mark} is good, and was answered {status}: clients drop it"
                );
                self.violation(index, Kind::Refused, record.who, Some(*mark), text);
            }
            What::GaveUp { .. } => self.report.given_up += 1,
            _ => {}
        }
    }

    fn dashboard(&mut self, index: usize, record: &Record, dashboard: &mut Dashboard) {
        let who = record.who;
        match &record.what {
            What::Connected { from, .. } if *from != dashboard.place => {
                let said =
                    |place: &Option<Place>| place.as_ref().map_or("none".into(), Place::to_string);
                let (asked, has) = (said(from), said(&dashboard.place));
                let text = format!("it resumes by cursor {asked}, and its last one is {has}");
                self.violation(index, Kind::Harness, who, None, text);
            }
            What::Live { place } => {
                dashboard.began.get_or_insert(index);
                self.advance(index, who, dashboard, place, "live");
            }
            What::Mark { place } => self.advance(index, who, dashboard, place, "mark"),
            What::Reset { place, .. } => {
                self.report.resets += 1;
                let from = dashboard.place.replace(place.clone());
                dashboard.jumps.push(Jump { at: record.at, from, to: place.clone() });
            }
            What::Progress { place, events } => {
                let mut last = dashboard.place.clone();
                for (id, mark) in events {
                    let here = Place { epoch: Arc::clone(&place.epoch), id: *id };
                    if let Some(before) = last.as_ref().filter(|last| last.epoch == here.epoch)
                        && *id <= before.id
                    {
                        let text =
                            format!("the event marked {mark} has id {id} and comes after {before}");
                        self.violation(index, Kind::OutOfOrder, who, Some(*mark), text);
                    }
                    last = Some(here.clone());
                    self.received(index, who, dashboard, here, *mark);
                }
                if events.last().is_none_or(|(id, _)| *id != place.id) {
                    let text = format!("the cursor {place} is not that of the frame's last event");
                    self.violation(index, Kind::MixedEpochs, who, None, text);
                }
                // Without a cursor before it, nothing is owed before the first event.
                if dashboard.place.is_none() {
                    let first = events.first().map_or(place.id, |(id, _)| id - 1);
                    dashboard.place = Some(Place { epoch: Arc::clone(&place.epoch), id: first });
                }
                self.advance(index, who, dashboard, place, "progress");
            }
            _ => {}
        }
    }

    fn received(
        &mut self,
        index: usize,
        who: Who,
        dashboard: &mut Dashboard,
        place: Place,
        mark: i64,
    ) {
        let before = dashboard.places.entry(mark).or_default();
        if let Some(same) = before.iter().find(|other| other.epoch == place.epoch) {
            let text = format!(
                "the event marked {mark} came as {same} before, and comes again as {place}"
            );
            self.report.twice += 1;
            self.violation(index, Kind::Twice, who, Some(mark), text);
        } else if !before.is_empty() {
            self.report.again += 1;
        }
        before.push(place.clone());
        dashboard.got.insert(place.clone(), mark);
        self.know(place, mark, index, who);
    }

    /// A frame without a reset moves the cursor.
    fn advance(
        &mut self,
        index: usize,
        who: Who,
        dashboard: &mut Dashboard,
        to: &Place,
        frame: &str,
    ) {
        if let Some(from) = &dashboard.place {
            if from.epoch != to.epoch {
                let text =
                    format!("a {frame} goes from {from} to {to}, another epoch, without a reset");
                self.violation(index, Kind::MixedEpochs, who, None, text);
            } else if to.id < from.id {
                let text = format!("a {frame} goes back from {from} to {to}");
                self.violation(index, Kind::OutOfOrder, who, None, text);
            } else {
                let (epoch, after) = (Arc::clone(&to.epoch), from.id);
                dashboard.steps.push(Step { index, epoch, after, through: to.id });
            }
        }
        dashboard.place = Some(to.clone());
    }

    /// The table has the last word on what stands where in its own epoch.
    fn find_contradictions(&mut self) {
        let end = self.history.len();
        for (id, mark) in &self.afterwards.rows {
            let place = Place::new(&self.afterwards.epoch, *id);
            let index = self.known.get(&place).map_or(end, |(_, index)| *index);
            self.know(place, *mark, index, Who::Stage);
        }
    }

    fn find_phantoms(&mut self) {
        let end = self.history.len();
        let table: HashMap<i64, i64> = self.afterwards.rows.iter().copied().collect();
        for (number, dashboard) in std::mem::take(&mut self.dashboards) {
            let mut phantoms: Vec<_> = dashboard.got.iter().collect();
            phantoms.retain(|(place, _)| {
                *place.epoch == *self.afterwards.epoch && !table.contains_key(&place.id)
            });
            phantoms.sort();
            for (place, mark) in phantoms {
                let index = self.known.get(place).map_or(end, |(_, index)| *index);
                let text = format!(
                    "the event marked {mark} was delivered as {place}, where the table has none"
                );
                self.violation(index, Kind::Phantom, Who::Dashboard(number), Some(*mark), text);
            }
            self.dashboards.insert(number, dashboard);
        }
    }

    fn find_gaps(&mut self) {
        let mut found = Vec::new();
        for (number, dashboard) in &self.dashboards {
            for step in &dashboard.steps {
                let place = |id| Place { epoch: Arc::clone(&step.epoch), id };
                let (first, last) = (place(step.after.saturating_add(1)), place(step.through));
                if first > last {
                    continue;
                }
                for (place, (mark, _)) in self.known.range(first..=last) {
                    if !dashboard.got.contains_key(place) {
                        let (after, through) = (step.after, step.through);
                        let text = format!(
                            "the cursor went from {after} to {through} without the event marked \
                                 {mark} at {place}"
                        );
                        found.push((step.index, Who::Dashboard(*number), *mark, text));
                    }
                }
            }
        }
        self.report.gaps = found.len();
        for (index, who, mark, text) in found {
            self.violation(index, Kind::Gap, who, Some(mark), text);
        }
    }

    fn find_losses(&mut self) {
        let end = self.history.len();
        let mut found = Vec::new();
        for (mark, event) in &self.events {
            let (Some((index, first)), Some(sent)) = (event.acknowledged, event.sent) else {
                continue;
            };
            for (number, dashboard) in &self.dashboards {
                if dashboard.places.contains_key(mark)
                    || dashboard.began.is_none_or(|began| began > sent)
                {
                    continue;
                }
                let announced = dashboard.jumps.iter().any(|jump| {
                    let in_time = first <= jump.at + AGREEMENT || jump.went_over(&event.places);
                    in_time && jump.covers(&event.places)
                });
                if announced {
                    self.report.lost_announced += 1;
                    continue;
                }
                let behind = dashboard.place.as_ref().is_some_and(|place| {
                    *place.epoch == *self.afterwards.epoch
                        && event.places.iter().any(|at| at.epoch == place.epoch && at.id > place.id)
                });
                let who = Who::Dashboard(*number);
                found.push(match behind {
                    true => (
                        end,
                        Kind::Behind,
                        who,
                        *mark,
                        "at its end it had not come so far".to_owned(),
                    ),
                    false => (
                        index,
                        Kind::LostSilently,
                        who,
                        *mark,
                        "it never came, without a word".to_owned(),
                    ),
                });
            }
        }
        for (index, kind, who, mark, text) in found {
            self.report.lost_silently += 1;
            let text = format!("the event marked {mark} was acknowledged: {text}");
            self.violation(index, kind, who, Some(mark), text);
        }
    }

    fn look_at_table(&mut self) {
        let end = self.history.len();
        let mut seen = HashMap::new();
        for (id, mark) in &self.afterwards.rows {
            if let Some(other) = seen.insert(*mark, *id) {
                let text =
                    format!("the event marked {mark} is in the table twice, as {other} and {id}");
                self.report.twice += 1;
                self.violation(end, Kind::Twice, Who::Stage, Some(*mark), text);
            }
        }
        let reachable = self
            .history
            .iter()
            .find(|record| record.what == What::Reachable)
            .map(|record| record.at);
        let mut missing = Vec::new();
        for (mark, event) in &self.events {
            let Some((index, first)) = event.acknowledged else { continue };
            self.report.acknowledged += 1;
            if event.in_table {
                continue;
            }
            let left = |jump: &Jump| {
                jump.changes_epoch()
                    && first <= jump.at + AGREEMENT
                    && event.places.iter().all(|place| place.epoch != jump.to.epoch)
            };
            let announced = !self.dashboards.is_empty()
                && self.dashboards.values().all(|dashboard| dashboard.jumps.iter().any(left));
            missing.push((index, *mark, announced, event.last_acknowledged));
        }
        for (index, mark, announced, last) in missing {
            match announced {
                true => self.report.orphaned_announced += 1,
                false => self.report.orphaned_silently += 1,
            }
            if let Some(late) = reachable.and_then(|reachable| last.checked_sub(reachable)) {
                self.report.orphan_time = self.report.orphan_time.max(late);
            }
            let text = format!("the event marked {mark} was acknowledged and is not in the table");
            if !announced {
                self.violation(index, Kind::NotInTable, Who::Stage, Some(mark), text);
            } else if self.promise == Promise::Durable {
                let text = format!("{text}; it was announced, but the database promised more");
                self.violation(index, Kind::NotInTable, Who::Stage, Some(mark), text);
            }
        }
        if self.report.orphan_time > AGREEMENT + LATE {
            let late = self.report.orphan_time;
            let text = format!(
                "{late:?} after a primary was reachable, an event was acknowledged elsewhere"
            );
            self.violation(end, Kind::Orphan, Who::Stage, None, text);
        }
        self.report.delivered = self
            .events
            .iter()
            .filter(|(mark, event)| {
                event.acknowledged.is_some()
                    && self.dashboards.values().all(|dashboard| dashboard.places.contains_key(mark))
            })
            .count();
    }

    fn look_at_state(&mut self) {
        let (afterwards, end) = (self.afterwards, self.history.len());
        let last = afterwards.rows.last().map_or(0, |(id, _)| *id);
        for state in &afterwards.states {
            let of = &state.of;
            if *state.place.epoch != *afterwards.epoch || state.place.id < last {
                let (epoch, at) = (&afterwards.epoch, &state.place);
                let text = format!(
                    "the summary of {of} holds up to {at}, and the table goes to {epoch}.{last}"
                );
                self.violation(end, Kind::StateDiffers, Who::Stage, None, text);
            }
            if let Some(difference) = report::difference(&afterwards.expected, &state.value) {
                let text = format!("the summary of {of} is not what the table makes: {difference}");
                self.violation(end, Kind::StateDiffers, Who::Stage, None, text);
            }
        }
        if let Some((code, said)) = &afterwards.rebuild
            && *code != 0
        {
            let text = format!("rebuild-state --check ends with {code}: {}", said.trim());
            self.violation(end, Kind::StateDiffers, Who::Stage, None, text);
        }
    }

    fn finish(mut self) -> Report {
        let ends = self.history.iter().rev().find(|record| record.what == What::CauseEnds);
        if let Some(end) = ends.map(|record| record.at) {
            let after = || self.history.iter().filter(move |record| record.at >= end);
            let acknowledged = after()
                .find(|record| matches!(record.what, What::Answered { status: 200..=299, .. }));
            self.report.recovered_posts = acknowledged.map(|record| record.at - end);
            let mut first: BTreeMap<usize, Duration> = BTreeMap::new();
            for record in after() {
                if let (Who::Dashboard(number), What::Progress { .. }) = (record.who, &record.what)
                {
                    first.entry(number).or_insert(record.at - end);
                }
            }
            // The last dashboard's first frame.
            let all = first.len() == self.dashboards.len();
            self.report.recovered_frames = first.values().max().copied().filter(|_| all);
        }
        // A stable sort: of one moment, the order in which they were found.
        self.report.violations.sort_by_key(|violation| violation.index);
        self.report
    }
}
