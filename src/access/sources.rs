//! Asks the configured sources who a credential belongs to.

use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::caller::Caller;
use super::credential::Credential;
use super::denial::Denial;
use super::proxied::ProxiedUsers;

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
    /// The users of a trusted proxy, if its headers name them.
    proxied: Option<ProxiedUsers>,
}

impl Access {
    /// Without a source: everyone is an operator. The relay listens on loopback only, or was told
    /// that this is wanted.
    pub(crate) fn open() -> Self {
        Self::new(None)
    }

    /// With these sources.
    pub(crate) fn new(proxied: Option<ProxiedUsers>) -> Self {
        Self { sources: Arc::new(Sources { changes: watch::Sender::new(0), proxied }) }
    }

    /// Whether no source is configured.
    pub(crate) fn is_open(&self) -> bool {
        self.sources.proxied.is_none()
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
            Some(Credential::Proxied { user, groups, name }) => match &self.sources.proxied {
                Some(users) => Ok(Arc::new(users.caller(user, groups, name.as_deref()))),
                None => Err(Denial::Invalid("no proxy's users are known".to_owned())),
            },
            Some(_) => Err(Denial::Invalid("no source knows it".to_owned())),
        }
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
