//! The log's identity: whether ids still name the events that they named before.
//!
//! A cursor is an id, and an id has a meaning only within one generation of ids, which the epoch
//! names. An epoch is the log's nonce and the timeline of the server's WAL. A promotion changes
//! the timeline by itself. A dump that is restored, a sequence that was set back or a table that
//! was copied change nothing by themselves; the functions here detect them and renew the nonce.
//! Otherwise a subscriber would resume after an id that now names another event, and miss some.

use tokio_postgres::Error;

use super::log::current_epoch;
use super::session::Session;
use crate::event::{ClassId, Epoch};

/// Renews the log's nonce, so that the epoch changes, and notes that the log is where it is now.
/// With `seen`, only while the epoch is still that one: of several relays that detect the same
/// change, one renews it.
///
/// # Errors
/// The database's.
pub(crate) async fn renew_nonce(session: &Session, seen: Option<&Epoch>) -> Result<(), Error> {
    const RENEW: &str = "\
        UPDATE progress_log SET nonce = left(replace(gen_random_uuid()::text, '-', ''), 12), \
            home = progress_home(), home_table = 'progress_event'::regclass::oid, \
            timeline = progress_epoch('') \
        WHERE $1::text IS NULL OR starts_with($1, nonce)";
    session.client.execute(RENEW, &[&seen.map(Epoch::to_string)]).await.map(|_| ())
}

/// Raises the sequence above every id in the table and above every id that was pruned, and renews
/// the nonce as [`renew_nonce`] does. Logical replication does not carry the sequence over, and a
/// restore of data alone does not set it. Without this the sequence would allocate ids that
/// events already have.
///
/// # Errors
/// The database's.
pub(crate) async fn mend_sequence(session: &Session, seen: &Epoch) -> Result<(), Error> {
    // The epoch's text is digits, but it comes from a database.
    let seen: String = seen.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    // One message: a connection that is lost on the way leaves no raised sequence under the old
    // nonce, which nothing would notice later.
    let mend = format!(
        "BEGIN; SELECT progress_event_lock(); \
         UPDATE progress_log SET nonce = left(replace(gen_random_uuid()::text, '-', ''), 12), \
             home = progress_home(), home_table = 'progress_event'::regclass::oid, \
             timeline = progress_epoch('') \
         WHERE starts_with('{seen}', nonce); \
         SELECT setval('progress_event_id_seq', newest) FROM ( \
             SELECT greatest((SELECT max(id) FROM progress_event), pruned_id) AS newest \
             FROM progress_log) AS ids \
             WHERE newest > (SELECT last_value FROM progress_event_id_seq); \
         COMMIT"
    );
    session.client.batch_execute(&mend).await
}

/// The result of the check where a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HomeCheck {
    /// The cluster, database, table and timeline in which the nonce was made.
    AtHome,
    /// The same table on another timeline: a standby was promoted, or the server began or ceased to
    /// tell its timeline. The nonce was renewed.
    Promoted,
    /// Another cluster, database or table: a dump was restored. The nonce was renewed.
    Moved,
}

/// Makes sure that the log is where its nonce was made: in this cluster, database and table, and
/// on this timeline. If it is elsewhere, ids may have been reassigned, and the nonce is renewed.
///
/// After a promotion alone the snapshots stay right, since they and the events in them came in the
/// same WAL. They are stamped with the new nonce, so that they need not be rebuilt. The ordering
/// lock keeps events from being stored meanwhile.
///
/// # Errors
/// The database's.
pub(crate) async fn check_home(session: &Session) -> Result<HomeCheck, Error> {
    const LOOK: &str = "\
        SELECT home IS NOT NULL, \
            (home, home_table) \
                IS NOT DISTINCT FROM (progress_home(), 'progress_event'::regclass::oid), \
            timeline IS NOT DISTINCT FROM progress_epoch('') FROM progress_log";
    const ADOPT: &str = "\
        BEGIN; SELECT progress_event_lock(); \
        WITH old AS (\
            SELECT nonce FROM progress_log \
            WHERE timeline IS DISTINCT FROM progress_epoch('') FOR UPDATE), \
        new AS (\
            UPDATE progress_log \
            SET nonce = left(replace(gen_random_uuid()::text, '-', ''), 12), \
                timeline = progress_epoch('') FROM old RETURNING progress_log.nonce), \
        classes AS (\
            UPDATE class_state SET nonce = new.nonce FROM old, new \
            WHERE class_state.nonce = old.nonce) \
        UPDATE state_through SET nonce = new.nonce FROM old, new \
            WHERE state_through.nonce = old.nonce; \
        COMMIT";
    const MOVE_IN: &str = "\
        UPDATE progress_log SET home = progress_home(), \
            home_table = 'progress_event'::regclass::oid, timeline = progress_epoch('') \
        WHERE home IS NULL";
    let row = session.client.query_one(LOOK, &[]).await?;
    let (is_known, is_same_place, is_same_timeline): (bool, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if !is_known {
        session.client.execute(MOVE_IN, &[]).await?;
        return Ok(HomeCheck::AtHome);
    }
    if !is_same_place {
        let epoch = current_epoch(&session.client).await?;
        renew_nonce(session, Some(&epoch)).await?;
        return Ok(HomeCheck::Moved);
    }
    if !is_same_timeline {
        session.client.batch_execute(ADOPT).await?;
        return Ok(HomeCheck::Promoted);
    }
    Ok(HomeCheck::AtHome)
}

/// The classes in which the deletions after number `known`, up to number `now`, have deleted
/// events; `None` if they may be any.
///
/// # Errors
/// The database's.
pub(crate) async fn deleted_classes(
    session: &Session,
    known: i64,
    now: i64,
) -> Result<Option<Vec<ClassId>>, Error> {
    const DELETED: &str = "\
        SELECT class_id FROM progress_deletion WHERE deletion > $1 GROUP BY class_id";
    const COUNTED: &str = "\
        SELECT count(DISTINCT deletion) FROM progress_deletion \
        WHERE deletion > $1 AND deletion <= $2";
    let counted: i64 = session.client.query_one(COUNTED, &[&known, &now]).await?.try_get(0)?;
    if counted != now - known {
        // The oldest deletions are not kept for ever, or the counter was set back.
        return Ok(None);
    }
    let rows = session.client.query(DELETED, &[&known]).await?;
    let mut classes = Vec::with_capacity(rows.len());
    for row in rows {
        let class: &str = row.try_get(0)?;
        if class.is_empty() {
            return Ok(None);
        }
        classes.push(ClassId::stored(class));
    }
    Ok(Some(classes))
}
