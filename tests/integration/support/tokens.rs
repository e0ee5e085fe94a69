//! Tokens and keys made by the `openssl` command: what the relay verifies is made by other code.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::data_folder;

/// The secret of the tests' relays.
pub const SECRET: &str = "a secret of the tests: 0123456789abcdef";

/// A folder with the relay's files of secrets, keys and revocations. It is removed with the run.
pub struct Keys {
    folder: PathBuf,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// A folder with a secret, and an empty list of revocations.
    pub fn new() -> Self {
        let folder = data_folder();
        std::fs::create_dir_all(&folder).expect("a folder");
        let keys = Self { folder };
        keys.write("secret", &format!("{SECRET}\n"));
        keys.write("revoked", "# nothing yet\n");
        keys
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Flags of `serve`: the secret, and what is revoked.
    pub fn flags(&self) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        vec![
            "--jwt-secret-file".to_owned(),
            path("secret"),
            "--revoked".to_owned(),
            path("revoked"),
        ]
    }

    /// A new key of this kind: `RSA`, `EC` or `ED25519`.
    pub fn key(&self, name: &str, kind: &str) -> SigningKey {
        let file = self.path(&format!("{name}.pem"));
        let options: &[&str] = match kind {
            "RSA" => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "EC" => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            _ => &["-algorithm", kind],
        };
        let out = file.to_str().expect("text");
        openssl(&[&["genpkey", "-out", out], options].concat(), b"");
        let algorithm = match kind {
            "RSA" => "RS256",
            "EC" => "ES256",
            _ => "EdDSA",
        };
        SigningKey { id: name.to_owned(), algorithm, file }
    }
}

/// A private key, and the id under which its public key is published.
pub struct SigningKey {
    pub id: String,
    pub algorithm: &'static str,
    file: PathBuf,
}

impl SigningKey {
    /// The public key, as an entry of a JWKS.
    pub fn jwk(&self) -> Value {
        let file = self.file.to_str().expect("text");
        let der = openssl(&["pkey", "-in", file, "-pubout", "-outform", "DER"], b"");
        let end = |bytes: usize| &der[der.len() - bytes..];
        let mut key = match self.algorithm {
            "RS256" => {
                let shown = openssl(&["rsa", "-in", file, "-noout", "-modulus"], b"");
                let shown = String::from_utf8(shown).expect("text");
                let (_, hex) = shown.trim().split_once('=').expect("a modulus");
                let n: Vec<u8> = (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
                    .collect();
                json!({"kty": "RSA", "n": encode(&n), "e": "AQAB"})
            }
            "ES256" => {
                let (x, y) = end(64).split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            _ => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(end(32))}),
        };
        key["kid"] = self.id.as_str().into();
        key
    }

    /// The public key as a PEM file has it.
    pub fn public_pem(&self) -> Vec<u8> {
        openssl(&["pkey", "-in", self.file.to_str().expect("text"), "-pubout"], b"")
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "typ": "JWT", "kid": self.id});
        let message = message(&header, claims);
        let signature = match self.algorithm {
            "EdDSA" => self.sign_whole(&message),
            _ => {
                let file = self.file.to_str().expect("text");
                openssl(&["dgst", "-sha256", "-sign", file], message.as_bytes())
            }
        };
        let signature = if self.algorithm == "ES256" { raw(&signature) } else { signature };
        format!("{message}.{}", encode(&signature))
    }

    /// EdDSA signs the message itself, which openssl takes from a file.
    fn sign_whole(&self, message: &str) -> Vec<u8> {
        let file = self.file.with_extension("message");
        std::fs::write(&file, message).expect("a file");
        let (key, file) = (self.file.to_str().expect("text"), file.to_str().expect("text"));
        openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file], b"")
    }
}

/// Seconds since 1970, and `later` more.
pub fn in_seconds(later: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    i64::try_from(now.as_secs()).expect("a time") + later
}

/// Claims that are good for an hour.
pub fn claims(role: &str, subject: &str, classes: &[&str]) -> Value {
    json!({"sub": subject, "role": role, "classes": classes, "exp": in_seconds(3600)})
}

/// The claims with one changed; `null` takes it away.
pub fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims.as_object_mut().expect("claims").retain(|_, value| !value.is_null());
    claims
}

/// A token of the tests' secret.
pub fn token(claims: &Value) -> String {
    signed_with(SECRET.as_bytes(), &json!({"alg": "HS256", "typ": "JWT"}), claims)
}

/// A token of the tests' secret that is good for an hour.
pub fn token_of(role: &str, subject: &str, classes: &[&str]) -> String {
    token(&claims(role, subject, classes))
}

/// A token with any header, and the signature of HS256 with any secret.
pub fn signed_with(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    format!("{message}.{}", signature(secret, &message))
}

/// The signature of HS256.
pub fn signature(secret: &[u8], message: &str) -> String {
    let hex = secret.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let option = format!("hexkey:{hex}");
    let how = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &option, "-binary"];
    encode(&openssl(&how, message.as_bytes()))
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

pub fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The two numbers of an ECDSA signature, 32 bytes each, from its form in DER.
fn raw(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut raw = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = &number[number.len().saturating_sub(32)..];
        raw.extend(std::iter::repeat_n(0, 32 - number.len()));
        raw.extend_from_slice(number);
        rest = after;
    }
    raw
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut process = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    process.stdin.take().expect("a pipe").write_all(input).expect("its input");
    let output = process.wait_with_output().expect("openssl");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {stderr}");
    output.stdout
}

/// A file as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().expect("text")
}
