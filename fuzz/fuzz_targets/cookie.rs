//! The relay's cookie is the value of a pair of its name; behind TLS only of a name with a prefix.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_relay::testing::session_of_cookies;

fuzz_target!(|bytes: &[u8]| {
    // A line feed divides headers: none can have one.
    for is_https in [false, true] {
        let Some(session) = session_of_cookies(bytes.split(|byte| *byte == b'\n'), is_https) else {
            continue;
        };
        assert!(!session.is_empty() && !session.contains(';'));
        let text = String::from_utf8_lossy(bytes);
        let names: &[&str] = if is_https {
            &["__Host-progress-relay", "__Secure-progress-relay"]
        } else {
            &["progress-relay"]
        };
        assert!(names.iter().any(|name| text.contains(&format!("{name}={session}"))), "{session}");
    }
});
