//! JupyterHub as a source of callers.
//!
//! - `config`: which hub, and as which of its services the relay asks it
//! - `api`: the requests to the hub; `user`: its answer to "whose token is this"
//! - `checks`: these answers, kept for a while
//! - `sign_in`: OAuth for people with a browser; `seal`: texts that a browser keeps for the relay
//!
//! A session of a person who has signed in is the hub's access token, sealed in a cookie. So each
//! use of a session asks the hub, or its kept answer: when the hub removes the person, changes its
//! groups or revokes the token, the session ends within a minute or so, on every replica.

mod api;
mod checks;
mod config;
mod seal;
mod sign_in;
mod user;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::error::Unspecified;
use futures::FutureExt;
use serde::{Deserialize, Serialize};

use self::api::{HubApi, HubError};
use self::checks::TokenChecks;
use self::seal::{Purpose, Seal};
use self::sign_in::FinishedStates;
use super::caller::Caller;
use super::denial::Denial;
use super::groups::GroupRules;
use super::session::NewSession;
use crate::client::service::ServiceClient;
use crate::repeated::Repeated;

pub(crate) use config::{ApiToken, HubConfig, HubSettings};
pub(crate) use user::HubRefusal;

/// The longest session. The hub's access token may end earlier, and the session then with it.
const MAX_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// The longest code that the hub is asked about, in bytes.
const MAX_CODE: usize = 512;
/// The beginning of a session's value, which no other kind of session has.
const SESSION_PREFIX: &str = "hub.";
/// Nothing can be sealed then.
const NO_RANDOM: &str = "this machine gives no random numbers";
/// How long a client is told to wait when the hub is away.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often live connections ask again whether their credential is still good.
pub(crate) const CHECK_AGAIN: Duration = Duration::from_secs(60);

/// Troubles with the hub are logged once, and then now and then.
static TROUBLE: Repeated = Repeated::new();

/// A hub. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    shared: Arc<SharedHub>,
}

#[derive(Debug)]
struct SharedHub {
    api: Arc<HubApi>,
    checks: TokenChecks,
    seal: Seal,
    finished: FinishedStates,
}

/// A sign-in that has begun.
pub(crate) struct NewSignIn {
    /// The address at the hub to which the browser goes.
    pub(crate) location: String,
    /// The value of the cookie that the browser brings back.
    pub(crate) cookie: String,
    /// How long the cookie is good for.
    pub(crate) lifetime: Duration,
}

/// A person who has signed in.
pub(crate) struct SignedIn {
    /// Who.
    pub(crate) caller: Arc<Caller>,
    /// The person's session.
    pub(crate) session: NewSession,
    /// The page to which the browser wanted to go.
    pub(crate) next: String,
}

/// Why a sign-in does not end in a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// This browser has not begun it, has finished it already, or took too long.
    #[error("this sign-in was not begun in this browser, or is too old: begin again")]
    NotBegun,
    /// The hub does not take the code.
    #[error("the hub does not take the code that it has given: begin again")]
    CodeRefused,
    /// The hub knows the user, who may not use the relay.
    #[error("{0}")]
    Refused(#[from] HubRefusal),
    /// The hub cannot be asked now.
    #[error("{reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// When to begin again.
        retry_after: Duration,
    },
}

#[derive(Serialize, Deserialize)]
struct Session {
    token: String,
    /// Seconds since 1970.
    until: u64,
    /// Whether it began with the token of a user's server, and gets no more rights than that.
    by_token: bool,
}

impl Hub {
    /// A hub whose users' groups make them what `rules` say.
    ///
    /// # Errors
    /// If the hub's token, or the file of authorities, cannot be used.
    pub(crate) fn new(config: HubConfig, rules: GroupRules) -> Result<Self, String> {
        let client = ServiceClient::new(config.authorities.as_deref())
            .map_err(|error| format!("--hub-ca: {error}"))?;
        let seal = Seal::new(config.api_token.expose())?;
        let api = Arc::new(HubApi::new(client, config, rules));
        let asked = Arc::clone(&api);
        let checks = TokenChecks::new(Box::new(move |token| {
            let api = Arc::clone(&asked);
            async move { api.user_of(&token).await }.boxed()
        }));
        let finished = FinishedStates::default();
        Ok(Self { shared: Arc::new(SharedHub { api, checks, seal, finished }) })
    }

    /// Who calls with this token of the hub's.
    ///
    /// # Errors
    /// Why it is not known who.
    pub(crate) async fn caller_of_token(&self, token: &str) -> Result<Arc<Caller>, Denial> {
        match self.shared.checks.user_of(token).await {
            Ok(Ok(user)) => Ok(Arc::clone(&user.by_token)),
            Ok(Err(refusal)) => Err(Denial::Invalid(refusal.to_string())),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Whether a session is one that began here.
    pub(crate) fn is_session(value: &str) -> bool {
        value.starts_with(SESSION_PREFIX)
    }

    /// Who has signed in with this session.
    ///
    /// # Errors
    /// Why the session is none, or no longer.
    pub(crate) async fn caller_of_session(&self, value: &str) -> Result<Arc<Caller>, Denial> {
        let sealed = value.strip_prefix(SESSION_PREFIX);
        let session: Option<Session> =
            sealed.and_then(|sealed| self.shared.seal.open(Purpose::Session, sealed));
        let session =
            session.ok_or_else(|| Denial::Invalid("it is not a session of this relay".into()))?;
        let until = UNIX_EPOCH + Duration::from_secs(session.until);
        if until <= SystemTime::now() {
            return Err(Denial::Expired);
        }
        match self.shared.checks.user_of(&session.token).await {
            Ok(Ok(user)) => {
                let known = if session.by_token { &user.by_token } else { &user.by_sign_in };
                let caller = Caller { expires_at: Some(until), ..(**known).clone() };
                Ok(Arc::new(caller))
            }
            Ok(Err(_)) => Err(Denial::Revoked),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Begins to sign a browser in that wants to go to the page `next`.
    ///
    /// # Errors
    /// [`SignInError::Unavailable`] if this machine gives no random numbers.
    pub(crate) fn begin_sign_in(&self, next: &str) -> Result<NewSignIn, SignInError> {
        let (location, cookie) =
            sign_in::begin(&self.shared.api.config, &self.shared.seal, next).map_err(no_random)?;
        Ok(NewSignIn { location, cookie, lifetime: sign_in::SIGN_IN_PATIENCE })
    }

    /// Ends a sign-in: `cookie` is what the browser has kept, `state` and `code` what the hub has
    /// given it.
    ///
    /// # Errors
    /// Why there is no session.
    pub(crate) async fn finish_sign_in(
        &self,
        cookie: &str,
        state: &str,
        code: &str,
    ) -> Result<SignedIn, SignInError> {
        let SharedHub { api, checks, seal, finished } = &*self.shared;
        if code.is_empty() || code.len() > MAX_CODE {
            return Err(SignInError::CodeRefused);
        }
        let begun = sign_in::resume(seal, finished, cookie, state).ok_or(SignInError::NotBegun)?;
        let token = api.access_token(code, &begun.verifier).await?;
        let token = token.ok_or(SignInError::CodeRefused)?;
        let user = checks.user_of(&token).await??;
        Ok(SignedIn {
            caller: Arc::clone(&user.by_sign_in),
            session: self.new_session(token, false).map_err(no_random)?,
            next: begun.next,
        })
    }

    /// A session of the user whose token this is, which ends with the token.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] if this machine gives no random numbers.
    pub(crate) fn session_of_token(&self, token: &str) -> Result<NewSession, Denial> {
        self.new_session(token.to_owned(), true).map_err(|_| Denial::Unavailable {
            reason: NO_RANDOM.to_owned(),
            retry_after: RETRY_AFTER,
        })
    }

    fn new_session(&self, token: String, by_token: bool) -> Result<NewSession, Unspecified> {
        let until = sign_in::seconds(SystemTime::now() + MAX_LIFETIME);
        let session = Session { token, until, by_token };
        let sealed = self.shared.seal.seal(Purpose::Session, &session)?;
        Ok(NewSession { value: format!("{SESSION_PREFIX}{sealed}"), lifetime: MAX_LIFETIME })
    }
}

impl From<HubError> for SignInError {
    fn from(error: HubError) -> Self {
        Self::Unavailable { reason: logged(&error), retry_after: RETRY_AFTER }
    }
}

fn no_random(_: Unspecified) -> SignInError {
    SignInError::Unavailable { reason: NO_RANDOM.to_owned(), retry_after: RETRY_AFTER }
}

fn unavailable(error: &HubError) -> Denial {
    Denial::Unavailable { reason: logged(error), retry_after: RETRY_AFTER }
}

/// The error's text, which is logged too: only an operator can do something about it.
fn logged(error: &HubError) -> String {
    let reason = error.to_string();
    if let Some(due) = TROUBLE.met(&reason) {
        tracing::warn!("callers cannot be checked{due}: {reason}");
    }
    reason
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::access::groups::GroupPattern;

    /// A hub that knows each token as a user of these groups; `None` while it is away.
    pub(in crate::access) type Groups = Arc<Mutex<Option<Vec<&'static str>>>>;

    /// Such a hub, without a socket.
    pub(in crate::access) fn hub(groups: &Groups) -> Hub {
        let settings = HubSettings {
            api_url: Some("http://h/hub/api".to_owned()),
            api_token: Some(ApiToken::from("t".to_owned())),
            service_name: Some("relay".to_owned()),
            ..HubSettings::default()
        };
        let config = settings.validate().expect("valid").expect("a hub");
        let pattern = |text| vec![GroupPattern::parse(text).expect("a pattern")];
        let rules = GroupRules::new([], pattern("instructors-{class}"), pattern("{class}"));
        let hub = Hub::new(config.clone(), rules.clone()).expect("a hub");
        let groups = Arc::clone(groups);
        let checks = TokenChecks::new(Box::new(move |_| {
            let groups = groups.lock().expect("groups").clone();
            let model = groups.map(|groups| {
                json!({
                    "kind": "user", "name": "emmy", "groups": groups,
                    "scopes": config.access_scopes,
                })
            });
            let said = match model {
                None => Err(HubError::Away("gone".to_owned())),
                Some(model) => {
                    user::read(model.to_string().as_bytes(), &config.access_scopes, &rules)
                        .map_err(HubError::NotUnderstood)
                }
            };
            async move { said }.boxed()
        }));
        let seal = Seal::new("t").expect("a key");
        let api = Arc::clone(&hub.shared.api);
        let finished = FinishedStates::default();
        Hub { shared: Arc::new(SharedHub { api, checks, seal, finished }) }
    }

    /// A session that began so long ago.
    pub(in crate::access) fn session(hub: &Hub, age: Duration) -> String {
        let until = sign_in::seconds(SystemTime::now() + MAX_LIFETIME - age);
        let session = Session { token: "access".to_owned(), until, by_token: false };
        let sealed = hub.shared.seal.seal(Purpose::Session, &session).expect("sealed");
        format!("{SESSION_PREFIX}{sealed}")
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_a_person_who_has_signed_in() {
        let groups = Groups::new(Mutex::new(Some(vec!["instructors-algebra", "physics"])));
        let hub = hub(&groups);
        let value = session(&hub, Duration::ZERO);
        assert!(Hub::is_session(&value) && !value.contains("access"));
        let caller = hub.caller_of_session(&value).await.expect("a caller");
        assert_eq!((&*caller.subject, caller.scope.texts()), ("emmy", vec!["algebra".to_owned()]));
        assert!(caller.expires_at.is_some());
        let by_token = hub.caller_of_token("access").await.expect("a caller");
        assert_eq!(by_token.scope.texts(), ["physics"]);
        let of_token = hub.session_of_token("access").expect("a session").value;
        let student = hub.caller_of_session(&of_token).await.expect("a caller");
        assert_eq!(student.scope.texts(), ["physics"], "no more than the token has");
        let ended = hub.caller_of_session(&session(&hub, MAX_LIFETIME)).await;
        assert_eq!(ended, Err(Denial::Expired));
        for wrong in ["hub.", "hub.x", &value[4..], &format!("{value}x")] {
            let denied = hub.caller_of_session(wrong).await;
            assert!(matches!(denied, Err(Denial::Invalid(_))), "{wrong}");
        }
    }
}
