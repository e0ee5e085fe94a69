//! History for the API: a class's events, newest first, of all students or of one; and the list of
//! classes.

use std::ops::ControlFlow;

use futures::TryStreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::log::event;
use super::log_version::LogVersion;
use super::moments::{first_from, newest};
use super::pages::{PageError, Pages};
use super::pooled_client::Leftover;
use super::snapshot::ClassRow;
use super::types::PgMicros;
use crate::event::{ClassId, Epoch, EventId, StoredEvent};

/// A student's events among this many of the class's newest are found by reading the class
/// backwards. That is cheap for an active student, however long the history under that name is:
/// all clients that were never configured share one name.
const RECENT_ROWS: i64 = 2_000;

const COLUMNS: &str = "id, class_id, student_id, received_at, body";
/// In the order of the class's index, which is the only index that fits both comparisons.
const BEFORE: &str = "FROM progress_event WHERE (class_id, id) < ($1, $2) AND (class_id, id) >= \
     ($1, 0) \
     ORDER BY class_id DESC, id DESC";

/// An entry of the list of classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedClass {
    pub(crate) class: ClassId,
    /// The numbers in its snapshot.
    pub(crate) row: ClassRow,
}

/// A page of the list of classes.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The classes that have a snapshot.
    pub(crate) classes: Vec<ListedClass>,
    /// The version of the log at the read; `None` if there are no classes.
    pub(crate) version: Option<LogVersion>,
}

/// The statements that read history, with their names, for a test of their plans.
pub fn history_statements() -> [(&'static str, String); 8] {
    [
        ("class", by_class()),
        ("recent", recent()),
        ("recent count", recent_count()),
        ("student", by_student()),
        ("classes", classes()),
        ("ids", by_ids()),
        ("first from", first_from()),
        ("newest", newest()),
    ]
}

/// `$1` the class, `$2` the id before which, `$3` the number of events.
fn by_class() -> String {
    format!("SELECT {COLUMNS} {BEFORE} LIMIT $3")
}

/// `$1` to `$3` as in [`by_class`], `$4` the student.
fn recent() -> String {
    format!(
        "SELECT {COLUMNS} FROM (SELECT {COLUMNS} {BEFORE} LIMIT {RECENT_ROWS}) AS recent WHERE \
         student_id = $4 LIMIT $3"
    )
}

/// `$1` the class, `$2` the id before which, `$3` the student.
fn recent_count() -> String {
    format!(
        "SELECT count(*) FROM (SELECT student_id {BEFORE} LIMIT {RECENT_ROWS}) AS recent WHERE \
         student_id = $3"
    )
}

/// Parameters as in [`recent`]. It reads the index of the primary key, the only one that begins
/// with class and student, and sorts the result. `id + 0` fits no index: with `id` alone, the
/// planner may read the whole class, or the whole table, in the order of the ids.
fn by_student() -> String {
    format!(
        "SELECT {COLUMNS} FROM progress_event \
         WHERE class_id = $1 AND student_id = $4 AND id + 0 < $2 \
         ORDER BY id + 0 DESC LIMIT $3"
    )
}

/// `$1` the class, `$2` the ids, of which there may be as many as a class has students.
fn by_ids() -> String {
    format!(
        "SELECT {COLUMNS} FROM unnest($2::bigint[]) WITH ORDINALITY AS wanted (wanted_id, place) \
         CROSS JOIN LATERAL (SELECT {COLUMNS} FROM progress_event WHERE class_id = $1 AND id = \
         wanted_id) AS found ORDER BY place"
    )
}

/// `$1` the class after which, `$2` the number of classes. A snapshot of another nonce is void.
fn classes() -> String {
    "SELECT class_id, through_id, events, students, last_received_at, last_event_id, \
            progress_epoch(progress_log.nonce), deletions \
     FROM progress_log CROSS JOIN LATERAL (\
       SELECT * FROM class_state WHERE class_id > $1 AND class_state.nonce = progress_log.nonce \
       ORDER BY class_id LIMIT $2) AS stored ORDER BY class_id"
        .to_owned()
}

impl Pages {
    /// Hands at most `rows` of a class's events before `before`, newest first, to `each`, until
    /// `each` breaks off. With `student`, only that student's. Returns the number of events.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub async fn history(
        &self,
        class: &ClassId,
        student: Option<&str>,
        before: i64,
        rows: usize,
        mut each: impl FnMut(&StoredEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, PageError> {
        let class = class.as_str();
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        self.run(async |client| {
            self.check_epoch(client).await?;
            let parameters: [&(dyn ToSql + Sync); 4] = [&class, &before, &limit, &student];
            let (statement, parameters) = match student {
                None => (by_class(), &parameters[..3]),
                Some(student) => {
                    let count = client.prepare_cached(&recent_count()).await?;
                    let count: i64 =
                        client.query_one(&count, &[&class, &before, &student]).await?.try_get(0)?;
                    (if count >= limit { recent() } else { by_student() }, &parameters[..])
                }
            };
            let statement = client.prepare_cached(&statement).await?;
            let mut found =
                Box::pin(client.query_raw(&statement, parameters.iter().copied()).await?);
            let mut count = 0;
            while let Some(row) = found.try_next().await? {
                count += 1;
                if each(&event(&row, 0)?).is_break() {
                    return Ok((count, Leftover::Rows(found)));
                }
            }
            Ok((count, Leftover::Nothing))
        })
        .await
    }

    /// Hands the events of these ids to `each`, in the order of the ids as they are given, until
    /// `each` breaks off. Those that the class does not have are left out.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub(crate) async fn events_of_ids(
        &self,
        class: &ClassId,
        ids: &[EventId],
        mut each: impl FnMut(&StoredEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), PageError> {
        let class = class.as_str();
        self.run(async |client| {
            self.check_epoch(client).await?;
            let parameters: [&(dyn ToSql + Sync); 2] = [&class, &ids];
            let statement = client.prepare_cached(&by_ids()).await?;
            let mut found = Box::pin(client.query_raw(&statement, parameters).await?);
            while let Some(row) = found.try_next().await? {
                if each(&event(&row, 0)?).is_break() {
                    return Ok(((), Leftover::Rows(found)));
                }
            }
            Ok(((), Leftover::Nothing))
        })
        .await
    }

    /// Reads at most `rows` classes that have a snapshot, in the order of their names, after
    /// `after`.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub(crate) async fn classes(&self, after: &str, rows: usize) -> Result<Listing, PageError> {
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        self.run(async |client| {
            self.check_epoch(client).await?;
            let statement = client.prepare_cached(&classes()).await?;
            let rows = client.query(&statement, &[&after, &limit]).await?;
            let version = |row: &Row| {
                Ok::<_, tokio_postgres::Error>(LogVersion {
                    epoch: Epoch::new(row.try_get(6)?),
                    deletions: row.try_get(7)?,
                })
            };
            let version = rows.first().map(version).transpose()?;
            let listed = rows.iter().map(|row| {
                let last_received_at = row.try_get::<_, Option<PgMicros>>(4)?;
                Ok(ListedClass {
                    class: ClassId::stored(row.try_get(0)?),
                    row: ClassRow {
                        through: row.try_get(1)?,
                        events: row.try_get(2)?,
                        students: row.try_get(3)?,
                        last_received_at: last_received_at.map(|at| at.0.in_years()),
                        last_event: row.try_get(5)?,
                        ..ClassRow::default()
                    },
                })
            });
            let classes = listed.collect::<Result<_, tokio_postgres::Error>>()?;
            Ok((Listing { classes, version }, Leftover::Nothing))
        })
        .await
    }
}
