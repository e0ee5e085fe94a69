//! Signing in through the hub: OAuth's authorization code, with `state` and PKCE.
//!
//! The browser keeps the sign-in that it has begun, sealed, in a cookie; the address that the hub
//! sends it back to has the same `state`. So only the browser that began can finish: nobody can
//! make another person's browser sign in as someone else. The verifier of PKCE is in the cookie
//! too, and the code that the hub gives is good with it alone. Any replica can finish what another
//! one began.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::config::HubConfig;
use super::seal::{Purpose, Seal, random_text};

/// How long a sign-in may take from its beginning to its end: a person may type a password.
pub(super) const SIGN_IN_PATIENCE: Duration = Duration::from_secs(600);
/// The most states of finished sign-ins that are remembered. The hub takes a code once, so this is
/// the second lock of the door.
const MAX_FINISHED: usize = 10_000;

/// A sign-in that has begun, as the browser keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct Begun {
    state: String,
    pub(super) verifier: String,
    pub(super) next: String,
    /// Seconds since 1970.
    until: u64,
}

/// States with which a sign-in was finished.
#[derive(Debug, Default)]
pub(super) struct FinishedStates {
    states: Mutex<VecDeque<String>>,
}

/// Begins a sign-in: the address at the hub, and the sealed sign-in.
pub(super) fn begin(
    config: &HubConfig,
    seal: &Seal,
    next: &str,
) -> Result<(String, String), Unspecified> {
    let begun = Begun {
        state: random_text()?,
        verifier: random_text()?,
        next: next.to_owned(),
        until: seconds(SystemTime::now() + SIGN_IN_PATIENCE),
    };
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, begun.verifier.as_bytes()));
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", &config.client_id)
        .append_pair("redirect_uri", &config.redirect_uri)
        .append_pair("response_type", "code")
        .append_pair("state", &begun.state)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .finish();
    Ok((format!("{}?{query}", config.authorize_url), seal.seal(Purpose::SignIn, &begun)?))
}

/// The sign-in that a browser finishes with this state; `None` if it has not begun it, has finished
/// it already, or took too long.
pub(super) fn resume(
    seal: &Seal,
    finished: &FinishedStates,
    sealed: &str,
    state: &str,
) -> Option<Begun> {
    let begun: Begun = seal.open(Purpose::SignIn, sealed)?;
    verify_slices_are_equal(begun.state.as_bytes(), state.as_bytes()).ok()?;
    (seconds(SystemTime::now()) < begun.until && finished.note(&begun.state)).then_some(begun)
}

pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl FinishedStates {
    /// Notes a state; false if it was there.
    fn note(&self, state: &str) -> bool {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if states.iter().any(|known| known == state) {
            return false;
        }
        if states.len() >= MAX_FINISHED {
            states.pop_front();
        }
        states.push_back(state.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::hub::config::{ApiToken, HubSettings};

    fn config() -> HubConfig {
        let settings = HubSettings {
            api_url: Some("http://h/hub/api".to_owned()),
            api_token: Some(ApiToken::from("t".to_owned())),
            service_name: Some("relay".to_owned()),
            ..HubSettings::default()
        };
        settings.validate().expect("valid").expect("a hub")
    }

    #[test]
    fn only_the_browser_that_began_can_finish_and_once() {
        let (config, seal) = (config(), Seal::new("t").expect("a key"));
        let finished = FinishedStates::default();
        let (location, sealed) = begin(&config, &seal, "/?class=algebra").expect("begun");
        let query = location.split_once('?').expect("a query").1;
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).expect(name).1.into_owned()
        };
        let state = parameter("state");
        let (_, of_another) = begin(&config, &seal, "/").expect("begun");
        for (sealed, state) in
            [(&*of_another, &*state), (&sealed, "x"), (&sealed, ""), ("", &state), (&state, &state)]
        {
            assert!(resume(&seal, &finished, sealed, state).is_none());
        }
        let begun = resume(&seal, &finished, &sealed, &state).expect("it began so");
        assert_eq!(begun.next, "/?class=algebra");
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, begun.verifier.as_bytes()));
        assert_eq!(parameter("code_challenge"), challenge);
        assert!(!location.contains(&begun.verifier) && !sealed.contains(&begun.verifier));
        assert!(resume(&seal, &finished, &sealed, &state).is_none());
    }

    #[test]
    fn a_sign_in_ends_after_a_while() {
        let (seal, finished) = (Seal::new("t").expect("a key"), FinishedStates::default());
        let begun = Begun {
            state: "s".to_owned(),
            verifier: "v".to_owned(),
            next: "/".to_owned(),
            until: seconds(SystemTime::now()),
        };
        let sealed = seal.seal(Purpose::SignIn, &begun).expect("sealed");
        assert!(resume(&seal, &finished, &sealed, "s").is_none());
    }
}
