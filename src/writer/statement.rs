//! The statement that stores events, many at a time, and what it tells of each.
//!
//! Its answer is one short row, whatever the number of events. PostgreSQL sends the rows of
//! RETURNING before the commit, and holds the ordering lock until they are taken: a replica that is
//! frozen while thousands of them are on their way would stop every other replica.

use std::collections::HashMap;
use std::time::Instant;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};
use uuid::Uuid;

use super::metrics::WriterMetrics;
use super::queue::Outcome;
use crate::event::{Epoch, Event};
use crate::store::{CHANNEL, PgMicros, RawJson, Session, Verdict, current_epoch, explain, verdict};

/// `unnest` gives rows in the arrays' order, and ids are handed out as they come: a request's
/// events keep their order. The epoch comes from the server that stores them.
const INSERT: &str = "\
    WITH stored AS ( \
        INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::json[]) \
        ON CONFLICT (class_id, student_id, occurred_at, event_id) DO NOTHING \
        RETURNING id) \
    SELECT (SELECT progress_epoch(nonce) FROM progress_log), count(*), min(id), max(id) FROM \
    stored";

/// Which events of a statement are stored under its ids, `$5` to `$6`: no other writer's lie
/// between, since a statement holds the ordering lock. `id + 0` leaves the identity's index as the
/// only way.
const WHICH: &str = "\
    SELECT wanted.place, event.id \
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY \
        AS wanted (event_id, class_id, student_id, occurred_at, place) \
    JOIN progress_event AS event USING (class_id, student_id, occurred_at, event_id) \
    WHERE event.id + 0 BETWEEN $5 AND $6";

/// The settings of a connection that writes, and the statement that looks up which of several
/// events it has stored, for a test of its plan.
pub fn which_statement() -> (&'static str, &'static str) {
    (SETTINGS, WHICH)
}

/// The plan of [`WHICH`] must not depend on statistics. A relay that is frozen between two
/// statements of a transaction must not hold the ordering lock.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '5s'; SET enable_seqscan = off; \
     SET enable_bitmapscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off";

/// A row that nobody sees: it is stored, and undone, in a transaction that also rings and commits.
const CONTROL_ROW: &str = "INSERT INTO progress_event (event_id, class_id, student_id, \
     occurred_at, body) \
     VALUES (gen_random_uuid(), $1, $2, clock_timestamp(), '{}')";
/// A bell that is nobody's: listeners pass it over.
const CONTROL_BELL: &str = "SELECT pg_notify($1, 'proof of a writer')";
/// Whom the control row is of when nothing was stored yet.
const CONTROL_NAMES: (&str, &str) = ("default", "progress-relay");

/// The class of SQLSTATEs for data exceptions: a value that the database cannot take.
const DATA_EXCEPTION: &str = "22";

/// What is said where a statement is committed, and perhaps not on the standby.
const UNCONFIRMED: &str = "someone has cancelled the wait for a synchronous standby: the events \
     are sent again, to wait for it";

/// A connection that writes.
#[derive(Debug)]
pub(super) struct Inserter {
    pub(super) session: Session,
    /// The epoch of the server that it leads to, when it was made.
    pub(super) epoch: Epoch,
    insert: Statement,
    which: Statement,
    metrics: WriterMetrics,
}

/// Why storing stopped before every event was decided.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection is gone, or of no use any more.
    Lost(String),
    /// The server cannot store now, whatever the events: what it says.
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

/// What became of the events of a statement.
#[derive(Debug)]
pub(super) struct Stored {
    /// An outcome for each event; `None` for those that were not decided.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The epoch that the ids belong to; `None` if nothing was stored or found.
    pub(super) epoch: Option<Epoch>,
    pub(super) stop: Option<Stop>,
}

/// What one statement did.
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
        // On the server, not by a cancellation from here: a commit that waits for a synchronous
        // standby must not be cancelled, and neither deadline runs while it waits.
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

    /// Stores `events`, in order. Where the database refuses them all together, the events at fault
    /// are found by halving, in at most `2 log2(n)` statements for each. An event is at fault only
    /// where something else goes through: another event, or a control row of `names`. What stays
    /// undecided may be stored or not: it may be tried again, since each event's identity makes it
    /// one row.
    pub(super) async fn store(&self, events: &[&Event], names: Option<(&str, &str)>) -> Stored {
        let mut stored = Stored { outcomes: vec![None; events.len()], epoch: None, stop: None };
        // Whether anything goes through: another event of these, or the control row.
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
                // An event fails alone, and nothing has gone through: is it the event, or the
                // server?
                match self.control(names).await {
                    Ok(()) => evidence = true,
                    Err(control) if verdict(&control) == Verdict::Lost => {
                        stored.stop = Some(Stop::of(&control));
                        return stored;
                    }
                    Err(_) if !faults.is_empty() || open.is_empty() => {
                        // Events of different places fail, and so does the control row.
                        stored.stop = Some(Stop::Failing(explain(&error)));
                        return stored;
                    }
                    // The control row may break a rule of an operator's that others keep: look at
                    // the other end before all between.
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
                    Outcome::Refused(reason)
                } else {
                    Outcome::Failed(reason)
                });
            }
        }
        stored
    }

    /// One statement. `None`: it is committed, but an operator has cancelled its wait for a
    /// standby.
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
            // All of them were there. The ring trigger has made the commit wait as their own did.
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
            // Of two equal events in one statement, both find the row: the first has stored it.
            let (place, id): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let known = stored.entry(id).or_insert(place);
            *known = place.min(*known);
        }
        let mut outcomes = vec![Outcome::Duplicate; events.len()];
        for (id, place) in stored {
            let at = usize::try_from(place - 1).unwrap_or(usize::MAX);
            if let Some(outcome) = outcomes.get_mut(at) {
                *outcome = Outcome::Stored(id);
            }
        }
        Ok(Some(Inserted { epoch, outcomes }))
    }

    /// Tries whether anything can be stored at all, and leaves nothing behind: a row that is
    /// undone, a bell, and a commit.
    pub(super) async fn control(&self, names: Option<(&str, &str)>) -> Result<(), Error> {
        let (class, student) = names.unwrap_or(CONTROL_NAMES);
        let client = &self.session.client;
        let attempt = async {
            client.batch_execute("BEGIN; SAVEPOINT control").await?;
            client.execute(CONTROL_ROW, &[&class, &student]).await?;
            client.batch_execute("ROLLBACK TO control").await?;
            client.execute(CONTROL_BELL, &[&CHANNEL]).await?;
            client.batch_execute("COMMIT").await
        };
        let tried = attempt.await;
        if tried.is_err() && !client.is_closed() {
            // If this fails too the connection is lost, which the next statement finds.
            let _ = client.batch_execute("ROLLBACK").await;
        }
        tried
    }
}

fn is_data_exception(error: &Error) -> bool {
    error.code().is_some_and(|state| state.code().starts_with(DATA_EXCEPTION))
}
