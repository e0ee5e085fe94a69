//! A word about a lock that an operator's command, or a start, waits for.
//!
//! A statement that waits for another session's lock says nothing: a migration behind the open
//! transaction of a forgotten psql would look like one that works. So a second session looks at the
//! first one from time to time, and names who holds the lock.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::connect::Connector;

/// The time before the first look, and between two looks. One look may take as long.
const FIRST_LOOK: Duration = Duration::from_secs(5);
const NEXT_LOOK: Duration = Duration::from_secs(2);
/// The time between two words about one wait.
const NEXT_WORD: Duration = Duration::from_secs(30);

/// The sessions that the session `$1` has been waiting for, in one statement for 5 s and more.
/// Every role may see these columns of its own sessions, and who holds a lock.
const BLOCKERS: &str = "\
    SELECT blocker.pid, coalesce(pg_get_userbyid(blocker.usesysid), ''), \
           coalesce(blocker.application_name, '') \
    FROM pg_stat_get_activity($1) AS own \
    JOIN pg_stat_get_activity(NULL) AS blocker ON blocker.pid = ANY (pg_blocking_pids(own.pid)) \
    WHERE own.wait_event_type = 'Lock' \
      AND clock_timestamp() - own.query_start >= interval '5 seconds' ORDER BY 1 LIMIT 5";

/// Does some work on the session with this server process, and logs the sessions that hold a lock
/// for which the work waits.
pub(crate) async fn naming_blockers<T>(
    connector: &Connector,
    pid: i32,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut pause = FIRST_LOOK;
    let mut said: Option<Instant> = None;
    loop {
        if let Ok(done) = timeout(pause, &mut work).await {
            return done;
        }
        pause = NEXT_LOOK;
        let look = timeout(FIRST_LOOK, blockers(connector, pid));
        let found = tokio::select! {
            done = &mut work => return done,
            found = look => found.ok().flatten().unwrap_or_default(),
        };
        if !found.is_empty() && said.is_none_or(|said| said.elapsed() >= NEXT_WORD) {
            said = Some(Instant::now());
            tracing::warn!(
                "waiting for a lock of the database, which is held by {}; end that transaction, or \
                 the session: SELECT pg_terminate_backend(PID)",
                found.join(", ")
            );
        }
    }
}

/// The sessions, in words. None if the server cannot be asked: then there is nothing to say.
async fn blockers(connector: &Connector, pid: i32) -> Option<Vec<String>> {
    let session = connector.connect("look").await.ok()?;
    let rows = session.client.query(BLOCKERS, &[&pid]).await.ok()?;
    let names = rows.iter().map(|row| {
        let (pid, role, application): (i32, String, String) =
            (row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?);
        Some(format!("the session with pid {pid} (role {role:?}, application {application:?})"))
    });
    names.collect()
}
