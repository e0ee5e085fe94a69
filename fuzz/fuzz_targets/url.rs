//! A connection string that is refused, for any reason, is refused without its password.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_relay::database::{Environment, Target};

const PASSWORD: &str = "hunter2";

fuzz_target!(|text: &[u8]| {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let environment = Environment::empty();
    let _ = Target::parse(text, &environment);
    // The text is the rest of a password without escapes, before and after the word.
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (before, after) = text.split_at(middle);
    let url = format!("postgres://relay:{before}{PASSWORD}{after}@host/database");
    match Target::parse(&url, &environment) {
        Ok(target) => assert!(!target.warnings().concat().contains(PASSWORD)),
        Err(error) => assert!(!error.to_string().contains(PASSWORD), "{error}"),
    }
});
