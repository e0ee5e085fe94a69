//! The lock under which the migrations of a schema are applied. Who waits for it says so, and names
//! the session that holds it.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, Error};

/// The first key of the advisory lock: a constant of this project's. The second is the schema's
/// oid, so that the installations of a database are migrated apart.
const LOCK: i32 = 0x7072_6d67;
/// The second key.
const SCHEMA: &str = "(quote_ident(current_schema())::regnamespace::oid::bigint - 2147483648)";
/// How often the lock is tried. The session must not wait for it inside a statement: a migration
/// that creates an index concurrently waits for the end of every statement that runs, and would
/// wait for this one.
const RETRY: Duration = Duration::from_millis(200);
/// The first word about a wait, and the time to each further one.
const FIRST_WORD: Duration = Duration::from_secs(5);
const NEXT_WORD: Duration = Duration::from_secs(30);

/// Takes the lock for the session. The session's name then says since when it has it, since only a
/// superuser, or a role with `pg_read_all_stats`, sees when another role's session began.
pub(super) async fn acquire(client: &Client) -> Result<(), Error> {
    const NAME: &str = "\
        SELECT set_config('application_name', 'progress-relay migrate since ' \
            || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"'), false)";
    let sql = format!("SELECT pg_try_advisory_lock($1, {SCHEMA}::int)");
    let began = Instant::now();
    let mut word = FIRST_WORD;
    while !client.query_one(&sql, &[&LOCK]).await?.try_get::<_, bool>(0)? {
        if began.elapsed() >= word {
            word += NEXT_WORD;
            report(client, began.elapsed()).await?;
        }
        tokio::time::sleep(RETRY).await;
    }
    client.execute(NAME, &[]).await.map(drop)
}

/// Logs who holds the lock. Locks and a session's name may be read by every role.
async fn report(client: &Client, waited: Duration) -> Result<(), Error> {
    let sql = format!(
        "SELECT pid, coalesce(application_name, '') \
         FROM pg_lock_status() LEFT JOIN pg_stat_get_activity(NULL) AS activity USING (pid) \
         WHERE locktype = 'advisory' AND granted AND objsubid = 2 \
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND classid = $1::int::bigint::oid AND objid = ({SCHEMA} & 4294967295)::oid"
    );
    let Some(holder) = client.query_opt(&sql, &[&LOCK]).await? else { return Ok(()) };
    let (pid, application): (i32, String) = (holder.try_get(0)?, holder.try_get(1)?);
    tracing::warn!(
        pid,
        application,
        "the migrations wait for their lock, for {} s so far: the session with pid {pid} \
         ({application:?}) applies migrations in the same schema. If it is not a migration that \
         is still at work, end it: SELECT pg_terminate_backend({pid})",
        waited.as_secs()
    );
    Ok(())
}
