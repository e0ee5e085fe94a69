//! The commands that make tokens and look at them, and those that send one.

use serde_json::{Value, json};

use crate::support::authority::{Authority, Form};
use crate::support::tokens::{
    Keys, SECRET, argument, claims, in_seconds, signature, signed_with, token, token_of, with,
};
use crate::support::{Database, Finished, Relay, Tail, event_of, run, until};

async fn mint(keys: &Keys, flags: &[&str]) -> Finished {
    let secret = keys.path("secret");
    run(&[&["token", "mint", "--jwt-secret-file", argument(&secret)], flags].concat(), &[]).await
}

async fn inspect(keys: &Keys, token: &str) -> Finished {
    let flags = keys.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    run(&[&["token", "inspect", token], &flags[..]].concat(), &[]).await
}

/// The claims of a token that the tests' secret has signed, as openssl computes it.
fn opened(token: &str) -> Value {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let parts: Vec<Value> = token
        .split('.')
        .take(2)
        .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64"))
        .map(|json| serde_json::from_slice(&json).expect("JSON"))
        .collect();
    assert_eq!(parts[0], json!({"alg": "HS256", "typ": "JWT"}));
    let (message, signed) = token.rsplit_once('.').expect("a signature");
    assert_eq!(signed, signature(SECRET.as_bytes(), message));
    parts[1].clone()
}

#[tokio::test]
async fn a_minted_token_is_what_was_asked_for() {
    let database = Database::new().await;
    let keys = Keys::new();
    let minted = mint(
        &keys,
        &[
            "--role",
            "student",
            "--subject",
            "s1",
            "--class",
            "algebra",
            "--class",
            "phys-*",
            "--expires",
            "2h",
            "--name",
            "Alice",
            "--id",
            "t1",
        ],
    )
    .await;
    assert_eq!(minted.code, Some(0), "{}", minted.stderr);
    let token = minted.stdout.trim();
    let claims = opened(token);
    let exp = claims["exp"].as_i64().expect("a time");
    assert!((in_seconds(7190)..=in_seconds(7200)).contains(&exp), "{claims}");
    for (name, value) in [
        ("sub", json!("s1")),
        ("role", json!("student")),
        ("classes", json!(["algebra", "phys-*"])),
        ("name", json!("Alice")),
        ("jti", json!("t1")),
    ] {
        assert_eq!(claims[name], value, "{claims}");
    }
    assert!(minted.stderr.contains("t1") && !minted.stderr.contains(token), "{}", minted.stderr);

    let flags = keys.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let relay = Relay::start(&database, &flags).await;
    let url = relay.url.to_string();
    let writer = mint(&keys, &["--role", "writer", "--class", "algebra", "--url", &url]).await;
    let line = writer.stdout.lines().find(|line| line.contains("/student-progress?"));
    let target = line.expect("a URL").trim().strip_prefix(&url).expect("of the relay");
    let event = event_of("algebra", 1).to_string();
    let answer = relay.connection().await.post_json(target, event).await.expect("an answer");
    assert_eq!(answer.status, 200);

    for (flags, word) in [
        (&["--role", "student", "--class", "a"][..], "--subject"),
        (&["--role", "writer"], "--class"),
        (&["--role", "teacher", "--class", "a"], "teacher"),
        (&["--role", "writer", "--class", "a", "--expires", "500d"], "400d"),
    ] {
        let refused = mint(&keys, flags).await;
        assert_eq!(refused.code, Some(2), "{flags:?}");
        assert!(refused.stderr.contains(word), "{flags:?}: {}", refused.stderr);
    }
    keys.write("secret", "0123456789abcdef0123456789abcde\n");
    for command in [
        mint(&keys, &["--role", "operator"]).await,
        run(&[&["serve"], &flags[..]].concat(), &[]).await,
    ] {
        assert_eq!(command.code, Some(2), "{}", command.stderr);
        assert!(command.stderr.contains("31 bytes"), "{}", command.stderr);
    }
}

#[tokio::test]
async fn inspect_says_whether_a_token_is_good() {
    let keys = Keys::new();
    keys.write("revoked", "lost\n");
    let good = claims("instructor", "i", &["algebra", "phys-*"]);
    let good = inspect(&keys, &token(&with(good, "exp", in_seconds(7500)))).await;
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    for words in ["algorithm: HS256", "in 2 h", "instructor \"i\", classes algebra, phys-*"] {
        assert!(good.stdout.contains(words), "{words}: {}", good.stdout);
    }
    let of = || claims("instructor", "i", &["algebra"]);
    for (wrong, words) in [
        (token(&with(of(), "exp", in_seconds(-3600))), "expired"),
        (token(&with(of(), "jti", "lost")), "revoked"),
        (token(&with(of(), "role", "king")), "/role"),
        (signed_with(&[1; 32], &json!({"alg": "HS256"}), &of()), "not signed"),
        ("a token?".to_owned(), "no token"),
    ] {
        let refused = inspect(&keys, &wrong).await;
        assert_eq!(refused.code, Some(1), "{words}: {}", refused.stdout);
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
        assert!(!refused.stderr.contains(&wrong), "{}", refused.stderr);
    }
    let unverified = run(&["token", "inspect", &token(&of())], &[]).await;
    assert_eq!(unverified.code, Some(1), "{}", unverified.stdout);
    assert!(unverified.stderr.contains("not verified"), "{}", unverified.stderr);
}

#[tokio::test]
async fn tail_sends_its_token() {
    let database = Database::new().await;
    let keys = Keys::new();
    let flags = keys.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let relay = Relay::start(&database, &flags).await;
    let url = relay.url.to_string();
    let wrong = token(&with(claims("instructor", "i", &["algebra"]), "exp", 1));
    let refused = run(&["tail", "--url", &url], &[("RELAY_TOKEN", &wrong)]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("expired"), "{}", refused.stderr);

    let operator = token_of("operator", "o", &[]);
    let sent = relay.url.clone().with_token(&operator).expect("a header");
    let mut connection =
        progress_relay::client::http::Connection::open(&sent).await.expect("a connection");
    let posted = connection.post_json("/student-progress", event_of("algebra", 1).to_string());
    let posted: Value = posted.await.expect("an answer").json().expect("JSON");
    let cursor = crate::support::origin(crate::support::text(&posted, "cursor"));
    keys.write("token", &format!("{}\n", token_of("instructor", "i", &["algebra"])));
    let file = keys.path("token");
    let variables = [("RELAY_TOKEN_FILE", argument(&file)), ("RELAY_TOKEN", "another")];
    let mut tail = Tail::start_in(&url, "algebra", &cursor, &variables);
    assert_eq!(tail.until(1).await.len(), 1);
    assert_eq!(tail.interrupt().await, Some(0));
}

/// The relay's certificate is verified by the system's authorities, which a variable replaces.
#[tokio::test]
async fn tail_speaks_https() {
    let database = Database::new().await;
    let folder = Keys::new().path("authority");
    std::fs::create_dir_all(&folder).expect("a folder");
    let authority = Authority::root(&folder, "root");
    let form =
        Form { subject: "/CN=relay", extensions: "subjectAltName=DNS:localhost", days: None };
    let issued = authority.issue("relay", &form);
    let (certificate, key) = (argument(&issued.certificate), argument(&issued.key));
    let url = database.url();
    let flags = ["--database-url", &*url, "--tls-cert", certificate, "--tls-key", key];
    let relay = Relay::begin(&flags).await;
    let url = relay.url.to_string().replace("http://127.0.0.1", "https://localhost");
    let root = authority.certificate();
    for (variables, words) in
        [(&[("SSL_CERT_FILE", argument(&root))][..], "reset (malformed)"), (&[], "UnknownIssuer")]
    {
        let tail = Tail::start_in(&url, "algebra", "no-cursor", variables);
        until(words, async || tail.stderr().contains(words).then_some(())).await;
    }
}
