//! Asks the configured sources who a credential belongs to.

use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::caller::Caller;
use super::config::Config;
use super::credential::Credential;
use super::denial::Denial;
use super::jwt::Verifier;
use super::revocations::Revocations;

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
    jwt: Option<Verifier>,
    revocations: Option<Revocations>,
    /// Counts the changes of keys and revocations: live connections ask again who calls.
    changes: watch::Sender<u64>,
}

impl Access {
    /// Without a source: everyone is an operator. The relay listens on loopback only, or was told
    /// that this is wanted.
    pub(crate) fn open() -> Self {
        let changes = watch::Sender::new(0);
        Self { sources: Arc::new(Sources { jwt: None, revocations: None, changes }) }
    }

    /// With these sources. Must be called within a runtime: keys at a URL are fetched by a task.
    ///
    /// # Errors
    /// Names the flag whose file cannot be used.
    pub(crate) fn with(config: &Config) -> Result<Self, String> {
        let changes = watch::Sender::new(0);
        let jwt = match &config.jwt {
            Some(jwt) => Some(Verifier::start(jwt, &changes)?),
            None => None,
        };
        let revocations = match &config.revoked {
            Some(file) => Some(Revocations::read(file)?),
            None => None,
        };
        Ok(Self { sources: Arc::new(Sources { jwt, revocations, changes }) })
    }

    /// Whether no source is configured.
    pub(crate) fn is_open(&self) -> bool {
        self.sources.jwt.is_none()
    }

    /// Reads keys and revocations again. Connections of callers that are no longer admitted end.
    pub(crate) fn reread(&self) {
        let Sources { jwt, revocations, changes } = &*self.sources;
        if let Some(jwt) = jwt {
            jwt.reread();
        }
        if let Some(revocations) = revocations {
            revocations.reread();
        }
        changes.send_modify(|changes| *changes += 1);
    }

    /// Who calls with this credential.
    ///
    /// # Errors
    /// Why it is not known who.
    pub(crate) async fn resolve(
        &self,
        credential: Option<&Credential>,
    ) -> Result<Arc<Caller>, Denial> {
        let Sources { jwt, revocations, .. } = &*self.sources;
        let caller = match (credential, jwt) {
            _ if self.is_open() => return Ok(Arc::new(Caller::anyone())),
            (None, _) => return Err(Denial::Missing),
            (Some(Credential::Token(token)), Some(jwt)) => jwt.verify(token).await?,
            _ => return Err(Denial::Invalid("no source knows it".to_owned())),
        };
        if revocations.as_ref().is_some_and(|revocations| revocations.name(&caller)) {
            return Err(Denial::Revoked);
        }
        Ok(Arc::new(caller))
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
        let refused = async {
            loop {
                // Also before the first change: one may have come since the caller was admitted.
                match self.resolve(Some(credential)).await {
                    Err(Denial::Expired) => return CallerEnd::Expired,
                    Err(Denial::Invalid(_) | Denial::Revoked | Denial::Missing) => {
                        return CallerEnd::Revoked;
                    }
                    Ok(_) | Err(Denial::Unavailable { .. }) => {}
                }
                if changes.changed().await.is_err() {
                    pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = expired => CallerEnd::Expired,
            end = refused => end,
        }
    }
}
