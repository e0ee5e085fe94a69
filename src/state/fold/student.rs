//! One student's state, and the rules by which an event changes it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::heap::{Heap, text_bytes};
use super::normalized_event::{EventKind, NormalizedEvent};
use super::settings::{Enrolled, Thresholds};
use super::streaks::Streaks;
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
/// Without an event of the student's for this long, the failures in a row end: whoever comes back
/// from a break begins anew.
const SILENCE: Duration = Duration::from_secs(30 * 60);
/// How long a failed run keeps a student's status at `error`.
const ERROR_SPAN: Duration = Duration::from_secs(300);

/// A student's status, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The hand is up.
    Help,
    /// Some failures in a row on a cell: see [`Thresholds`].
    Stuck,
    /// A cell failed last less than [`ERROR_SPAN`] ago, and has not succeeded since.
    Error,
    /// An event was received lately: see [`Thresholds`].
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
    /// Whether an event of the student's was received in this lesson. Of others only the names and
    /// `last_received_at` are known.
    pub(crate) is_here: bool,
    /// Whether the client has not been told who its student is.
    pub(crate) is_unconfigured: bool,
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
    /// The cells that fail.
    pub(crate) streaks: Streaks,
    /// The last run that was not late.
    pub(crate) last_run: Option<LastRun>,
    /// When the hand was raised, by the database's clock. [`Student::status`] says whether it is
    /// still up.
    pub(crate) help_since: Option<Micros>,
    /// When `help` was last received.
    pub(crate) last_help_at: Option<Micros>,
    /// The beginning of what the student wrote with the hand.
    pub(crate) help_message: Option<Box<str>>,
    /// Whether the hand stays up until a `help_stop`.
    pub(crate) help_until_stop: bool,
    /// The instructor who is on the way, and since when.
    pub(crate) claim: Option<Claim>,
    /// Whether an instructor has resolved the request: repeats do not raise the hand again.
    pub(crate) hand_closed: bool,
    /// The moment of the last `help_stop`.
    pub(crate) hand_lowered_at: Option<Micros>,
}

/// An instructor's word to be on the way to a raised hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) by: Box<str>,
    /// By the database's clock.
    pub(crate) at: Micros,
}

/// The last run. If it is of no cell, its repeats are known by it; see also
/// [`Runs`](super::cell::Runs).
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
            &self.help_message,
        ]
        .into_iter()
        .chain(run)
        .filter_map(Option::as_deref)
        .chain(self.claim.as_ref().map(|claim| &*claim.by))
        .map(text_bytes)
        .sum::<usize>()
            + self.streaks.heap()
    }
}

impl Student {
    /// A student of whom an event was received at `received`, and nothing else is known.
    pub(super) fn new(received: Micros) -> Self {
        Self {
            is_here: true,
            last_event_time: Micros::MIN,
            last_received_at: received,
            ..Self::default()
        }
    }

    /// The student as the next lesson begins: remembered, and not here yet.
    pub(super) fn leave(&mut self) {
        *self = Self {
            user_name: self.user_name.take(),
            team_name: self.team_name.take(),
            last_event_time: self.last_received_at,
            last_received_at: self.last_received_at,
            ..Self::default()
        };
    }

    /// The student of whom the first event of the lesson was received at `received`.
    pub(super) fn arrive(&mut self, received: Micros) {
        self.is_here = true;
        (self.last_event_time, self.last_received_at) = (Micros::MIN, received);
    }

    /// Takes the names of the roster, which count before those of the student's events.
    pub(super) fn enrol(&mut self, enrolled: &Enrolled) {
        let Enrolled { name, team, .. } = enrolled;
        if name.is_some() {
            set(&mut self.user_name, name.as_deref());
        }
        if team.is_some() {
            set(&mut self.team_name, team.as_deref());
        }
    }

    /// Whether the event repeats the last run, when neither has a cell.
    pub(super) fn is_repeat(&self, event: &NormalizedEvent<'_>) -> bool {
        let Some(last) = &self.last_run else { return false };
        last.cell_id.is_none()
            && event.cell.is_none()
            && last.notebook_path.as_deref() == event.notebook.as_deref()
            && is_repeat_of(event, last.execution_count, last.session_id.as_deref(), last.at)
    }

    /// Folds an instructor's act, which is no event of the student's and changes only the hand.
    /// Returns whether it did.
    pub(super) fn resolve(&mut self) -> bool {
        let was_up = self.help_since.take().is_some();
        self.hand_closed |= was_up;
        if was_up {
            (self.help_message, self.claim) = (None, None);
        }
        was_up
    }

    /// An instructor is on the way to the raised hand, or is not any more. Returns whether that
    /// changed anything.
    pub(super) fn claim(&mut self, event: &NormalizedEvent<'_>) -> bool {
        if self.hand_until(event.received).is_none() {
            return false;
        }
        let by = event.claimed_by.as_deref();
        self.claim = by.map(|by| Claim { by: by.into(), at: event.received });
        true
    }

    /// Folds an event that is neither a repeat nor an instructor's. `enrolled` is the student's
    /// entry in the roster. Returns whether the hand went up.
    pub(super) fn fold(
        &mut self,
        event: &NormalizedEvent<'_>,
        enrolled: Option<&Enrolled>,
    ) -> bool {
        let late = event.moment() < self.last_event_time.min(self.last_received_at);
        if event.received >= self.last_received_at + SILENCE {
            self.streaks = Streaks::default();
        }
        self.last_received_at = self.last_received_at.max(event.received);
        if !late {
            self.set_last(event);
        }
        if let Some(enrolled) = enrolled {
            self.enrol(enrolled);
        }
        match event.kind {
            EventKind::Run => self.run(event),
            EventKind::Help => return self.help(event),
            EventKind::HelpStop => self.lower(event),
            _ => {}
        }
        false
    }

    /// The event becomes the student's last one: it says where the student is.
    fn set_last(&mut self, event: &NormalizedEvent<'_>) {
        self.last_event_time = event.time;
        self.is_unconfigured = event.unconfigured;
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

    fn run(&mut self, event: &NormalizedEvent<'_>) {
        self.cells_executed += 1;
        self.error_count += i64::from(event.failed);
        if self.last_run.as_ref().is_some_and(|last| event.moment() < last.at.min(last.received_at))
        {
            return;
        }
        if event.failed {
            self.streaks.failed(event);
        } else {
            self.streaks.succeeded(event);
        }
        let last = self.last_run.get_or_insert_default();
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
        // A hand that stays up is repeated by no client: once it was resolved, a `help` that comes
        // after the span of repeats is another one.
        let lapses = !self.help_until_stop || self.hand_closed;
        let lapsed =
            self.last_help_at.is_none_or(|last| lapses && event.received >= last + HELP_LAPSE);
        let raised = lapsed || (self.help_since.is_none() && !self.hand_closed);
        if raised {
            self.help_since = Some(event.received);
            self.hand_closed = false;
            (self.help_message, self.claim) = (None, None);
        }
        if self.help_since.is_some()
            && let Some(message) = event.help_message.as_deref()
        {
            set(&mut self.help_message, Some(message));
        }
        self.help_until_stop = event.until_stop;
        self.last_help_at = self.last_help_at.max(Some(event.received));
        raised
    }

    fn lower(&mut self, event: &NormalizedEvent<'_>) {
        (self.help_since, self.last_help_at, self.hand_closed) = (None, None, false);
        (self.help_message, self.help_until_stop, self.claim) = (None, false, None);
        self.hand_lowered_at = self.hand_lowered_at.max(Some(event.moment()));
    }

    /// If the hand is up at `now`, until when; `Some(None)` if time alone does not lower it.
    pub(crate) fn hand_until(&self, now: Micros) -> Option<Option<Micros>> {
        self.help_since?;
        if self.help_until_stop {
            return Some(None);
        }
        let until = self.last_help_at? + HELP_LAPSE;
        (now < until).then_some(Some(until))
    }

    /// The status at `now`, by the database's clock, and when it ends if no event is received;
    /// `None` if time alone does not end it.
    pub(in crate::state) fn status(
        &self,
        now: Micros,
        thresholds: Thresholds,
    ) -> (Status, Option<Micros>) {
        if let Some(until) = self.hand_until(now) {
            return (Status::Help, until);
        }
        let until = |from: Micros, span: Duration| Some(from + span).filter(|&until| now < until);
        if self.streaks.longest() >= thresholds.stuck_after
            && let Some(until) = until(self.last_received_at, SILENCE)
        {
            return (Status::Stuck, Some(until));
        }
        if let Some(failed) = self.streaks.last()
            && let Some(until) = until(failed.failed_at, ERROR_SPAN)
        {
            return (Status::Error, Some(until));
        }
        match until(self.last_received_at, thresholds.idle_after) {
            Some(until) => (Status::Active, Some(until)),
            None => (Status::Idle, None),
        }
    }
}

/// Whether a run of a cell with this execution count, session and time repeats the run before.
pub(super) fn is_repeat_of(
    event: &NormalizedEvent<'_>,
    execution_count: Option<i64>,
    session: Option<&str>,
    time: Micros,
) -> bool {
    event.execution_count.is_some()
        && event.execution_count == execution_count
        && event.session.as_deref() == session
        && event.time.distance(time) <= REPEAT_WINDOW
}

/// Sets a text, without a new allocation if it is there already.
fn set(slot: &mut Option<Box<str>>, text: Option<&str>) {
    if slot.as_deref() != text {
        *slot = text.map(Into::into);
    }
}
