//! Asks the configured sources who a credential belongs to.

use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tokio::sync::watch;

use super::caller::Caller;
use super::config::Config;
use super::credential::Credential;
use super::denial::Denial;
use super::hub::{CHECK_AGAIN, Hub};
use super::jwt::Verifier;
use super::proxied::ProxiedUsers;
use super::revocations::Revocations;
use super::session::{NewSession, Sessions};
use super::sign_outs;

/// Why a caller's live connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerEnd {
    /// The credential has expired.
    Expired,
    /// The credential was revoked, or its source no longer knows it, or knows the caller as
    /// another than it was.
    Revoked,
    /// The source has been away for too long.
    Unavailable,
}

/// The sources of callers of a relay. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    sources: Arc<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    jwt: Option<Verifier>,
    hub: Option<Hub>,
    /// The users of a trusted proxy, if its headers name them.
    proxied: Option<ProxiedUsers>,
    revocations: Option<Revocations>,
    /// Counts the changes of keys and revocations: live connections ask again who calls.
    changes: watch::Sender<u64>,
    /// The sessions of browsers that have signed in.
    sessions: OnceLock<Sessions>,
}

impl Access {
    /// Without a source: everyone is an operator. The relay listens on loopback only, or was told
    /// that this is wanted.
    pub(crate) fn open() -> Self {
        Self { sources: Arc::default() }
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
        let hub = match &config.hub {
            Some(hub) => Some(Hub::new(hub.clone(), config.groups.clone())?),
            None => None,
        };
        let revocations = match &config.revoked {
            Some(file) => Some(Revocations::read(file)?),
            None => None,
        };
        let proxied = config.proxied.then(|| ProxiedUsers::new(config.groups.clone()));
        let sessions = OnceLock::new();
        Ok(Self {
            sources: Arc::new(Sources { jwt, hub, proxied, revocations, changes, sessions }),
        })
    }

    /// Lets browsers sign in. The sources are read before the database is known, in which the key
    /// of the sessions is; without a source there is nobody to sign in as.
    pub(crate) fn keep(&self, sessions: Sessions) {
        if !self.is_open() {
            // Set once: the relay is built once.
            let _ = self.sources.sessions.set(sessions);
        }
    }

    /// Whether no source is configured.
    pub(crate) fn is_open(&self) -> bool {
        let Sources { jwt, hub, proxied, .. } = &*self.sources;
        jwt.is_none() && hub.is_none() && proxied.is_none()
    }

    /// Waits until keys that are at a URL have been asked for once. `serve` does not wait: until
    /// then it answers 503.
    pub(crate) async fn first_look(&self) {
        if let Some(jwt) = &self.sources.jwt {
            jwt.first_look().await;
        }
    }

    /// Reads keys and revocations again. Connections of callers that are no longer admitted end.
    pub(crate) async fn reread(&self) {
        let Sources { jwt, revocations, changes, sessions, .. } = &*self.sources;
        if let Some(jwt) = jwt {
            jwt.reread();
        }
        if let Some(revocations) = revocations {
            revocations.reread();
        }
        let announce = || changes.send_modify(|changes| *changes += 1);
        announce();
        // What was revoked does not wait for the database.
        let Some(sessions) = sessions.get() else { return };
        match sessions.reread().await {
            Ok(()) => announce(),
            Err(denial) => tracing::warn!("the key of the sessions stays: {denial}"),
        }
    }

    /// Who calls with this credential.
    ///
    /// # Errors
    /// Why it is not known who.
    pub(crate) async fn resolve(
        &self,
        credential: Option<&Credential>,
    ) -> Result<Arc<Caller>, Denial> {
        if self.is_open() {
            return Ok(Arc::new(Caller::anyone()));
        }
        let caller = self.known(credential.ok_or(Denial::Missing)?).await?;
        if self.sources.revocations.as_ref().is_some_and(|list| list.name(&caller)) {
            return Err(Denial::Revoked);
        }
        if let (Some(Credential::Session(value)), Some(sessions)) = (credential, self.sessions())
            && sessions.sign_outs().has(value).await?
        {
            return Err(Denial::Revoked);
        }
        Ok(caller)
    }

    /// Ends a session before its time. Its live connections end too.
    ///
    /// # Errors
    /// Why it is none, or goes on until its end.
    pub(crate) async fn sign_out(&self, session: &Credential) -> Result<Arc<Caller>, Denial> {
        let caller = self.resolve(Some(session)).await?;
        if let (Credential::Session(value), Some(sessions)) = (session, self.sessions())
            && let Some(expires_at) = caller.expires_at
        {
            sessions.sign_outs().add(value, expires_at).await?;
            self.sources.changes.send_modify(|changes| *changes += 1);
        }
        Ok(caller)
    }

    /// Whether the hub is the source that knows this credential.
    fn is_of_hub(&self, credential: &Credential) -> bool {
        let Sources { jwt, hub, .. } = &*self.sources;
        hub.is_some()
            && match credential {
                // A token of the hub's has no dots, and a JWT has two: neither is shown to the
                // other's source.
                Credential::Token(token) => jwt.is_none() || !is_jwt(token),
                Credential::Session(value) => Hub::is_session(value),
                Credential::Proxied { .. } => false,
            }
    }

    /// Who calls with this credential, by the source that knows it.
    async fn known(&self, credential: &Credential) -> Result<Arc<Caller>, Denial> {
        let Sources { jwt, hub, proxied, sessions, .. } = &*self.sources;
        if let Some(hub) = hub
            && self.is_of_hub(credential)
        {
            return match credential {
                Credential::Session(value) => hub.caller_of_session(value).await,
                Credential::Token(token) => hub.caller_of_token(token).await,
                Credential::Proxied { .. } => Err(Denial::Missing),
            };
        }
        match (credential, jwt, proxied) {
            (Credential::Token(token), Some(jwt), _) => Ok(Arc::new(jwt.verify(token).await?)),
            (Credential::Proxied { user, groups, name }, _, Some(users)) => {
                Ok(Arc::new(users.caller(user, groups, name.as_deref())))
            }
            (Credential::Session(value), ..) => match sessions.get() {
                Some(sessions) => Ok(Arc::new(sessions.resolve(value).await?)),
                None => Err(Denial::Invalid("this relay has no sessions".to_owned())),
            },
            _ => Err(Denial::Invalid("no source knows it".to_owned())),
        }
    }

    /// Begins a session of a caller that has brought this credential: its hub's session, if the
    /// credential is a hub's token, so that it ends when the hub says so.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn begin_session(
        &self,
        sessions: &Sessions,
        caller: &Caller,
        credential: Option<&Credential>,
    ) -> Result<NewSession, Denial> {
        match (&self.sources.hub, credential) {
            (Some(hub), Some(credential @ Credential::Token(token)))
                if self.is_of_hub(credential) =>
            {
                hub.session_of_token(token)
            }
            _ => sessions.begin(caller).await,
        }
    }

    /// The hub, if one is configured: people sign in there.
    pub(crate) fn hub(&self) -> Option<&Hub> {
        self.sources.hub.as_ref()
    }

    /// The sessions of browsers that have signed in; `None` where no source is configured.
    pub(crate) fn sessions(&self) -> Option<&Sessions> {
        self.sources.sessions.get()
    }

    /// Resolves when the caller's credential ends.
    pub(crate) async fn ended(&self, caller: &Caller, credential: &Credential) -> CallerEnd {
        let mut changes = self.sources.changes.subscribe();
        let is_of_hub = self.is_of_hub(credential);
        // Nothing announces a change at the hub, or a sign-out at another replica.
        let unannounced = match credential {
            Credential::Session(_) => Some(sign_outs::PACE),
            _ => is_of_hub.then_some(CHECK_AGAIN),
        };
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
                    Ok(now) if now.role != caller.role || now.scope != caller.scope => {
                        return CallerEnd::Revoked;
                    }
                    Err(Denial::Unavailable { .. }) if is_of_hub => return CallerEnd::Unavailable,
                    Ok(_) | Err(Denial::Unavailable { .. }) => {}
                }
                let change = changes.changed();
                if let Some(pace) = unannounced {
                    let _ = tokio::time::timeout(pace, change).await;
                } else if change.await.is_err() {
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

/// Whether a token has the form of a JWT.
fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::access::hub::tests::{Groups, hub, session};

    /// A relay whose callers a hub knows, and a session there.
    fn signed_in(groups: &Groups) -> (Access, Credential) {
        let hub = hub(groups);
        let value = session(&hub, Duration::ZERO);
        let sources = Sources { hub: Some(hub), ..Sources::default() };
        (Access { sources: Arc::new(sources) }, Credential::Session(value))
    }

    async fn caller(access: &Access, credential: &Credential) -> Arc<Caller> {
        access.resolve(Some(credential)).await.expect("a caller")
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_connection_ends_when_the_hub_knows_its_caller_as_another() {
        let groups = Groups::new(Mutex::new(Some(vec!["instructors-algebra"])));
        let (access, credential) = signed_in(&groups);
        let caller = caller(&access, &credential).await;
        let (began, ended) = (Instant::now(), access.ended(&caller, &credential));
        tokio::pin!(ended);
        let patient = tokio::time::timeout(Duration::from_secs(3_600), &mut ended).await;
        assert!(patient.is_err(), "nothing has changed");
        *groups.lock().expect("groups") = Some(vec!["instructors-physics"]);
        assert_eq!(ended.await, CallerEnd::Revoked);
        assert!(began.elapsed() <= Duration::from_secs(3_600) + 2 * CHECK_AGAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_connection_outlives_a_hub_that_is_away_for_a_while() {
        let groups = Groups::new(Mutex::new(Some(vec!["instructors-algebra"])));
        let (access, credential) = signed_in(&groups);
        let caller = caller(&access, &credential).await;
        *groups.lock().expect("groups") = None;
        let began = Instant::now();
        assert_eq!(access.ended(&caller, &credential).await, CallerEnd::Unavailable);
        let quarter = Duration::from_secs(900);
        assert!(began.elapsed() >= quarter && began.elapsed() < quarter + 2 * CHECK_AGAIN);
    }

    #[tokio::test]
    async fn neither_source_is_shown_the_tokens_of_the_other() {
        let groups = Groups::new(Mutex::new(Some(vec!["instructors-algebra"])));
        let (access, session) = signed_in(&groups);
        assert!(access.is_of_hub(&session));
        assert!(!access.is_of_hub(&Credential::Session("a.b.c".to_owned())));
        assert!(access.is_of_hub(&Credential::Token("0123abc".to_owned())));
        assert!(is_jwt("a.b.c") && !is_jwt("0123abc") && !is_jwt("a.b"));
        assert_eq!(access.resolve(None).await, Err(Denial::Missing));
    }
}
