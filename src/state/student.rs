//! One student's state, and the rules by which an event changes it.

use std::collections::BTreeSet;

use super::kept::{Heap, text_bytes};
use super::observed::{Kind, Observed};
pub use crate::store::{LastRun, Student};

/// A run with the same session, notebook, cell and execution count whose time is this close to the
/// last one's is that one sent again. Old clients send a run up to five times, each time with an id
/// of its own.
const REPEAT_WINDOW: i64 = 5_000_000;
/// Without a repeat of `help` for this long a hand is down: clients repeat it every 10 s, a hidden
/// tab once a minute.
pub(super) const HELP_LAPSE: i64 = 75_000_000;
/// A `help` from before the `help_stop` by less than this was overtaken on its way. Clients delay
/// what they send by up to
/// 2.2 s and retry for 7 s; what is older is another device's clock.
const OVERTAKEN_WINDOW: i64 = 10_000_000;
/// Failures in a row on one cell that make a student stuck.
const STUCK_FAILURES: i64 = 3;
/// How long a failed run, and how long anything at all, says what a student is doing.
const ERROR_SPAN: i64 = 300_000_000;
const ACTIVE_SPAN: i64 = 120_000_000;

/// What a student is doing, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The hand is up.
    Help,
    /// Three failures in a row on a cell.
    Stuck,
    /// The last run failed lately.
    Error,
    /// Something came lately.
    Active,
    /// None of these.
    Idle,
}

impl Status {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Stuck => "stuck",
            Self::Error => "error",
            Self::Active => "active",
            Self::Idle => "idle",
        }
    }
}

/// A student in a class: the state, and what belongs to its keeping.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) state: Student,
    /// The cells that the student has run, as far as they are kept, by number.
    pub(super) cells: BTreeSet<u64>,
}

impl Heap for Kept {
    fn heap(&self) -> usize {
        self.state.heap()
    }
}

impl Heap for Student {
    fn heap(&self) -> usize {
        let run = self.last_run.as_ref();
        let run = run
            .map(|run| [&run.session_id, &run.notebook_path, &run.cell_id])
            .into_iter()
            .flatten();
        [
            &self.user_name,
            &self.team_name,
            &self.notebook_path,
            &self.cell_id,
            &self.last_event_type,
            &self.streak_cell,
        ]
        .into_iter()
        .chain(run)
        .filter_map(Option::as_deref)
        .map(text_bytes)
        .sum()
    }
}

/// What an event was, beside what it changed in the student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) raised: bool,
}

impl Student {
    /// A student of whom nothing is known but that something came at `received`.
    pub(super) fn new(received: i64) -> Self {
        Self { last_event_time: i64::MIN, last_received_at: received, ..Self::default() }
    }

    /// Whether the event is the last run sent again.
    pub(super) fn has_seen(&self, event: &Observed<'_>) -> bool {
        let Some(last) = &self.last_run else { return false };
        event.execution_count.is_some()
            && last.execution_count == event.execution_count
            && last.cell_id.as_deref() == event.cell.as_deref()
            && last.notebook_path.as_deref() == event.notebook.as_deref()
            && last.session_id.as_deref() == event.session.as_deref()
            && (event.time - last.at).abs() <= REPEAT_WINDOW
    }

    /// The instructor's act: it is no event of the student's, and changes the hand alone. Says
    /// whether it did.
    pub(super) fn resolve(&mut self) -> bool {
        let was_up = self.help_since.take().is_some();
        self.hand_closed |= was_up;
        was_up
    }

    /// Folds an event that is neither a repeat nor an instructor's.
    pub(super) fn fold(&mut self, event: &Observed<'_>) -> Seen {
        let late = event.moment() < self.last_event_time.min(self.last_received_at);
        self.last_received_at = self.last_received_at.max(event.received);
        if !late {
            self.arrive(event);
        }
        let mut seen = Seen::default();
        match event.kind {
            Kind::Run => self.run(event, late),
            Kind::Help => seen.raised = self.help(event),
            Kind::HelpStop => self.lower(event),
            Kind::HelpResolved | Kind::Other => {}
        }
        seen
    }

    /// What is "last".
    fn arrive(&mut self, event: &Observed<'_>) {
        self.last_event_time = event.time;
        set(&mut self.last_event_type, event.event_type.as_deref());
        if let Some(name) = event.user_name.as_deref() {
            set(&mut self.user_name, Some(name));
        }
        if let Some(team) = event.team_name.as_deref() {
            set(&mut self.team_name, Some(team));
        }
        if let Some(notebook) = event.notebook.as_deref()
            && self.notebook_path.as_deref() != Some(notebook)
        {
            self.notebook_path = Some(notebook.into());
            (self.cell_id, self.cell_index) = (None, None);
        }
        if let Some(cell) = event.cell.as_deref() {
            set(&mut self.cell_id, Some(cell));
            self.cell_index = event.cell_index;
        }
    }

    fn run(&mut self, event: &Observed<'_>, late: bool) {
        self.cells_executed += 1;
        self.error_count += i64::from(event.failed);
        if late {
            return;
        }
        let last = self.last_run.get_or_insert_default();
        let same_cell = last.cell_id.as_deref() == event.cell.as_deref()
            && last.notebook_path.as_deref() == event.notebook.as_deref();
        if event.failed {
            self.consecutive_errors = if same_cell { self.consecutive_errors + 1 } else { 1 };
            set(&mut self.streak_cell, event.cell.as_deref());
        } else {
            self.consecutive_errors = 0;
            self.streak_cell = None;
        }
        set(&mut last.session_id, event.session.as_deref());
        set(&mut last.notebook_path, event.notebook.as_deref());
        set(&mut last.cell_id, event.cell.as_deref());
        last.execution_count = event.execution_count;
        (last.at, last.received_at) = (event.time, event.received);
    }

    /// Returns whether the hand went up.
    fn help(&mut self, event: &Observed<'_>) -> bool {
        let moment = event.moment();
        if self.hand_lowered_at.is_some_and(|at| at - OVERTAKEN_WINDOW < moment && moment < at) {
            return false;
        }
        let lapsed = self.last_help_at.is_none_or(|last| event.received - last >= HELP_LAPSE);
        let raised = lapsed || (self.help_since.is_none() && !self.hand_closed);
        if raised {
            self.help_since = Some(event.received);
            self.hand_closed = false;
        }
        self.last_help_at = self.last_help_at.max(Some(event.received));
        raised
    }

    fn lower(&mut self, event: &Observed<'_>) {
        (self.help_since, self.last_help_at, self.hand_closed) = (None, None, false);
        self.hand_lowered_at = self.hand_lowered_at.max(Some(event.moment()));
    }

    /// What the student is doing at `now`, by the database's clock, and until when if nothing
    /// comes; `None`: for good.
    pub fn status(&self, now: i64) -> (Status, Option<i64>) {
        let until = |from: Option<i64>, span: i64| {
            from.map(|from| from.saturating_add(span)).filter(|&until| now < until)
        };
        if let Some(until) = until(self.help_since.and(self.last_help_at), HELP_LAPSE) {
            return (Status::Help, Some(until));
        }
        if self.consecutive_errors >= STUCK_FAILURES {
            return (Status::Stuck, None);
        }
        let failed = self.last_run.as_ref().filter(|_| self.consecutive_errors > 0);
        if let Some(until) = until(failed.map(|run| run.received_at), ERROR_SPAN) {
            return (Status::Error, Some(until));
        }
        match until(Some(self.last_received_at), ACTIVE_SPAN) {
            Some(until) => (Status::Active, Some(until)),
            None => (Status::Idle, None),
        }
    }
}

/// Sets a text; one that is there already is not written again.
fn set(slot: &mut Option<Box<str>>, text: Option<&str>) {
    if slot.as_deref() != text {
        *slot = text.map(Into::into);
    }
}
