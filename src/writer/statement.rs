//! The statement that stores events, many at a time, and the search for the event at fault when it
//! fails.
//!
//! The statement answers with one short row, whatever the number of events. PostgreSQL sends the
//! rows of RETURNING before the commit, and holds the ordering lock until they are received. A
//! replica that freezes while it receives thousands of rows would stop every other replica.

use std::collections::HashMap;
use std::time::Instant;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};
use uuid::Uuid;

use super::metrics::WriterMetrics;
use super::queue::Outcome;
use crate::database::{PgMicros, RawJson, Session, Verdict, current_epoch, explain, verdict};
use crate::event::{Epoch, Event};

/// `unnest` returns rows in the order of the arrays, and ids are allocated in that order, so a
/// request's events keep their order. The epoch comes from the server that stores the events.
const INSERT: &str = "\
    WITH stored AS ( \
        INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::json[]) \
        ON CONFLICT (class_id, student_id, occurred_at, event_id) DO NOTHING \
        RETURNING id) \
    SELECT (SELECT progress_epoch(nonce) FROM progress_log), count(*), min(id), max(id) FROM \
    stored";

/// Finds the events that a statement stored, by its ids, `$5` to `$6`. No other writer's ids lie
/// between them, since a statement holds the ordering lock. `id + 0` keeps the planner from the
/// primary key: the identity's index is the only way.
const WHICH: &str = "\
    SELECT wanted.ordinal, event.id \
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY \
        AS wanted (event_id, class_id, student_id, occurred_at, ordinal) \
    JOIN progress_event AS event USING (class_id, student_id, occurred_at, event_id) \
    WHERE event.id + 0 BETWEEN $5 AND $6";

/// The settings of a connection that writes, and the statement that looks up which of several
/// events it has stored, for a test of its plan.
pub fn which_statement() -> (&'static str, &'static str) {
    (SETTINGS, WHICH)
}

/// The plan of [`WHICH`] must not depend on statistics. And a relay that freezes between two
/// statements of a transaction must not keep the ordering lock.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '5s'; SET enable_seqscan = off; \
     SET enable_bitmapscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off";

/// The control row: it is stored and undone in a transaction that also rings and commits, so no
/// reader sees it.
const CONTROL_ROW: &str = "\
    INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
    VALUES (gen_random_uuid(), $1, $2, clock_timestamp(), '{}')";
/// The ring of a control row. Listeners ignore its payload.
const CONTROL_BELL: &str = "SELECT pg_notify(progress_channel(), 'proof of a writer')";
/// The class and student of the control row when no event was stored yet.
const CONTROL_NAMES: (&str, &str) = ("default", "progress-relay");

/// The class of SQLSTATEs for data exceptions: a value that the database cannot take.
const DATA_EXCEPTION: &str = "22";

/// The cause when a statement is committed on the primary, and perhaps not on the standby.
const UNCONFIRMED: &str = "the wait for a synchronous standby was cancelled on the server: the \
     events are sent again, to wait for it";

/// A connection that writes.
#[derive(Debug)]
pub(super) struct Inserter {
    pub(super) session: Session,
    /// The epoch of the server, when the connection was made.
    pub(super) epoch: Epoch,
    insert: Statement,
    which: Statement,
    metrics: WriterMetrics,
}

/// Why storing stopped before every event was decided.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection is gone or useless.
    Lost(String),
    /// The server cannot store any event now; its error.
    Failing(String),
}

impl Stop {
    pub(super) fn of(error: &Error) -> Self {
        match verdict(error) {
            Verdict::Lost => Self::Lost(explain(error)),
            Verdict::Server | Verdict::Doubtful => Self::Failing(explain(error)),
        }
    }
}

/// The results for the events of a statement.
#[derive(Debug)]
pub(super) struct Stored {
    /// An outcome for each event; `None` for an undecided one.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The epoch that the ids belong to; `None` if nothing was stored or found.
    pub(super) epoch: Option<Epoch>,
    pub(super) stop: Option<Stop>,
}

/// The result of one statement.
struct Inserted {
    epoch: Epoch,
    outcomes: Vec<Outcome>,
}

impl Inserter {
    pub(super) async fn new(
        session: Session,
        statement_timeout: &str,
        lock_timeout: &str,
        metrics: WriterMetrics,
    ) -> Result<Self, Error> {
        let client = &session.client;
        client.batch_execute(SETTINGS).await?;
        // The server keeps these deadlines; the relay never cancels. A commit that waits for a
        // synchronous standby must not be cancelled, and neither deadline runs while it waits.
        client
            .execute(
                "SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', \
                 $2, false)",
                &[&statement_timeout, &lock_timeout],
            )
            .await?;
        let insert = client.prepare(INSERT).await?;
        let which = client.prepare(WHICH).await?;
        let epoch = current_epoch(client).await?;
        Ok(Self { session, epoch, insert, which, metrics })
    }

    /// Stores `events`, in order.
    ///
    /// When the database refuses a statement, halving finds the events at fault, in at most
    /// `2 log2(n)` statements for each. An event that fails alone is at fault only if something
    /// else goes through: another event, or a control row with `names`. If nothing goes through,
    /// the server is at fault, and the events stay undecided. An undecided event may be stored or
    /// not. It may be sent again, since its identity makes it one row.
    pub(super) async fn store(&self, events: &[&Event], names: Option<(&str, &str)>) -> Stored {
        let mut stored = Stored { outcomes: vec![None; events.len()], epoch: None, stop: None };
        // Whether anything went through: another event, or the control row.
        let mut evidence = false;
        let mut faults: Vec<(usize, Error)> = Vec::new();
        let whole = 0..events.len();
        let mut open = Vec::from([whole]);
        while let Some(run) = open.pop() {
            let error = match self.insert(&events[run.clone()]).await {
                Ok(Some(inserted)) => {
                    evidence = true;
                    stored.epoch = Some(inserted.epoch);
                    for (at, outcome) in run.zip(inserted.outcomes) {
                        stored.outcomes[at] = Some(outcome);
                    }
                    continue;
                }
                Ok(None) => {
                    stored.stop = Some(Stop::Failing(UNCONFIRMED.to_owned()));
                    return stored;
                }
                Err(error) if verdict(&error) == Verdict::Doubtful => error,
                Err(error) => {
                    stored.stop = Some(Stop::of(&error));
                    break;
                }
            };
            if run.len() > 1 {
                let middle = run.start + run.len() / 2;
                open.push(middle..run.end);
                open.push(run.start..middle);
                continue;
            }
            if !evidence {
                // The event fails alone, and nothing has gone through yet: the control row tells
                // whether the event or the server is at fault.
                match self.control(names).await {
                    Ok(()) => evidence = true,
                    Err(control) if verdict(&control) == Verdict::Lost => {
                        stored.stop = Some(Stop::of(&control));
                        return stored;
                    }
                    Err(_) if !faults.is_empty() || open.is_empty() => {
                        // Two events from different places fail, and the control row too.
                        stored.stop = Some(Stop::Failing(explain(&error)));
                        return stored;
                    }
                    // The control row may break an operator's rule that other events keep. The
                    // event at the other end is tried before all those between.
                    Err(_) => {
                        if let Some(last) = open.first_mut().filter(|run| run.len() > 1) {
                            last.end -= 1;
                            let end = last.end;
                            open.push(end..end + 1);
                        }
                    }
                }
            }
            faults.push((run.start, error));
        }
        if evidence {
            for (at, error) in faults {
                let reason = explain(&error);
                stored.outcomes[at] = Some(if is_data_exception(&error) {
                    Outcome::Rejected(reason)
                } else {
                    Outcome::Failed(reason)
                });
            }
        }
        stored
    }

    /// Runs one statement. Returns `None` if it is committed but its wait for a standby was
    /// cancelled on the server.
    async fn insert(&self, events: &[&Event]) -> Result<Option<Inserted>, Error> {
        let unconfirmed = self.session.unconfirmed();
        let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        let classes: Vec<&str> = events.iter().map(|event| event.class.as_str()).collect();
        let students: Vec<&str> = events.iter().map(|event| event.student.as_str()).collect();
        let times: Vec<PgMicros> = events.iter().map(|event| PgMicros(event.occurred_at)).collect();
        let bodies: Vec<RawJson<'_>> = events.iter().map(|event| RawJson(&event.body)).collect();
        let client = &self.session.client;
        let began = Instant::now();
        let row =
            client.query_one(&self.insert, &[&ids, &classes, &students, &times, &bodies]).await?;
        // One without events is only a look whether anything can be stored.
        if !events.is_empty() {
            self.metrics.rows.observe_rows(events.len());
            self.metrics.duration.observe(began.elapsed());
        }
        if self.session.unconfirmed() != unconfirmed {
            return Ok(None);
        }
        let epoch = Epoch::new(row.try_get(0)?);
        let count = usize::try_from(row.try_get::<_, i64>(1)?).unwrap_or(usize::MAX);
        let (first, last): (Option<i64>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
        let (Some(first), Some(last)) = (first, last) else {
            // All events are duplicates. The ring trigger wrote a WAL message, so this commit
            // waited as the commit that stored them did.
            return Ok(Some(Inserted { epoch, outcomes: vec![Outcome::Duplicate; events.len()] }));
        };
        let width =
            usize::try_from(last - first).map_or(usize::MAX, |width| width.saturating_add(1));
        if count == events.len() && width == count {
            let outcomes = (first..=last).map(Outcome::Stored).collect();
            return Ok(Some(Inserted { epoch, outcomes }));
        }
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&ids, &classes, &students, &times, &first, &last];
        let rows = client.query(&self.which, &parameters).await?;
        let mut stored: HashMap<i64, i64> = HashMap::with_capacity(rows.len());
        for row in rows {
            // Two equal events of one statement both find the row; the first one stored it.
            let (ordinal, id): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let known = stored.entry(id).or_insert(ordinal);
            *known = ordinal.min(*known);
        }
        let mut outcomes = vec![Outcome::Duplicate; events.len()];
        for (id, ordinal) in stored {
            let at = usize::try_from(ordinal - 1).unwrap_or(usize::MAX);
            if let Some(outcome) = outcomes.get_mut(at) {
                *outcome = Outcome::Stored(id);
            }
        }
        Ok(Some(Inserted { epoch, outcomes }))
    }

    /// Tries whether the server can store a row, ring, and commit. It leaves nothing behind.
    pub(super) async fn control(&self, names: Option<(&str, &str)>) -> Result<(), Error> {
        let (class, student) = names.unwrap_or(CONTROL_NAMES);
        let client = &self.session.client;
        let attempt = async {
            client.batch_execute("BEGIN; SAVEPOINT control").await?;
            client.execute(CONTROL_ROW, &[&class, &student]).await?;
            client.batch_execute("ROLLBACK TO control").await?;
            client.execute(CONTROL_BELL, &[]).await?;
            client.batch_execute("COMMIT").await
        };
        let tried = attempt.await;
        if tried.is_err() && !client.is_closed() {
            // If the rollback fails too the connection is lost; the next statement finds that.
            let _ = client.batch_execute("ROLLBACK").await;
        }
        tried
    }
}

fn is_data_exception(error: &Error) -> bool {
    error.code().is_some_and(|state| state.code().starts_with(DATA_EXCEPTION))
}
