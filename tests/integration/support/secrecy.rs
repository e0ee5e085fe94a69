//! What must stand in no log, metric, error or answer: tokens, cookies, students' code.
//!
//! No test has to look itself, and none can leave it out: when a relay ends, `Relay` looks at its
//! log, its last metrics, and every error that it has told anybody, a WebSocket's last reason
//! included. Relays of tests log these errors for that (`progress_relay::answers`); the lines are
//! kept apart from those that tests read. Secrets are known by their form; those without one are
//! told by the fixtures that make them ([`keep`]).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The code of the tests' events begins so.
const CODE: &str = "x = 6*7";
/// Names before a secret, as URLs, headers and cookies write them.
const NAMES: [&str; 3] = ["token=", "progress-relay=", "authorization: "];

/// The least bytes of a secret: a shorter one would be found in harmless words.
const LEAST: usize = 12;

/// Secrets that no form betrays.
static KEPT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on this must stand nowhere.
pub fn keep(secret: &str) {
    assert!(secret.len() >= LEAST, "a secret that is found in other words");
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
}

/// The secrets in a text, each with some of its surroundings. It knows them by their form, so that
/// every test can look, whatever its tokens are.
pub fn secrets_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |at: usize| {
        let begin = text.floor_char_boundary(at.saturating_sub(80));
        let end = text.ceil_char_boundary((at + 80).min(text.len()));
        found.push(text[begin..end].to_owned());
    };
    for (at, _) in text.match_indices("eyJ") {
        if is_token(&text[at..]) {
            note(at);
        }
    }
    let lower = text.to_ascii_lowercase();
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            let value = &text[at + name.len()..];
            // `--token=…`, `token=TOKEN` and the like in help texts name no value.
            if value.chars().take_while(|c| c.is_ascii_alphanumeric()).count() >= 8 {
                note(at);
            }
        }
    }
    for (at, _) in text.match_indices(CODE) {
        note(at);
    }
    for secret in KEPT.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        for (at, _) in text.match_indices(&**secret) {
            note(at);
        }
    }
    found
}

/// Whether a text begins with a signed token: three parts of base64url, with a dot between them.
fn is_token(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut parts = text.splitn(3, '.');
    let mut whole = || parts.next().is_some_and(|part| part.len() > 8 && part.chars().all(is_part));
    whole() && whole() && parts.next().is_some_and(|rest| rest.starts_with(is_part))
}

/// Fails a test whose text has secrets in it.
pub fn assert_no_secrets(what: &str, text: &str) {
    let found = secrets_in(text);
    assert!(found.is_empty(), "{what} has secrets in it: {found:#?}");
}

#[test]
fn secrets_are_found_by_their_form() {
    for secret in [
        "a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl b",
        "GET /x?class=a&token=0123456789abcdef HTTP",
        "Cookie: a=b; progress-relay=abcdefgh1234",
        "\"code\":\"x = 6*7\\nx\"",
        "authorization: Bearerabc",
    ] {
        assert_eq!(secrets_in(secret).len(), 1, "{secret}");
    }
    assert_eq!(secrets_in("of a hub: 5c0a-kept-by-a-test"), [""; 0]);
    keep("5c0a-kept-by-a-test");
    assert_eq!(secrets_in("of a hub: 5c0a-kept-by-a-test").len(), 1);
    for harmless in ["token=TOKEN", "--token FILE", "eyJ", "eyJhbGciOi.x", "progress-relay serve"] {
        assert_eq!(secrets_in(harmless), [""; 0], "{harmless}");
    }
}

/// Files that name the program, and why a relay that they start is looked at all the same.
const STARTERS: [(&str, &str); 7] = [
    ("support/relay.rs", "it looks"),
    ("support/hub/mod.rs", "the hub starts it, and its lines in the hub's log are looked at"),
    ("edge/container.rs", "a copy, which support/relay.rs starts"),
    ("edge/deploy.rs", "its name alone"),
    ("operations/start.rs", "it does not begin to serve"),
    ("commands/tail.rs", "a client"),
    ("examples.rs", "the folder beside it"),
];

/// A test that starts a relay in another way would not be looked at.
#[test]
fn no_relay_is_started_elsewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration");
    let (mut folders, mut found) = (vec![root.clone()], BTreeSet::new());
    // In two parts, so that this file is none of them.
    let name = ["CARGO_BIN_EXE", "progress-relay"].join("_");
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && std::fs::read_to_string(&path).expect("a source").contains(&name)
            {
                let path = path.strip_prefix(&root).expect("below the tests");
                found.insert(path.display().to_string());
            }
        }
    }
    let known: BTreeSet<_> = STARTERS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, known, "start relays by support/relay.rs, which looks for secrets");
}
