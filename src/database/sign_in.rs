//! The tables of signing in and out: the key that signs the sessions of browsers, the one-time
//! links, and the sessions that were signed out.

use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::pages::{PageError, Pages};
use super::pooled_client::Leftover;

const KEY: &str = "SELECT key FROM sign_in_key";

/// `$1` the key. Another relay may have made one meanwhile.
const ADD_KEY: &str = "INSERT INTO sign_in_key (key) VALUES ($1) ON CONFLICT DO NOTHING";

/// Deletes the links that are too old, and the oldest of a subject beyond `$2`.
const PRUNE_LINKS: &str = "\
    DELETE FROM sign_in_link WHERE expires_at <= now() OR code_hash IN (\
      SELECT code_hash FROM sign_in_link WHERE subject = $1 \
      ORDER BY expires_at DESC, code_hash OFFSET $2)";

/// `$1` the hash, `$2` the subject, `$3` the caller, `$4` the seconds until the link ends.
const ADD_LINK: &str = "\
    INSERT INTO sign_in_link (code_hash, subject, caller, expires_at) \
    VALUES ($1, $2, $3, now() + make_interval(secs => $4))";

/// Two browsers with one link: the second finds no row once the first has committed.
const TAKE_LINK: &str = "\
    DELETE FROM sign_in_link WHERE code_hash = $1 RETURNING caller, expires_at > now()";

/// Deletes the sign-outs of sessions that have ended, and beyond `$1` those that end first.
const PRUNE_SIGN_OUTS: &str = "\
    DELETE FROM sign_out WHERE expires_at <= now() OR session_hash IN (\
      SELECT session_hash FROM sign_out ORDER BY expires_at DESC, session_hash OFFSET $1)";

/// `$1` the hash, `$2` the seconds until the session ends. A second sign-out changes nothing.
const ADD_SIGN_OUT: &str = "\
    INSERT INTO sign_out (session_hash, expires_at) \
    VALUES ($1, now() + make_interval(secs => $2)) ON CONFLICT DO NOTHING";

const SIGN_OUTS: &str = "SELECT session_hash FROM sign_out WHERE expires_at > now()";

/// A one-time link to store.
#[derive(Debug)]
pub(crate) struct NewLink<'a> {
    /// The hash of the link's code.
    pub(crate) code_hash: &'a str,
    /// Who asked for the link.
    pub(crate) subject: &'a str,
    /// The caller as whom the link signs a browser in.
    pub(crate) caller: &'a str,
    /// How long the link can be used.
    pub(crate) lifetime: Duration,
    /// The most links of the subject that can be used at once; the oldest ones go.
    pub(crate) most: usize,
}

impl Pages {
    /// The key that signs sessions. If there is none yet, `fresh` becomes the key.
    ///
    /// # Errors
    /// If there is no connection, or the database does not answer in time.
    pub(crate) async fn sign_in_key(&self, fresh: &[u8]) -> Result<Vec<u8>, PageError> {
        self.run(async |client| {
            if let Some(row) = client.query_opt(KEY, &[]).await? {
                return Ok((row.try_get(0)?, Leftover::Nothing));
            }
            // The pool's sessions are read-only otherwise.
            let transaction = client.build_transaction().read_only(false).start().await?;
            transaction.execute(ADD_KEY, &[&fresh]).await?;
            let key = transaction.query_one(KEY, &[]).await?.try_get(0)?;
            transaction.commit().await?;
            Ok((key, Leftover::Nothing))
        })
        .await
    }

    /// Stores a one-time link.
    ///
    /// # Errors
    /// If there is no connection, or the database does not answer in time.
    pub(crate) async fn add_sign_in_link(&self, link: &NewLink<'_>) -> Result<(), PageError> {
        let others = i64::try_from(link.most.saturating_sub(1)).unwrap_or(i64::MAX);
        let seconds = link.lifetime.as_secs_f64();
        self.run(async |client| {
            let transaction = client.build_transaction().read_only(false).start().await?;
            transaction.execute(PRUNE_LINKS, &[&link.subject, &others]).await?;
            let parameters: [&(dyn ToSql + Sync); 4] =
                [&link.code_hash, &link.subject, &link.caller, &seconds];
            transaction.execute(ADD_LINK, &parameters).await?;
            transaction.commit().await?;
            Ok(((), Leftover::Nothing))
        })
        .await
    }

    /// Uses up the link whose code has this hash, and returns the caller as whom it signs in;
    /// `None` if there is no such link, or no longer.
    ///
    /// # Errors
    /// If there is no connection, or the database does not answer in time.
    pub(crate) async fn take_sign_in_link(
        &self,
        code_hash: &str,
    ) -> Result<Option<String>, PageError> {
        self.run(async |client| {
            let transaction = client.build_transaction().read_only(false).start().await?;
            let taken = match transaction.query_opt(TAKE_LINK, &[&code_hash]).await? {
                Some(row) if row.try_get(1)? => Some(row.try_get(0)?),
                _ => None,
            };
            transaction.commit().await?;
            Ok((taken, Leftover::Nothing))
        })
        .await
    }

    /// Stores that the session of this hash was signed out, which would have ended after `left`. Of
    /// more than `most`, the ones that end first are forgotten.
    ///
    /// # Errors
    /// If there is no connection, or the database does not answer in time.
    pub(crate) async fn add_sign_out(
        &self,
        session_hash: &[u8; 32],
        left: Duration,
        most: usize,
    ) -> Result<(), PageError> {
        let others = i64::try_from(most.saturating_sub(1)).unwrap_or(i64::MAX);
        let (hash, seconds) = (session_hash.as_slice(), left.as_secs_f64());
        self.run(async |client| {
            let transaction = client.build_transaction().read_only(false).start().await?;
            transaction.execute(PRUNE_SIGN_OUTS, &[&others]).await?;
            transaction.execute(ADD_SIGN_OUT, &[&hash, &seconds]).await?;
            transaction.commit().await?;
            Ok(((), Leftover::Nothing))
        })
        .await
    }

    /// The hashes of the sessions that were signed out and would not have ended yet.
    ///
    /// # Errors
    /// If there is no connection, or the database does not answer in time.
    pub(crate) async fn sign_outs(&self) -> Result<Vec<[u8; 32]>, PageError> {
        self.run(async |client| {
            let rows = client.query(SIGN_OUTS, &[]).await?;
            let hashes = rows.iter().map(|row| row.try_get::<_, &[u8]>(0));
            // The table holds hashes of 32 bytes alone.
            let hashes: Result<Vec<_>, _> = hashes.collect();
            let hashes = hashes?.into_iter().filter_map(|hash| hash.try_into().ok()).collect();
            Ok((hashes, Leftover::Nothing))
        })
        .await
    }
}
