//! One student's state, and the rules by which an event changes it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::heap::{Heap, text_bytes};
use super::normalized_event::{EventKind, NormalizedEvent};
use crate::event::Micros;

/// A run with the session, notebook, cell and execution count of the last run, and a time this
/// close to its time, is that run sent again. Old clients send a run up to five times, each time
/// with another event id.
const REPEAT_WINDOW: Duration = Duration::from_secs(5);
/// Without a repeat of `help` for this long a hand is down: clients repeat it every 10 s, a hidden
/// tab once a minute.
const HELP_LAPSE: Duration = Duration::from_secs(75);
/// A `help` that is earlier than the `help_stop` by less than this was overtaken by it on the way.
/// Clients delay their events by up to 2.2 s and retry for 7 s; an older `help` is of another
/// device's clock.
const OVERTAKEN_WINDOW: Duration = Duration::from_secs(10);
/// Failures in a row on one cell that make a student stuck.
const STUCK_FAILURES: i64 = 3;
/// How long a failed run keeps a student's status at `error`.
const ERROR_SPAN: Duration = Duration::from_secs(300);
/// How long any event keeps a student's status at `active`.
const ACTIVE_SPAN: Duration = Duration::from_secs(120);

/// A student's status, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The hand is up.
    Help,
    /// Three failures in a row on a cell.
    Stuck,
    /// The last run failed, less than [`ERROR_SPAN`] ago.
    Error,
    /// An event was received less than [`ACTIVE_SPAN`] ago.
    Active,
    /// None of these.
    Idle,
}

impl Status {
    /// The status as it is written on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Stuck => "stuck",
            Self::Error => "error",
            Self::Active => "active",
            Self::Idle => "idle",
        }
    }
}

/// The state of a student.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Student {
    /// The last name that was not empty.
    pub(crate) user_name: Option<Box<str>>,
    /// The last team that was not empty.
    pub(crate) team_name: Option<Box<str>>,
    /// The notebook that the student is in.
    pub(crate) notebook_path: Option<Box<str>>,
    /// The cell of that notebook that the student is in.
    pub(crate) cell_id: Option<Box<str>>,
    /// That cell's place in the notebook.
    pub(crate) cell_index: Option<i64>,
    /// The type of the last event that was not late.
    pub(crate) last_event_type: Option<Box<str>>,
    /// The time of that event, by the client's clock.
    pub(crate) last_event_time: Micros,
    /// When any event, also a late one, was last received, by the database's clock.
    pub(crate) last_received_at: Micros,
    /// Runs, without repeats.
    pub(crate) cells_executed: i64,
    /// Runs that failed.
    pub(crate) error_count: i64,
    /// Failures in a row on the last run's cell; 0 when the last run succeeded.
    pub(crate) consecutive_errors: i64,
    /// That cell; none when it has no id or the count is 0.
    pub(crate) streak_cell: Option<Box<str>>,
    /// The last run that was not late.
    pub(crate) last_run: Option<LastRun>,
    /// When the hand was raised, by the database's clock. [`Student::status`] says whether it is
    /// still up.
    pub(crate) help_since: Option<Micros>,
    /// When `help` was last received.
    pub(crate) last_help_at: Option<Micros>,
    /// Whether an instructor has resolved the request: repeats do not raise the hand again.
    pub(crate) hand_closed: bool,
    /// The moment of the last `help_stop`.
    pub(crate) hand_lowered_at: Option<Micros>,
}

/// The last run, by which its repeats are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LastRun {
    pub(crate) session_id: Option<Box<str>>,
    pub(crate) notebook_path: Option<Box<str>>,
    pub(crate) cell_id: Option<Box<str>>,
    /// The kernel's count.
    pub(crate) execution_count: Option<i64>,
    /// By the client's clock.
    pub(crate) at: Micros,
    /// By the database's clock.
    pub(crate) received_at: Micros,
}

/// A student of a class in memory: the state, the student's number, and the cells with stored runs.
#[derive(Debug, Default)]
pub(in crate::state) struct NumberedStudent {
    pub(in crate::state) number: u64,
    pub(in crate::state) state: Student,
    /// The cells' numbers.
    pub(in crate::state) cells: BTreeSet<u64>,
}

impl Heap for NumberedStudent {
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

impl Student {
    /// A student of whom an event was received at `received`, and nothing else is known.
    pub(super) fn new(received: Micros) -> Self {
        Self { last_event_time: Micros::MIN, last_received_at: received, ..Self::default() }
    }

    /// Whether the event is a repeat: the last run sent again.
    pub(super) fn is_repeat(&self, event: &NormalizedEvent<'_>) -> bool {
        let Some(last) = &self.last_run else { return false };
        event.execution_count.is_some()
            && last.execution_count == event.execution_count
            && last.cell_id.as_deref() == event.cell.as_deref()
            && last.notebook_path.as_deref() == event.notebook.as_deref()
            && last.session_id.as_deref() == event.session.as_deref()
            && event.time.distance(last.at) <= REPEAT_WINDOW
    }

    /// Folds an instructor's act, which is no event of the student's and changes only the hand.
    /// Returns whether it did.
    pub(super) fn resolve(&mut self) -> bool {
        let was_up = self.help_since.take().is_some();
        self.hand_closed |= was_up;
        was_up
    }

    /// Folds an event that is neither a repeat nor an instructor's. Returns whether the hand went
    /// up.
    pub(super) fn fold(&mut self, event: &NormalizedEvent<'_>) -> bool {
        let late = event.moment() < self.last_event_time.min(self.last_received_at);
        self.last_received_at = self.last_received_at.max(event.received);
        if !late {
            self.set_last(event);
        }
        match event.kind {
            EventKind::Run => self.run(event, late),
            EventKind::Help => return self.help(event),
            EventKind::HelpStop => self.lower(event),
            EventKind::HelpResolved | EventKind::Other => {}
        }
        false
    }

    /// The event becomes the student's last one: it says where the student is.
    fn set_last(&mut self, event: &NormalizedEvent<'_>) {
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

    fn run(&mut self, event: &NormalizedEvent<'_>, late: bool) {
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
    fn help(&mut self, event: &NormalizedEvent<'_>) -> bool {
        let moment = event.moment();
        if self.hand_lowered_at.is_some_and(|at| at - OVERTAKEN_WINDOW < moment && moment < at) {
            return false;
        }
        let lapsed = self.last_help_at.is_none_or(|last| event.received >= last + HELP_LAPSE);
        let raised = lapsed || (self.help_since.is_none() && !self.hand_closed);
        if raised {
            self.help_since = Some(event.received);
            self.hand_closed = false;
        }
        self.last_help_at = self.last_help_at.max(Some(event.received));
        raised
    }

    fn lower(&mut self, event: &NormalizedEvent<'_>) {
        (self.help_since, self.last_help_at, self.hand_closed) = (None, None, false);
        self.hand_lowered_at = self.hand_lowered_at.max(Some(event.moment()));
    }

    /// The status at `now`, by the database's clock, and when it ends if no event is received;
    /// `None` if time alone does not end it.
    pub(in crate::state) fn status(&self, now: Micros) -> (Status, Option<Micros>) {
        let until = |from: Option<Micros>, span: Duration| {
            from.map(|from| from + span).filter(|&until| now < until)
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

/// Sets a text, without a new allocation if it is there already.
fn set(slot: &mut Option<Box<str>>, text: Option<&str>) {
    if slot.as_deref() != text {
        *slot = text.map(Into::into);
    }
}
