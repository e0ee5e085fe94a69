//! A summary of a class, rendered and ready to be sent to everyone who asks.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use super::rendered_rows::RenderedRows;
use crate::encoding::{self, Deflated};
use crate::event::{ClassId, Cursor, EventId, Micros, json};
use crate::state::fold::activity::Minute;
use crate::state::fold::class::ClassState;
use crate::state::fold::lesson::Lesson;
use crate::state::fold::settings::Settings;
use crate::state::view::{self, Absent, Metrics, SummaryParts};

/// The head of a summary: its members beside the rows. It is read with the lock held under which
/// the last of the rows were copied, so that both are of one moment.
#[derive(Debug)]
pub(super) struct SummaryHead {
    pub(super) class: ClassId,
    pub(super) cursor: Cursor,
    pub(super) last_event: EventId,
    pub(super) now: Micros,
    pub(super) members: ClassMembers,
}

/// The parts of a class's state that are in no row, and its minutes.
#[derive(Debug)]
pub(in crate::state) struct ClassMembers {
    pub(in crate::state) lesson: Option<Lesson>,
    /// When the newest event was received.
    pub(in crate::state) last_received_at: Option<Micros>,
    pub(in crate::state) settings: Arc<Settings>,
    /// The event that made the settings; none for an earlier lesson.
    pub(in crate::state) settings_event: Option<EventId>,
    pub(in crate::state) minutes: Vec<(Micros, Minute)>,
}

impl ClassMembers {
    pub(in crate::state) fn of(state: &ClassState) -> Self {
        Self {
            lesson: state.lesson.clone(),
            last_received_at: state.last_received_at(),
            settings: Arc::clone(&state.settings),
            settings_event: Some(state.settings_event).filter(|&event| event < EventId::MAX),
            minutes: state.minutes_since(Micros::MIN),
        }
    }
}

/// A summary of a class as it was at its cursor.
///
/// All of it but `now` is rendered once. The answers to different requests differ in `now` alone,
/// so they share the bytes of the members.
#[derive(Debug)]
pub(crate) struct RenderedSummary {
    /// Every event up to here is in the summary.
    pub(super) cursor: Cursor,
    /// `{"classId":…,"cursor":…`, which is followed by `,"now":…,` and the members.
    head: String,
    /// The members after `now`, with the closing brace.
    members: Bytes,
    /// Of the head and the members, without `now`.
    pub(crate) etag: String,
    /// The class's last event when the summary was rendered.
    pub(super) last_event: EventId,
    pub(crate) rendered_at: Micros,
    /// From this moment on, time alone has changed a student's status.
    pub(super) valid_until: Micros,
    /// The members, compressed when that is first asked for.
    deflated: OnceCell<Deflated>,
    /// The memory that is reserved for the members while they are being sent.
    pub(crate) json_reservation: SharedReservation,
    /// The memory that is reserved for the compressed members while they are being sent.
    pub(crate) gzip_reservation: SharedReservation,
}

/// A reservation that is shared by all who are sending the same bytes.
pub(crate) type SharedReservation = std::sync::Mutex<Weak<OwnedSemaphorePermit>>;

impl RenderedSummary {
    /// Renders the summary of rows that are copied and rendered.
    pub(super) fn render(
        rows: &mut RenderedRows,
        summary: SummaryHead,
        parts: SummaryParts,
    ) -> Self {
        let SummaryHead { class, cursor, last_event, now, members: class_members } = summary;
        let mut head = String::from("{\"classId\":");
        json::write_string(class.as_str(), &mut head);
        head.push_str(&format!(",\"cursor\":\"{cursor}\""));
        let mut members = String::new();
        let valid_until = write_members(rows, &class_members, now, parts, &mut members);
        members.push('}');
        let etag = encoding::etag((&head, &members));
        members.shrink_to_fit();
        Self {
            cursor,
            head,
            members: members.into(),
            etag,
            last_event,
            rendered_at: now,
            valid_until,
            deflated: OnceCell::new(),
            json_reservation: SharedReservation::default(),
            gzip_reservation: SharedReservation::default(),
        }
    }

    fn head_at(&self, now: Micros) -> String {
        format!("{},\"now\":\"{}\",", self.head, now.to_rfc3339())
    }

    /// The summary as JSON, at `now` by the database's clock. The second part is the one that all
    /// answers share.
    pub(crate) fn json(&self, now: Micros) -> [Bytes; 2] {
        [self.head_at(now).into(), self.members.clone()]
    }

    /// The same as gzip, in three parts; the middle one is the part that all answers share. The
    /// first request compresses the members, and later ones put `now` before them. `None` if there
    /// is no thread to compress them on.
    pub(crate) async fn gzip(&self, now: Micros) -> Option<[Bytes; 3]> {
        let deflate = async || Deflated::new(self.members.clone()).await.ok_or(());
        let deflated = self.deflated.get_or_try_init(deflate).await.ok()?;
        Some(deflated.gzip_after(&self.head_at(now)))
    }

    /// The bytes that the summary takes up in memory.
    pub(super) fn weight(&self) -> usize {
        // The compressed members are about an eighth.
        self.members.len() + self.members.len() / 8
    }
}

/// Writes the members of a summary that follow `now`, with commas between them. Returns until when
/// they are valid if no event is folded, by the database's clock. For tests, which have a state
/// alone.
pub fn write_summary(
    class: &mut ClassState,
    now: Micros,
    parts: SummaryParts,
    out: &mut String,
) -> Micros {
    let mut rows = RenderedRows::default();
    while !rows.copy(class, usize::MAX) {}
    rows.render();
    let members = ClassMembers::of(class);
    write_members(&mut rows, &members, now, parts, out)
}

/// The same of rows that are copied and rendered.
pub(in crate::state) fn write_members(
    rows: &mut RenderedRows,
    members: &ClassMembers,
    now: Micros,
    parts: SummaryParts,
    out: &mut String,
) -> Micros {
    view::write_lesson(out, members.lesson.as_ref(), members.last_received_at);
    let valid_until = write_students(rows, &members.settings, now, out);
    if parts.settings {
        out.push_str(",\"settings\":");
        out.push_str(&members.settings.text);
        if let Some(event) = members.settings_event {
            out.push_str(&format!(",\"settingsVersion\":\"{event}\""));
        }
    }
    if parts.cells || parts.grid {
        out.push(',');
        write_cells(rows, None, out);
    }
    if parts.grid {
        out.push_str(",\"grid\":");
        rows.render_grid();
        let grid = rows.students().filter_map(|student| student.grid.as_deref());
        view::array(out, grid, |out, row| out.push_str(row));
    }
    if parts.activity {
        out.push_str(",\"activity\":");
        view::array(out, &members.minutes, |out, &(start, minute)| {
            view::write_minute(out, start, minute)
        });
    }
    valid_until
}

/// Writes `"metrics":{…},"students":[…],"absent":[…]`, the students by name. Returns until when
/// these are valid if no event is folded.
fn write_students(
    rows: &RenderedRows,
    settings: &Settings,
    now: Micros,
    out: &mut String,
) -> Micros {
    let mut metrics = Metrics::default();
    let mut valid_until = Micros::MAX;
    let mut students = String::with_capacity(rows.students_len());
    let here = rows.students().filter(|student| student.state.is_here);
    view::array(&mut students, here, |out, student| {
        let (status, until) = student.state.status(now, settings.thresholds);
        out.push_str(&student.members);
        let on_roster = settings.enrolled(&student.name).is_some();
        view::finish_student(status, until, on_roster, out);
        valid_until = until.map_or(valid_until, |until| until.min(valid_until));
        metrics.add(&student.state, status);
    });
    let absent = absent(rows, settings);
    metrics.add_absent(absent.len());
    metrics.write(out);
    out.push_str(",\"students\":");
    out.push_str(&students);
    out.push_str(",\"absent\":");
    view::array(out, &absent, view::write_absent);
    valid_until
}

/// The students who are not here, by name: those of the roster, or without one those who were there
/// in earlier lessons.
fn absent<'a>(rows: &'a RenderedRows, settings: &'a Settings) -> Vec<Absent<'a>> {
    if settings.roster.is_empty() {
        let absent = rows.students().filter(|student| !student.state.is_here);
        let absent = absent.map(|student| Absent {
            student: &student.name,
            name: student.state.user_name.as_deref(),
            team: student.state.team_name.as_deref(),
            last_received_at: Some(student.state.last_received_at),
        });
        return absent.collect();
    }
    let mut absent: Vec<Absent<'_>> = settings
        .roster
        .iter()
        .filter_map(|enrolled| match rows.student(&enrolled.student) {
            Some(known) if known.state.is_here => None,
            known => {
                let known = known.map(|known| &known.state);
                let name = known.and_then(|known| known.user_name.as_deref());
                let team = known.and_then(|known| known.team_name.as_deref());
                Some(Absent {
                    student: &enrolled.student,
                    name: enrolled.name.as_deref().or(name),
                    team: enrolled.team.as_deref().or(team),
                    last_received_at: known.map(|known| known.last_received_at),
                })
            }
        })
        .collect();
    absent.sort_unstable_by_key(|absent| absent.student);
    absent
}

/// Writes `"cells":[…]`, of one notebook or of all.
pub(super) fn write_cells(rows: &mut RenderedRows, notebook: Option<&str>, out: &mut String) {
    out.push_str("\"cells\":");
    view::array(out, rows.cells(notebook), |out, cell| out.push_str(&cell.text));
}
