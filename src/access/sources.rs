//! Asks the configured sources who a credential belongs to.

use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::caller::Caller;
use super::credential::Credential;
use super::denial::Denial;
use super::session::Sessions;

/// Why a caller's live connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerEnd {
    /// The credential has expired.
    Expired,
    /// The credential was revoked, or its source no longer knows it.
    Revoked,
}

/// The sources of callers of a relay. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    sources: Arc<Sources>,
}

#[derive(Debug)]
struct Sources {
    /// Counts the changes of keys and revocations: live connections ask again who calls.
    changes: watch::Sender<u64>,
    /// The sessions of browsers that have signed in.
    sessions: Option<Sessions>,
}

impl Access {
    /// Without a source: everyone is an operator. The relay listens on loopback only, or was told
    /// that this is wanted.
    pub(crate) fn open() -> Self {
        Self { sources: Arc::new(Sources { changes: watch::Sender::new(0), sessions: None }) }
    }

    /// Whether no source is configured.
    pub(crate) fn is_open(&self) -> bool {
        true
    }

    /// Who calls with this credential.
    ///
    /// # Errors
    /// Why it is not known who.
    pub(crate) async fn resolve(
        &self,
        credential: Option<&Credential>,
    ) -> Result<Arc<Caller>, Denial> {
        match credential {
            _ if self.is_open() => Ok(Arc::new(Caller::anyone())),
            None => Err(Denial::Missing),
            Some(Credential::Session(value)) => match &self.sources.sessions {
                Some(sessions) => Ok(Arc::new(sessions.resolve(value).await?)),
                None => Err(Denial::Invalid("this relay has no sessions".to_owned())),
            },
            Some(_) => Err(Denial::Invalid("no source knows it".to_owned())),
        }
    }

    /// The sessions of browsers that have signed in; `None` where no source is configured.
    pub(crate) fn sessions(&self) -> Option<&Sessions> {
        self.sources.sessions.as_ref()
    }

    /// Resolves when the caller's credential ends.
    pub(crate) async fn ended(&self, caller: &Caller, credential: &Credential) -> CallerEnd {
        let mut changes = self.sources.changes.subscribe();
        let expired = async {
            match caller.expires_at {
                Some(at) => {
                    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                    tokio::time::sleep(left).await;
                }
                None => pending().await,
            }
        };
        let revoked = async {
            while changes.changed().await.is_ok() {
                if matches!(
                    self.resolve(Some(credential)).await,
                    Err(Denial::Invalid(_) | Denial::Revoked | Denial::Expired)
                ) {
                    return;
                }
            }
            pending::<()>().await;
        };
        tokio::select! {
            () = expired => CallerEnd::Expired,
            () = revoked => CallerEnd::Revoked,
        }
    }
}
