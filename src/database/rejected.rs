//! The table of the causes for which ingest rejected events. It tells an instructor why students'
//! events do not arrive.

use tokio_postgres::types::ToSql;

use super::log::ReadError;
use super::pages::{PageError, Pages};
use super::pooled_client::Leftover;
use super::types::PgMicros;
use crate::event::{ClassId, Micros};

/// The most causes of one class in an answer.
const MAX_CAUSES: i64 = 100;

/// The number of events of one class that were rejected for one cause, to be added to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCount {
    /// The class that the events named.
    pub class: ClassId,
    /// The field at fault, `body` for a request as a whole, or `other`.
    pub field: &'static str,
    /// Why the field was rejected.
    pub reason: String,
    /// The number of events since the last addition.
    pub count: u64,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCause {
    /// The field at fault, `body` for a request as a whole, or `other`.
    pub field: String,
    /// Why the field was rejected.
    pub reason: String,
    /// The number of events since `first_at`.
    pub count: i64,
    /// When the first of them was rejected, by the database's clock. After a pause of six hours the
    /// count starts again.
    pub first_at: Micros,
    /// When the row was last written.
    pub last_at: Micros,
}

/// `$1` to `$4`: classes, fields, reasons, counts; in the order of the key.
const ADD: &str = "\
    INSERT INTO refused_event AS kept (class_id, field, reason, count, first_at, last_at) \
    SELECT class_id, field, reason, count, now(), now() \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS new (class_id, field, \
    reason, count) \
    ON CONFLICT (class_id, field, reason) DO UPDATE SET \
      count = EXCLUDED.count + CASE WHEN kept.last_at < now() - interval '6 hours' THEN 0 ELSE \
      kept.count END, \
      first_at = CASE WHEN kept.last_at < now() - interval '6 hours' THEN now() ELSE \
      kept.first_at END, \
      last_at = now()";

/// Deletes rows that are older than a week, and the oldest beyond 10,000. It skips rows that
/// another replica has locked, since that replica deletes them.
const PRUNE: &str = "\
    DELETE FROM refused_event WHERE (class_id, field, reason) IN (\
      SELECT class_id, field, reason FROM refused_event \
      WHERE last_at < greatest(now() - interval '7 days', coalesce(\
        (SELECT last_at FROM refused_event ORDER BY last_at DESC OFFSET 9999 LIMIT 1), \
        '-infinity')) \
      FOR UPDATE SKIP LOCKED)";

/// `$1` the class, `$2` the number of causes.
const OF_CLASS: &str = "\
    SELECT field, reason, count, first_at, last_at FROM refused_event \
    WHERE class_id = $1 ORDER BY last_at DESC, count DESC, field, reason LIMIT $2";

impl Pages {
    /// Adds `counts` to the table. With `prune`, deletes old rows as well.
    ///
    /// # Errors
    /// If there is no connection, or the database does not answer in time.
    pub async fn add_rejected(
        &self,
        counts: &[RejectedCount],
        prune: bool,
    ) -> Result<(), PageError> {
        let classes: Vec<&str> = counts.iter().map(|count| count.class.as_str()).collect();
        let fields: Vec<&str> = counts.iter().map(|count| count.field).collect();
        let reasons: Vec<&str> = counts.iter().map(|count| &*count.reason).collect();
        let numbers: Vec<i64> =
            counts.iter().map(|count| i64::try_from(count.count).unwrap_or(i64::MAX)).collect();
        self.run(async |client| {
            // The pool's sessions are read-only otherwise.
            let transaction = client.build_transaction().read_only(false).start().await?;
            let add = transaction.prepare_cached(ADD).await?;
            let parameters: [&(dyn ToSql + Sync); 4] = [&classes, &fields, &reasons, &numbers];
            transaction.execute(&add, &parameters).await?;
            if prune {
                transaction.execute(PRUNE, &[]).await?;
            }
            transaction.commit().await?;
            Ok(((), Leftover::Nothing))
        })
        .await
    }

    /// The causes for which a class's events were rejected in the last week, newest first.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub async fn rejected(&self, class: &ClassId) -> Result<Vec<RejectedCause>, PageError> {
        self.run(async |client| {
            let statement = client.prepare_cached(OF_CLASS).await?;
            let rows = client.query(&statement, &[&class.as_str(), &MAX_CAUSES]).await?;
            let causes = rows.iter().map(|row| {
                Ok(RejectedCause {
                    field: row.try_get(0)?,
                    reason: row.try_get(1)?,
                    count: row.try_get(2)?,
                    first_at: row.try_get::<_, PgMicros>(3)?.0,
                    last_at: row.try_get::<_, PgMicros>(4)?.0,
                })
            });
            Ok((
                causes.collect::<Result<_, tokio_postgres::Error>>().map_err(ReadError::from)?,
                Leftover::Nothing,
            ))
        })
        .await
    }
}
