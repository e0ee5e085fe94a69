//! Tokens that openssl and Python's hmac have signed, in `tests/vectors/jwt.json`.

use std::path::PathBuf;

use proptest::strategy::Strategy as _;
use serde_json::Value;
use tokio::sync::watch;

use super::Verifier;
use crate::access::caller::{Caller, Role};
use crate::access::config::{ClaimPointers, JwtConfig, KeysLocation};
use crate::access::denial::Denial;
use crate::access::scope::Scope;
use crate::testing::Tokens;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/jwt.json")).expect("the vectors")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}"))
}

/// A folder of one test, with the secret and the keys of the vectors.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("jwt-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let folder = Self(folder);
        let vectors = vectors();
        folder.write("secret", &format!("{}\n", text(&vectors, "secret")));
        folder.write("jwks", &vectors["jwks"].to_string());
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    fn config(&self) -> JwtConfig {
        JwtConfig {
            secret_file: Some(self.0.join("secret")),
            keys: Some(KeysLocation::File(self.0.join("jwks"))),
            ..JwtConfig::default()
        }
    }

    fn verifier(&self, config: &JwtConfig) -> Verifier {
        Verifier::start(config, &watch::Sender::new(0)).expect("keys")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn caller(verifier: &Verifier, token: &str) -> Caller {
    verifier.verify(token).await.unwrap_or_else(|denial| panic!("{denial}"))
}

#[tokio::test]
async fn tokens_of_every_algorithm_are_accepted() {
    let folder = Folder::new("good");
    let verifier = folder.verifier(&folder.config());
    let vectors = vectors();
    let good = vectors["good"].as_object().expect("tokens");
    assert!(good.len() >= 6);
    for (name, token) in good {
        let found = verifier.verify(token.as_str().expect("a token")).await;
        let found = found.unwrap_or_else(|denial| panic!("{name}: {denial}"));
        assert_eq!((&*found.subject, found.role), ("s1", Role::Student), "{name}");
        assert_eq!(found.scope, Scope::of(["algebra"]), "{name}");
    }
}

#[tokio::test]
async fn each_wrong_token_is_refused_for_its_reason() {
    let folder = Folder::new("bad");
    let verifier = folder.verifier(&folder.config());
    let vectors = vectors();
    let bad = vectors["bad"].as_object().expect("tokens");
    assert!(bad.len() >= 40);
    for (name, case) in bad {
        match verifier.verify(text(case, "token")).await {
            Err(Denial::Invalid(reason)) => {
                assert!(reason.contains(text(case, "reason")), "{name}: {reason}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(verifier.verify(text(&vectors, "expired")).await, Err(Denial::Expired));
    let long = format!("{}{}", text(&vectors["good"], "HS256"), "A".repeat(8 * 1024));
    assert_eq!(verifier.verify(&long).await, Err(Denial::Invalid("it is too long".to_owned())));
}

#[tokio::test]
async fn claims_name_the_caller() {
    let folder = Folder::new("claims");
    let vectors = vectors();
    let claims = &vectors["claims"];
    let verifier = folder.verifier(&folder.config());
    let list = caller(&verifier, text(claims, "list of roles")).await;
    assert_eq!((list.role, list.scope), (Role::Instructor, Scope::of(["phys-*"])));
    let operator = caller(&verifier, text(claims, "operator without classes")).await;
    assert_eq!((&*operator.subject, operator.scope), ("operator", Scope::all()));
    let none = caller(&verifier, text(claims, "no classes")).await;
    assert_eq!((none.scope, none.credential_id.as_deref()), (Scope::default(), Some("t1")));

    let pointer = |text: &str| text.parse().expect("a pointer");
    let claims_at = ClaimPointers {
        subject: pointer("/user/id"),
        role: pointer("/realm/roles"),
        classes: pointer("/courses"),
        name: pointer("/user/n"),
    };
    let verifier = folder.verifier(&JwtConfig { claims: claims_at, ..folder.config() });
    let other = caller(&verifier, text(claims, "other names")).await;
    // As the same address in an event: see the names of students.
    assert_eq!((&*other.subject, other.name.as_deref()), ("s@school.example", Some("Sam")));
    assert_eq!(other.scope, Scope::of(["algebra", "phys-*"]));
}

#[tokio::test]
async fn issuer_and_audience_count_where_they_are_configured() {
    let folder = Folder::new("issuer");
    let vectors = vectors();
    let claims = &vectors["claims"];
    let strict = folder.verifier(&JwtConfig {
        issuer: Some("https://id.example".to_owned()),
        audiences: vec!["other".to_owned(), "relay".to_owned()],
        ..folder.config()
    });
    for name in ["iss and aud", "iss and one aud"] {
        caller(&strict, text(claims, name)).await;
    }
    for (name, claim) in
        [("another iss", "iss"), ("no aud", "aud"), ("another aud", "aud"), ("no classes", "")]
    {
        match strict.verify(text(claims, name)).await {
            Err(Denial::Invalid(reason)) => {
                assert!(reason.contains(&format!("claim {claim}")), "{name}: {reason}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let lax = folder.verifier(&folder.config());
    caller(&lax, text(claims, "another aud")).await;
}

#[tokio::test]
async fn files_are_read_again_and_a_wrong_one_changes_nothing() {
    let folder = Folder::new("reread");
    let vectors = vectors();
    let verifier = folder.verifier(&folder.config());
    let (by_secret, by_key) = (text(&vectors["good"], "HS256"), text(&vectors["good"], "ES256"));
    folder.write("secret", "short");
    folder.write("jwks", "{}");
    verifier.reread();
    caller(&verifier, by_secret).await;
    caller(&verifier, by_key).await;
    folder.write("secret", &"another secret ".repeat(3));
    folder.write("jwks", &serde_json::json!({"keys": [vectors["jwks"]["keys"][0]]}).to_string());
    verifier.reread();
    for token in [by_secret, by_key] {
        assert!(matches!(verifier.verify(token).await, Err(Denial::Invalid(_))));
    }
    caller(&verifier, text(&vectors["good"], "RS256")).await;
}

#[test]
fn nothing_shows_a_secret() {
    let folder = Folder::new("debug");
    let config = JwtConfig { keys: None, ..folder.config() };
    let shown = format!("{:?}", folder.verifier(&config));
    assert!(shown.contains("HS256") && !shown.contains("0123456789"), "{shown}");
    folder.write("secret", "0123456789abcdef0123456789abcde\n");
    let error = Verifier::start(&config, &watch::Sender::new(0)).expect_err("too short");
    assert!(error.contains("31 bytes") && !error.contains("0123456789"), "{error}");
}

proptest::proptest! {
    /// Whatever is changed in a good token makes it a bad one, and no text is a panic.
    #[test]
    fn no_changed_token_is_accepted(
        which in 0usize..16, at in 0usize..2_000, removed in 0usize..40,
        put in "[A-Za-z0-9._=-]{0,12}|.{0,3}",
        text in ".{0,60}",
    ) {
        use futures::FutureExt;
        static VERIFIER: std::sync::OnceLock<(Folder, Verifier)> = std::sync::OnceLock::new();
        let (_, verifier) = VERIFIER.get_or_init(|| {
            let folder = Folder::new("changed");
            let verifier = folder.verifier(&folder.config());
            (folder, verifier)
        });
        let vectors = vectors();
        let good: Vec<&str> =
            vectors["good"].as_object().expect("tokens").values()
                .filter_map(Value::as_str).collect();
        let token = good[which % good.len()];
        let begin = at % token.len();
        let end = (begin + removed).min(token.len());
        let changed = format!("{}{put}{}", &token[..begin], &token[end..]);
        for text in [&changed, &text] {
            let found = verifier.verify(text).now_or_never().expect("no key is fetched");
            proptest::prop_assert!(found.is_err() || good.contains(&&**text), "{}", text);
        }
    }

    /// Whatever an issuer has signed is a caller, or a refusal.
    #[test]
    fn no_signed_claims_panic(pieces in proptest::collection::vec(proptest::prop_oneof![
        proptest::sample::select(vec![
            "{", "}", "[", "]", "\"", ":", ",", "\"sub\":", "\"role\":", "\"classes\":", "\"exp\":",
            "\"nbf\":", "\"jti\":", "\"student\"", "\"operator\"", "4102444800", "1e999", "-1",
            "null",
            "\\ud800", "\"sub\":\"s\",\"role\":\"student\",\"exp\":4102444800",
        ]).prop_map(str::to_owned),
        ".{0,4}",
    ], 0..12)) {
        use futures::FutureExt;
        static VERIFIER: std::sync::OnceLock<(Folder, Verifier)> = std::sync::OnceLock::new();
        let (_, verifier) = VERIFIER.get_or_init(|| {
            let folder = Folder::new("signed");
            let verifier = folder.verifier(&folder.config());
            (folder, verifier)
        });
        let (vectors, inner) = (vectors(), pieces.concat());
        let secret = text(&vectors, "secret").as_bytes();
        for claims in [inner.clone(), format!("{{{inner}}}")] {
            let header = br#"{"alg":"HS256"}"#;
            let token = Tokens::signed(secret, header, claims.as_bytes()).expect("a token");
            match verifier.verify(&token).now_or_never().expect("no key is fetched") {
                Ok(caller) => proptest::prop_assert!(claims.contains(&caller.role.to_string())),
                Err(denial) => proptest::prop_assert!(!denial.to_string().contains(&token)),
            }
        }
    }
}
