//! The statement that stores events, many at a time, and what its rows say of each.

use std::collections::HashMap;

use tokio_postgres::{Error, Row, Statement};
use uuid::Uuid;

use super::queue::Outcome;
use crate::event::{Event, Micros};
use crate::store::{PgMicros, RawJson, Session, Verdict, explain, verdict};

/// `unnest` gives rows in the arrays' order, and ids are handed out as they come: a request's events keep their order.
const INSERT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::json[]) \
     ON CONFLICT (class_id, student_id, occurred_at, event_id) DO NOTHING \
     RETURNING id, class_id, student_id, occurred_at, event_id";

/// 2xx means committed, also where a role or a database turns this off.
const SYNCHRONOUS: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off'";

/// A connection that writes.
#[derive(Debug)]
pub(super) struct Inserter {
    pub(super) session: Session,
    statement: Statement,
}

impl Inserter {
    pub(super) async fn new(session: Session) -> Result<Self, Error> {
        session.client.batch_execute(SYNCHRONOUS).await?;
        let statement = session.client.prepare(INSERT).await?;
        Ok(Self { session, statement })
    }

    /// Stores `events`, in order. Where the database cannot take one of them, it is found by halving: the good are stored,
    /// the bad refused, in at most `2 log2(n)` statements for each bad one. An error means that some may be stored, some
    /// not: the whole may be tried again, since each event's identity makes it one row.
    pub(super) async fn store(&self, events: &[&Event]) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::with_capacity(events.len());
        let mut open = vec![events];
        while let Some(run) = open.pop() {
            match self.insert(run).await {
                Ok(rows) => outcomes.extend(self.outcomes(run, &rows)?),
                Err(error) if verdict(&error) == Verdict::Retry => return Err(error),
                Err(error) if run.len() <= 1 => {
                    outcomes.extend(run.iter().map(|_| Outcome::Refused(explain(&error))));
                }
                Err(_) => {
                    let (left, right) = run.split_at(run.len() / 2);
                    open.push(right);
                    open.push(left);
                }
            }
        }
        Ok(outcomes)
    }

    async fn insert(&self, events: &[&Event]) -> Result<Vec<Row>, Error> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        let classes: Vec<&str> = events.iter().map(|event| event.class.as_str()).collect();
        let students: Vec<&str> = events.iter().map(|event| event.student.as_str()).collect();
        let times: Vec<PgMicros> = events.iter().map(|event| PgMicros(event.occurred_at)).collect();
        let bodies: Vec<RawJson<'_>> = events.iter().map(|event| RawJson(&event.body)).collect();
        self.session.client.query(&self.statement, &[&ids, &classes, &students, &times, &bodies]).await
    }

    fn outcomes(&self, events: &[&Event], rows: &[Row]) -> Result<Vec<Outcome>, Error> {
        if rows.len() == events.len() {
            return rows.iter().map(|row| row.try_get(0).map(Outcome::Stored)).collect();
        }
        // Some were there already, and come back without a row: match the others by identity.
        type Identity<'a> = (&'a str, &'a str, Micros, Uuid);
        let mut stored: HashMap<Identity<'_>, i64> = HashMap::with_capacity(rows.len());
        for row in rows {
            let identity =
                (row.try_get(1)?, row.try_get(2)?, row.try_get::<_, PgMicros>(3)?.0, row.try_get(4)?);
            stored.insert(identity, row.try_get(0)?);
        }
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            let identity = (event.class.as_str(), event.student.as_str(), event.occurred_at, event.event_id);
            outcomes.push(stored.remove(&identity).map_or(Outcome::Duplicate, Outcome::Stored));
        }
        Ok(outcomes)
    }
}
