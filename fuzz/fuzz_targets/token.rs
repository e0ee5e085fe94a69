//! No text is a token unless a key of the relay's has signed it, and no claims that are signed end
//! the relay's task. A refusal never repeats the token.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use progress_relay::testing::Tokens;
use serde_json::Value;

/// Of tests/vectors/jwt.json.
struct Vectors {
    tokens: Tokens,
    secret: String,
    /// Tokens that the keys have signed, good and bad ones.
    signed: Vec<String>,
}

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    let vectors: Value =
        serde_json::from_str(include_str!("../../tests/vectors/jwt.json")).expect("JSON");
    let secret = vectors["secret"].as_str().expect("a secret").to_owned();
    let folder = std::env::temp_dir().join(format!("fuzz-token-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| -> PathBuf {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("a file");
        file
    };
    let keys = write("jwks", &vectors["jwks"].to_string());
    let tokens = Tokens::new(&write("secret", &secret), &keys).expect("keys");
    let _ = std::fs::remove_dir_all(&folder);
    let signed = ["good", "claims"].iter().flat_map(|part| vectors[part].as_object());
    let signed = signed.flat_map(|part| part.values()).filter_map(Value::as_str);
    let signed = signed.map(str::to_owned).collect();
    Vectors { tokens, secret, signed }
});

fn refused(token: &str, reason: &str) {
    assert!(token.len() < 16 || !reason.contains(token), "{reason}");
}

fuzz_target!(|bytes: &[u8]| {
    let Vectors { tokens, secret, signed } = &*VECTORS;
    if let Ok(text) = std::str::from_utf8(bytes) {
        match tokens.role(text) {
            Ok(_) => assert!(signed.iter().any(|good| good == text), "{text}"),
            Err(reason) => refused(text, &reason),
        }
    }
    // The same bytes as what an issuer has signed: the claims, and the header and the claims.
    let middle = bytes.len() / 2;
    for (header, claims) in
        [(&b"{\"alg\":\"HS256\"}"[..], bytes), (&bytes[..middle], &bytes[middle..])]
    {
        let Some(token) = Tokens::signed(secret.as_bytes(), header, claims) else { continue };
        match tokens.role(&token) {
            Ok(role) => {
                let claims: Value = serde_json::from_slice(claims).expect("claims are JSON");
                assert!(claims["exp"].is_number(), "{claims}");
                assert!(claims["role"].to_string().contains(&role), "{claims}");
            }
            Err(reason) => refused(&token, &reason),
        }
    }
});
