//! Tokens as an issuer signs them, and relays that know the issuer's secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::secrecy::keep;
use super::{Database, Relay, data_folder};

/// An issuer of tokens.
pub struct Issuer {
    secret: String,
    file: String,
}

impl Issuer {
    /// An issuer with a new secret.
    pub fn new() -> Self {
        let secret = format!("{0}{0}", uuid::Uuid::new_v4().simple());
        let folder = data_folder();
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("secret").display().to_string();
        std::fs::write(&file, &secret).expect("a file");
        keep(&secret);
        Self { secret, file }
    }

    /// The flags of a relay that knows the issuer.
    pub fn flags(&self) -> [&str; 2] {
        ["--jwt-secret-file", &self.file]
    }

    /// Starts a relay that knows the issuer.
    pub async fn relay(&self, database: &Database, flags: &[&str]) -> Relay {
        Relay::start(database, &[&self.flags(), flags].concat()).await
    }

    /// A token for an hour.
    pub fn token(&self, subject: &str, role: &str, classes: &[&str]) -> String {
        self.token_for(subject, role, classes, Duration::from_secs(3600))
    }

    /// A token that ends after `lifetime`.
    pub fn token_for(
        &self,
        subject: &str,
        role: &str,
        classes: &[&str],
        lifetime: Duration,
    ) -> String {
        let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time") + lifetime;
        self.sign(&json!({
            "sub": subject,
            "role": role,
            "classes": classes,
            "exp": end.as_secs(),
        }))
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        encode(&Header::default(), claims, &key).expect("a token")
    }

    /// Posts events as a client that may.
    pub async fn post(&self, relay: &Relay, events: &Value) {
        let path = format!("/student-progress?token={}", self.token("feed", "writer", &["*"]));
        let mut connection = relay.connection().await;
        let answer = connection.post_json(&path, events.to_string()).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
}
