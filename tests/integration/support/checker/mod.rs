//! Judges a run by its records alone: was anything that was acknowledged lost, doubled or
//! reordered?
//!
//! # The checks
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
//!   of its last event; an epoch and an id name the same event in every frame, answer and row.
//! - **State**: the summary of every replica and of a fresh one equals the fold of the table's
//!   events, and `rebuild-state --check` finds no difference.
//!
//! # Announced loss
//!
//! A `reset` moves a dashboard from a position P (its last cursor) to a position Q (the cursor in
//! the reset). The *announced gap* of the reset holds everything that may lie between the two:
//!
//! - of P's epoch, the ids beyond P, and of Q's epoch the ids up to Q; an event that is known in
//!   both epochs counts as in P's;
//! - every event that is known in neither epoch;
//! - if both epochs are the same, the ids between P and Q.
//!
//! An acknowledged event that a dashboard did not get is an **announced loss** if it is in the gap
//! of one of this dashboard's resets, and either stands in Q's epoch up to Q, or was acknowledged
//! at most [`AGREEMENT`] after that reset. Any other is a **silent loss**.
//!
//! An acknowledged event that is not in the table is an announced loss of the table if every
//! dashboard had a reset to another epoch than the event's at most [`AGREEMENT`] before the
//! acknowledgement, or after it.

mod dashboard;
mod history;
mod judging;
mod reading;
mod report;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use dashboard::Dashboard;
use serde_json::Value;

pub use history::{Action, Actor, Position, Record, Recorder};
pub use report::{Report, Violation, ViolationKind};

/// Within this time all connections of a relay lead to the same server. A reset does not excuse an
/// acknowledgement that a server which was left behind gives later than this after the reset.
pub const AGREEMENT: Duration = Duration::from_secs(2);

/// The allowance for a busy machine in every measured time.
pub const LATE: Duration = Duration::from_millis(500);

/// The promise that the database is configured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing acknowledged may be missing from the table.
    Durable,
    /// A failover may lose acknowledged events if the loss is announced.
    Asynchronous,
}

/// A row of the table: its id and its mark.
pub type Row = (i64, i64);

/// A summary of the class, from one replica.
#[derive(Debug, Clone)]
pub struct State {
    /// The replica that was asked.
    pub of: String,
    /// The cursor of the summary.
    pub position: Position,
    /// The summary without the members that depend on the time of the request.
    pub value: Value,
}

/// The table, the summaries and the snapshots once all requests and frames had ended.
#[derive(Debug, Clone, Default)]
pub struct Afterwards {
    /// The table's epoch.
    pub epoch: String,
    /// The table in the order of ids.
    pub rows: Vec<Row>,
    /// The fold of the table's events.
    pub expected: Value,
    pub states: Vec<State>,
    /// The exit code and the output of `rebuild-state --check`.
    pub rebuild: Option<(i32, String)>,
}

/// Judges a run by its history and by the database afterwards.
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

/// Everything that is known of one event.
#[derive(Default)]
struct Event {
    sent: Option<usize>,
    /// The index and the time of the first 2xx.
    acknowledged: Option<(usize, Duration)>,
    /// The time of the last 2xx.
    last_acknowledged: Duration,
    /// Every position at which it was stored or delivered.
    positions: HashSet<Position>,
    in_table: bool,
}

struct Checker<'a> {
    history: &'a [Record],
    afterwards: &'a Afterwards,
    promise: Promise,
    dashboards: BTreeMap<usize, Dashboard>,
    events: BTreeMap<i64, Event>,
    /// The event at each known position: its mark, and the index of the record that named it.
    known: BTreeMap<Position, (i64, usize)>,
    report: Report,
}

impl<'a> Checker<'a> {
    fn new(history: &'a [Record], afterwards: &'a Afterwards, promise: Promise) -> Self {
        let mut events: BTreeMap<i64, Event> = BTreeMap::new();
        for (id, mark) in &afterwards.rows {
            let event = events.entry(*mark).or_default();
            event.in_table = true;
            event.positions.insert(Position::new(&afterwards.epoch, *id));
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

    fn violation(
        &mut self,
        index: usize,
        kind: ViolationKind,
        actor: Actor,
        mark: Option<i64>,
        text: String,
    ) {
        self.report.violations.push(Violation { index, kind, actor, mark, text });
    }

    /// Notes that an event has this position; two events with one position are a violation.
    fn know(&mut self, position: Position, mark: i64, index: usize, actor: Actor) {
        self.events.entry(mark).or_default().positions.insert(position.clone());
        match self.known.get(&position) {
            Some((other, _)) if *other != mark => {
                let other = *other;
                let text = format!(
                    "{position} is the event marked {mark} here and the event marked {other} \
                     elsewhere"
                );
                self.violation(index, ViolationKind::MixedEpochs, actor, Some(mark), text);
            }
            Some(_) => {}
            None => {
                self.known.insert(position, (mark, index));
            }
        }
    }

    fn finish(mut self) -> Report {
        let ends = self.history.iter().rev().find(|record| record.action == Action::CauseEnds);
        if let Some(end) = ends.map(|record| record.at) {
            let after = || self.history.iter().filter(move |record| record.at >= end);
            let acknowledged = after()
                .find(|record| matches!(record.action, Action::Answered { status: 200..=299, .. }));
            self.report.recovered_posts = acknowledged.map(|record| record.at - end);
            let mut first: BTreeMap<usize, Duration> = BTreeMap::new();
            for record in after() {
                if let (Actor::Dashboard(number), Action::Progress { .. }) =
                    (record.actor, &record.action)
                {
                    first.entry(number).or_insert(record.at - end);
                }
            }
            // The first frame of the dashboard that got its first frame last.
            let all = first.len() == self.dashboards.len();
            self.report.recovered_frames = first.values().max().copied().filter(|_| all);
        }
        // The sort is stable: violations of one record keep the order of the checks.
        self.report.violations.sort_by_key(|violation| violation.index);
        self.report
    }
}
