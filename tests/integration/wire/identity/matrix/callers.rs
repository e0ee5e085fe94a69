//! Who calls: wrong credentials of every kind, and good ones of every role. Each is a token, and a
//! session as the relay signs it for a browser's cookie. Both are signed by the `openssl` command.

use serde_json::{Value, json};

use crate::support::tokens::{
    Keys, SECRET, SigningKey, argument, claims, in_seconds, signed_with, with,
};
use crate::support::{Database, Relay};

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "relay";

/// A caller by what it brings.
pub struct Caller {
    pub name: &'static str,
    /// `None` without a credential.
    pub token: Option<String>,
    pub session: Option<String>,
    pub standing: Standing,
}

/// Who the relay must take a caller for.
#[derive(Debug, Clone, Copy)]
pub enum Standing {
    /// Nobody; the word of the refusal.
    Nobody(&'static str),
    /// One of this role in these classes.
    Known { role: char, classes: &'static [&'static str] },
}

impl Caller {
    /// Whether the caller has a right that the roles have, in all of these classes.
    pub fn has(&self, roles: &str, wanted: &[&str]) -> bool {
        let Standing::Known { role, classes } = self.standing else { return false };
        let is_there = |class| role == 'o' || classes.contains(class);
        roles.contains(role) && wanted.iter().all(is_there)
    }
}

/// The keys of an identity provider.
pub struct Issuing {
    known: SigningKey,
    stranger: SigningKey,
    /// The relay's own, by which it signs sessions.
    session_key: Vec<u8>,
}

impl Issuing {
    pub fn new(keys: &Keys) -> Self {
        let (known, stranger) = (keys.key("known", "RSA"), keys.key("stranger", "RSA"));
        keys.write("jwks", &json!({"keys": [known.jwk()]}).to_string());
        keys.write("revoked", "# lost laptops\nlost\nsub:gone\n");
        Self { known, stranger, session_key: Vec::new() }
    }

    /// The flags of a relay that accepts these keys and nothing else. The test makes far more
    /// requests, and more wrong ones, than anyone may.
    pub fn flags(&self, keys: &Keys) -> Vec<String> {
        let mut flags = keys.flags();
        let jwks = keys.path("jwks");
        let others =
            ["--jwt-keys", argument(&jwks), "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE];
        flags.extend(others.map(str::to_owned));
        for limit in ["caller", "address", "wrong-credentials"] {
            flags.extend([format!("--rate-limit-{limit}"), "off".to_owned()]);
        }
        flags
    }

    /// A good token.
    pub fn token(&self, role: &str, subject: &str, classes: &[&str]) -> String {
        signed(&own(claims(role, subject, classes)))
    }

    /// All callers. A relay of this database has to be there: it makes the key of the sessions.
    pub async fn callers(&mut self, relay: &Relay, database: &Database) -> Vec<Caller> {
        let browser = sign_in(relay, &self.token("instructor", "i", &["algebra"])).await;
        let row = database.client().await.query_one("SELECT key FROM sign_in_key", &[]).await;
        self.session_key = row.expect("a key").get(0);
        let mut callers = self.wrong();
        callers.push(Caller {
            name: "none",
            token: None,
            session: None,
            standing: Standing::Nobody("unauthorized"),
        });
        for (name, role, subject, classes) in [
            ("writer", "writer", "w", &["algebra"] as &'static [&'static str]),
            ("writer of another class", "writer", "w2", &["physics"]),
            ("student", "student", "ann", &["algebra"]),
            ("student of another class", "student", "bob", &["physics"]),
            ("instructor", "instructor", "i", &["algebra"]),
            ("instructor of another class", "instructor", "j", &["physics"]),
            ("instructor of both", "instructor", "k", &["algebra", "physics"]),
            ("instructor of none", "instructor", "l", &[]),
            ("operator", "operator", "o", &[]),
        ] {
            let claims = claims(role, subject, classes);
            callers.push(Caller {
                name,
                session: Some(match name {
                    "instructor" => browser.clone(),
                    _ => self.session(&claims),
                }),
                token: Some(signed(&own(claims))),
                standing: Standing::Known { role: role.as_bytes()[0].into(), classes },
            });
        }
        callers
    }

    /// An instructor of `algebra` whose credentials end so many seconds from now, and are revoked
    /// by this id.
    pub fn instructor(&self, subject: &str, id: &str, seconds: i64) -> Caller {
        let claims = claims("instructor", subject, &["algebra"]);
        // The clocks of issuers may be 30 s late; a session's clock is the relay's own.
        let token = with(with(claims.clone(), "jti", id), "exp", in_seconds(seconds - 30));
        let session = with(with(claims, "from", id), "exp", in_seconds(seconds));
        Caller {
            name: "an instructor",
            token: Some(signed(&own(token))),
            session: Some(self.session(&session)),
            standing: Standing::Known { role: 'i', classes: &["algebra"] },
        }
    }

    /// A session as the relay signs it.
    fn session(&self, claims: &Value) -> String {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let claims = with(claims.clone(), "jti", id);
        signed_with(&self.session_key, &json!({"alg": "HS256", "typ": "JWT"}), &claims)
    }

    /// Credentials that the relay must refuse. They would be an operator's.
    fn wrong(&self) -> Vec<Caller> {
        let good = || own(claims("operator", "o", &["*"]));
        let of_browser = || claims("operator", "o", &["*"]);
        let hs256 = || json!({"alg": "HS256", "typ": "JWT"});
        let none = |claims: &Value| {
            let unsigned = signed_with(b"x", &json!({"alg": "none"}), claims);
            format!("{}.", unsigned.rsplit_once('.').expect("parts").0)
        };
        let confused = json!({"alg": "HS256", "typ": "JWT", "kid": "known"});
        let confused = signed_with(&self.known.public_pem(), &confused, &good());
        let unknown = self.stranger.token(&good());
        let unauthorized = |name, token: String, session: Option<String>| Caller {
            name,
            // Where a session has no such flaw, the token itself is tried as one.
            session: Some(session.unwrap_or_else(|| token.clone())),
            token: Some(token),
            standing: Standing::Nobody("unauthorized"),
        };
        let lost = |claims| with(claims, "jti", "lost");
        let from_lost = self.session(&with(of_browser(), "from", "lost"));
        let gone = |claims| with(claims, "sub", "gone");
        vec![
            Caller {
                name: "expired",
                token: Some(signed(&with(good(), "exp", in_seconds(-31)))),
                session: Some(self.session(&with(of_browser(), "exp", in_seconds(-1)))),
                standing: Standing::Nobody("expired"),
            },
            unauthorized("garbage", "garbage".to_owned(), None),
            unauthorized("dots", "a.b.c".to_owned(), None),
            unauthorized("not yet valid", signed(&with(good(), "nbf", in_seconds(60))), None),
            unauthorized(
                "wrong signature",
                signed_with(&[7; 32], &hs256(), &good()),
                Some(signed_with(&[7; 32], &hs256(), &with(of_browser(), "jti", "s"))),
            ),
            unauthorized("alg none", none(&good()), Some(none(&with(of_browser(), "jti", "s")))),
            unauthorized("RS/HS confusion", confused, None),
            unauthorized("unknown kid", unknown, None),
            unauthorized(
                "wrong issuer",
                signed(&with(good(), "iss", "https://evil.example")),
                None,
            ),
            unauthorized("wrong audience", signed(&with(good(), "aud", "other")), None),
            unauthorized("no issuer", signed(&with(good(), "iss", Value::Null)), None),
            unauthorized("no audience", signed(&with(good(), "aud", Value::Null)), None),
            unauthorized("revoked", signed(&lost(good())), Some(from_lost)),
            unauthorized(
                "revoked subject",
                signed(&gone(good())),
                Some(self.session(&gone(of_browser()))),
            ),
            unauthorized("no role", signed(&with(good(), "role", Value::Null)), None),
            unauthorized(
                "unknown role",
                signed(&with(good(), "role", "admin")),
                Some(self.session(&with(of_browser(), "role", "admin"))),
            ),
            unauthorized("a session as a token", self.session(&of_browser()), None),
        ]
        .into_iter()
        .map(|caller| match caller.name {
            // The other way around it is good: no cookie is tried.
            "a session as a token" => Caller { session: Some("x.y.z".to_owned()), ..caller },
            _ => caller,
        })
        .collect()
    }
}

/// The claims with the issuer and the audience that the relay demands.
fn own(claims: Value) -> Value {
    with(with(claims, "iss", ISSUER), "aud", AUDIENCE)
}

fn signed(claims: &Value) -> String {
    signed_with(SECRET.as_bytes(), &json!({"alg": "HS256", "typ": "JWT"}), claims)
}

/// Signs a browser in, and returns its session.
async fn sign_in(relay: &Relay, token: &str) -> String {
    let origin = format!("http://{}", relay.url.authority());
    let headers = [("origin", &*origin), ("content-type", "application/json")];
    let body = json!({ "token": token }).to_string().into();
    let mut connection = relay.connection().await;
    let answer = connection.request("POST", "/sign-in", &headers, body).await.expect("an answer");
    assert_eq!(answer.status, 303);
    let cookie = answer.header("set-cookie").expect("a cookie");
    let value = cookie.strip_prefix("progress-relay=").and_then(|rest| rest.split(';').next());
    value.expect("a session").to_owned()
}
