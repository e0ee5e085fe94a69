//! The token of an `Authorization` header is a part of it, and has no blank around it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_relay::testing::token_of_authorization;

fuzz_target!(|value: &[u8]| {
    let Some(token) = token_of_authorization(value) else { return };
    let text = std::str::from_utf8(value).expect("only text is a token");
    assert_eq!(token, token.trim());
    assert!(text.contains(&token));
    let scheme = text.split(' ').next().unwrap_or_default().to_ascii_lowercase();
    assert!(["bearer", "token"].contains(&&*scheme), "{scheme}");
});
