//! A WebSocket's first message has a token only if it is a JSON object of type `auth`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_relay::testing::token_of_first_message;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(token) = token_of_first_message(text) else { return };
    let message: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(
        (message["type"].as_str(), message["token"].as_str()),
        (Some("auth"), Some(&*token))
    );
});
