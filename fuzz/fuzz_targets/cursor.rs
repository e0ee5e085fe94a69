//! A text that is accepted as a cursor is written as it was read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_relay::event::Cursor;

fuzz_target!(|text: &[u8]| {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Some(cursor) = Cursor::parse(text) else { return };
    assert!(cursor.id >= 0);
    let written = cursor.to_string();
    assert_eq!(Cursor::parse(&written), Some(cursor));
    // Except for leading zeros.
    let (epoch, id) = text.split_once('.').expect("a dot");
    let id: u64 = id.trim_start_matches('0').parse().unwrap_or(0);
    assert_eq!(written, format!("{epoch}.{id}"));
});
