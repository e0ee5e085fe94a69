//! The table of the audit: who did what. Entries are appended; the leader deletes old ones.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::log::ReadError;
use super::pages::{PageError, Pages};
use super::pooled_client::Leftover;
use super::session::Session;
use super::types::PgMicros;
use crate::event::Micros;

/// An entry to append.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewAuditEntry {
    /// How long ago it happened: the time in the table is the database's.
    pub(crate) age: Duration,
    pub(crate) action: &'static str,
    pub(crate) subject: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) source: Option<&'static str>,
    pub(crate) class: Option<String>,
    pub(crate) student: Option<String>,
    pub(crate) address: IpAddr,
    pub(crate) detail: Option<&'static str>,
}

/// An entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    pub(crate) id: i64,
    pub(crate) at: Micros,
    pub(crate) action: String,
    pub(crate) subject: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) student: Option<String>,
    pub(crate) address: IpAddr,
    pub(crate) detail: Option<String>,
}

/// Which entries are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuditFilter<'a> {
    /// Only those of this class.
    pub(crate) class: Option<&'a str>,
    /// Only those of this caller.
    pub(crate) subject: Option<&'a str>,
    /// Only these actions.
    pub(crate) action: Option<&'a str>,
    /// Only those with a smaller id.
    pub(crate) before: i64,
    /// The most entries.
    pub(crate) limit: i64,
}

/// `$1` to `$9`: the columns, each an array; `$1` is the age in seconds.
const ADD: &str = "\
    INSERT INTO audit_entry \
      (at, action, subject, role, source, class_id, student_id, address, detail) \
    SELECT clock_timestamp() - make_interval(secs => age), \
      action, subject, role, source, class_id, student_id, address, detail \
    FROM unnest($1::float8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
      $7::text[], $8::inet[], $9::text[]) \
      AS new (age, action, subject, role, source, class_id, student_id, address, detail)";

/// `$1` the age in seconds, `$2` the most entries.
const PRUNE: &str = "SELECT progress_audit_prune($1, $2)";

impl AuditFilter<'_> {
    /// The statement: `$1` the id, `$2` the number of entries, then the filters that are given. The
    /// text names these alone, so that each finds its index.
    fn statement(&self) -> String {
        let mut sql = String::from(
            "SELECT id, at, action, subject, role, source, class_id, student_id, address, detail \
             FROM audit_entry WHERE id < $1",
        );
        let given = self.given();
        for (at, (column, _)) in given.iter().enumerate() {
            sql.push_str(&format!(" AND {column} = ${}", at + 3));
        }
        sql + " ORDER BY id DESC LIMIT $2"
    }

    fn given(&self) -> Vec<(&'static str, &str)> {
        let filters =
            [("class_id", self.class), ("subject", self.subject), ("action", self.action)];
        filters.into_iter().filter_map(|(column, value)| Some((column, value?))).collect()
    }
}

impl AuditEntry {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get(0)?,
            at: row.try_get::<_, PgMicros>(1)?.0,
            action: row.try_get(2)?,
            subject: row.try_get(3)?,
            role: row.try_get(4)?,
            source: row.try_get(5)?,
            class: row.try_get(6)?,
            student: row.try_get(7)?,
            address: row.try_get(8)?,
            detail: row.try_get(9)?,
        })
    }
}

impl Pages {
    /// Appends `entries`, all of them or none.
    ///
    /// # Errors
    /// If there is no connection, or the database does not answer in time.
    pub(crate) async fn add_audit(&self, entries: &[NewAuditEntry]) -> Result<(), PageError> {
        let ages: Vec<f64> = entries.iter().map(|entry| entry.age.as_secs_f64()).collect();
        let actions: Vec<&str> = entries.iter().map(|entry| entry.action).collect();
        let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.as_deref()).collect();
        let roles: Vec<_> = entries.iter().map(|entry| entry.role.as_deref()).collect();
        let sources: Vec<_> = entries.iter().map(|entry| entry.source).collect();
        let classes: Vec<_> = entries.iter().map(|entry| entry.class.as_deref()).collect();
        let students: Vec<_> = entries.iter().map(|entry| entry.student.as_deref()).collect();
        let addresses: Vec<IpAddr> = entries.iter().map(|entry| entry.address).collect();
        let details: Vec<_> = entries.iter().map(|entry| entry.detail).collect();
        self.run(async |client| {
            // The pool's sessions are read-only otherwise.
            let transaction = client.build_transaction().read_only(false).start().await?;
            let add = transaction.prepare_cached(ADD).await?;
            let parameters: [&(dyn ToSql + Sync); 9] = [
                &ages, &actions, &subjects, &roles, &sources, &classes, &students, &addresses,
                &details,
            ];
            transaction.execute(&add, &parameters).await?;
            transaction.commit().await?;
            Ok(((), Leftover::Nothing))
        })
        .await
    }

    /// Reads entries, newest first.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub(crate) async fn audit(
        &self,
        filter: &AuditFilter<'_>,
    ) -> Result<Vec<AuditEntry>, PageError> {
        self.run(async |client| {
            let statement = client.prepare_cached(&filter.statement()).await?;
            let given = filter.given();
            let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&filter.before, &filter.limit];
            parameters.extend(given.iter().map(|(_, value)| value as &(dyn ToSql + Sync)));
            let rows = client.query(&statement, &parameters).await?;
            let entries: Result<_, Error> = rows.iter().map(AuditEntry::of).collect();
            Ok((entries.map_err(ReadError::from)?, Leftover::Nothing))
        })
        .await
    }
}

/// Deletes at most `most` entries that are older than `age`, the oldest first, and returns their
/// number. The database keeps each for a day at least.
///
/// # Errors
/// If the connection is lost, or a lock is held for too long.
pub(crate) async fn prune_audit(session: &Session, age: Duration, most: i32) -> Result<i32, Error> {
    let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    session.client.query_one(PRUNE, &[&age, &most]).await?.try_get(0)
}
