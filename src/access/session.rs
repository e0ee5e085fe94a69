//! The sessions of browsers that have signed in, and the one-time links that begin one.
//!
//! A session is a token that the relay signs itself, and the browser keeps it in a cookie. It names
//! the caller as the credential did with which the browser signed in, and that credential's id: so
//! a revoked token ends the sessions that it began. The key is in the database, made by the first
//! relay that needs it, so that every replica honours a session. A relay that meets a session which
//! its key has not signed reads the key again, since another relay may have made a new one.
//!
//! A one-time link is a random code. The database has the code's hash under the same key, and the
//! caller; the code itself is in the link alone.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, decode, encode,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::caller::Caller;
use super::denial::Denial;
use super::scope::Scope;
use super::sign_outs::SignOuts;
use crate::cryptography::crypto_provider;
use crate::database::{NewLink, PageError, Pages};

/// The longest session. A credential that ends earlier ends its sessions then.
const MAX_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// The most bytes of a session: browsers drop a cookie of more than 4,096 without a word.
const MAX_BYTES: usize = 3_900;
/// How long a one-time link can be used.
pub(crate) const LINK_LIFETIME: Duration = Duration::from_secs(600);
/// The most one-time links of a caller that can be used at once.
const MAX_LINKS: usize = 5;
/// The longest code of a link that is looked at, in bytes.
const MAX_CODE: usize = 64;
/// The least time between two reads of the key: wrong cookies must not become load on the database.
const KEY_PACE: Duration = Duration::from_secs(5);
/// How long a client is told to wait when the database is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Signs and checks sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    pages: Pages,
    sign_outs: SignOuts,
    key: RwLock<Option<Arc<Key>>>,
    /// When the key was last read. Held while it is being read, so that one read serves everyone.
    read_at: Mutex<Option<Instant>>,
}

struct Key {
    signing: EncodingKey,
    checking: DecodingKey,
}

/// What a session says, and what a one-time link keeps of its caller.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    role: String,
    classes: Vec<String>,
    /// Seconds since 1970.
    exp: u64,
    /// The session's id, new at each sign-in. Empty in a link.
    jti: String,
    /// The id of the credential with which the browser signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// A session that begins.
pub(crate) struct NewSession {
    /// The value of the cookie.
    pub(crate) value: String,
    /// How long it is good for.
    pub(crate) lifetime: Duration,
}

impl Sessions {
    /// Sessions whose key is in the database behind `pages`.
    pub(crate) fn new(pages: Pages) -> Self {
        let sign_outs = SignOuts::new(pages.clone());
        let (key, read_at) = (RwLock::default(), Mutex::default());
        let shared = Shared { pages, sign_outs, key, read_at };
        Self { shared: Arc::new(shared) }
    }

    /// Begins a session of a caller.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] without the key, [`Denial::Expired`] if the caller's credential has
    /// ended, [`Denial::Invalid`] if the caller names too many classes for a cookie.
    pub(crate) async fn begin(&self, caller: &Caller) -> Result<NewSession, Denial> {
        let now = SystemTime::now();
        let end = now + MAX_LIFETIME;
        let end = caller.expires_at.map_or(end, |expires_at| expires_at.min(end));
        let lifetime = end.duration_since(now).map_err(|_| Denial::Expired)?;
        let claims = Claims::of(caller, end, Uuid::new_v4().simple().to_string());
        let key = self.key().await?;
        let value = encode(&Header::new(Algorithm::HS256), &claims, &key.signing)
            .map_err(|error| Denial::Invalid(format!("no session can be made of it: {error}")))?;
        if value.len() > MAX_BYTES {
            return Err(Denial::Invalid(
                "it names too many classes for a browser's cookie: name them by prefix*".into(),
            ));
        }
        Ok(NewSession { value, lifetime })
    }

    /// The caller of a session.
    ///
    /// # Errors
    /// Why it is not one of this relay's, or no longer.
    pub(crate) async fn resolve(&self, value: &str) -> Result<Caller, Denial> {
        let key = self.key().await?;
        match key.claims(value) {
            Err(ErrorKind::InvalidSignature) => {
                let newest = self.read_key(Some(&key)).await?;
                newest.claims(value).map_err(|kind| denial(&kind))?.caller()
            }
            checked => checked.map_err(|kind| denial(&kind))?.caller(),
        }
    }

    /// The sessions that were signed out.
    pub(super) fn sign_outs(&self) -> &SignOuts {
        &self.shared.sign_outs
    }

    /// Makes a one-time link that signs a browser in as this caller, and returns its code.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] if the database is away.
    pub(crate) async fn new_link(&self, caller: &Caller) -> Result<String, Denial> {
        let code = Uuid::new_v4().simple().to_string();
        let end = caller.expires_at.unwrap_or_else(|| SystemTime::now() + MAX_LIFETIME);
        let kept = serde_json::to_string(&Claims::of(caller, end, String::new()))
            .map_err(|error| Denial::Invalid(error.to_string()))?;
        let code_hash = self.key().await?.hash(&code)?;
        let link = NewLink {
            code_hash: &code_hash,
            subject: &caller.subject,
            caller: &kept,
            lifetime: LINK_LIFETIME,
            most: MAX_LINKS,
        };
        self.shared.pages.add_sign_in_link(&link).await.map_err(unavailable)?;
        Ok(code)
    }

    /// Uses up a one-time link, and returns the caller as whom it signs in.
    ///
    /// # Errors
    /// [`Denial::Invalid`] if there is no such link, or no longer.
    pub(crate) async fn take_link(&self, code: &str) -> Result<Caller, Denial> {
        let gone = || Denial::Invalid("the link was used already, or is too old".to_owned());
        if code.is_empty() || code.len() > MAX_CODE {
            return Err(gone());
        }
        let code_hash = self.key().await?.hash(code)?;
        let kept = self.shared.pages.take_sign_in_link(&code_hash).await.map_err(unavailable)?;
        let claims: Claims = serde_json::from_str(&kept.ok_or_else(gone)?).map_err(|_| gone())?;
        claims.caller()
    }

    /// The key, read once.
    async fn key(&self) -> Result<Arc<Key>, Denial> {
        match self.current() {
            Some(key) => Ok(key),
            None => self.read_key(None).await,
        }
    }

    fn current(&self) -> Option<Arc<Key>> {
        self.shared.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the key, unless it was read since the caller saw `seen`, or a moment ago.
    async fn read_key(&self, seen: Option<&Arc<Key>>) -> Result<Arc<Key>, Denial> {
        let mut read_at = self.shared.read_at.lock().await;
        if let Some(current) = self.current() {
            let is_other = seen.is_none_or(|seen| !Arc::ptr_eq(seen, &current));
            let is_fresh = read_at.is_some_and(|at| at.elapsed() < KEY_PACE);
            if is_other || is_fresh {
                return Ok(current);
            }
        }
        self.fetch_key(&mut read_at).await
    }

    /// Reads the key again, since an operator may have deleted it so that all sessions end. The old
    /// one counts until there is another.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] if the database is away.
    pub(crate) async fn reread(&self) -> Result<(), Denial> {
        let mut read_at = self.shared.read_at.lock().await;
        self.fetch_key(&mut read_at).await.map(drop)
    }

    async fn fetch_key(&self, read_at: &mut Option<Instant>) -> Result<Arc<Key>, Denial> {
        let mut fresh = [0; 32];
        crypto_provider().secure_random.fill(&mut fresh).map_err(|_| Denial::Unavailable {
            reason: "this machine gives no random numbers".to_owned(),
            retry_after: RETRY_AFTER,
        })?;
        let bytes = self.shared.pages.sign_in_key(&fresh).await.map_err(unavailable)?;
        let key = Arc::new(Key {
            signing: EncodingKey::from_secret(&bytes),
            checking: DecodingKey::from_secret(&bytes),
        });
        *read_at = Some(Instant::now());
        *self.shared.key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&key));
        Ok(key)
    }
}

impl Key {
    fn claims(&self, value: &str) -> Result<Claims, ErrorKind> {
        let mut validation = Validation::new(Algorithm::HS256);
        // The session's end is this relay's own: there is no other clock to forgive.
        validation.leeway = 0;
        let decoded = decode::<Claims>(value, &self.checking, &validation);
        decoded.map(|token| token.claims).map_err(|error| error.kind().clone())
    }

    /// A keyed hash of a link's code: who reads the table cannot try codes.
    fn hash(&self, code: &str) -> Result<String, Denial> {
        crypto::sign(code.as_bytes(), &self.signing, Algorithm::HS256)
            .map_err(|error| Denial::Invalid(error.to_string()))
    }
}

impl Claims {
    fn of(caller: &Caller, end: SystemTime, jti: String) -> Self {
        Self {
            sub: caller.subject.clone(),
            name: caller.name.clone(),
            role: caller.role.to_string(),
            classes: caller.scope.texts(),
            exp: end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            jti,
            from: caller.credential_id.clone(),
        }
    }

    fn caller(self) -> Result<Caller, Denial> {
        let expires_at = UNIX_EPOCH + Duration::from_secs(self.exp);
        if expires_at <= SystemTime::now() {
            return Err(Denial::Expired);
        }
        Ok(Caller {
            role: self.role.parse().map_err(Denial::Invalid)?,
            scope: Scope::of(self.classes.iter().map(String::as_str)),
            subject: self.sub,
            name: self.name,
            expires_at: Some(expires_at),
            credential_id: self.from,
        })
    }
}

fn denial(kind: &ErrorKind) -> Denial {
    match kind {
        ErrorKind::ExpiredSignature => Denial::Expired,
        // The kinds may repeat what was sent, so they are not repeated here.
        _ => Denial::Invalid("it is not a session of this relay".to_owned()),
    }
}

fn unavailable(error: PageError) -> Denial {
    Denial::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}
