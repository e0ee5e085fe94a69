//! The body of a request never causes a panic, and each of its elements is an event, a rejection,
//! or of another client and ignored. Rows that were written with SQL are delivered as JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_relay::event::{Limits, Micros, StoredEvent, parse_body};
use serde_json::Value;
use serde_json::value::RawValue;

const LIMITS: Limits = Limits { max_batch: 100, max_field: 64 };

fuzz_target!(|body: &[u8]| {
    if let Ok(batch) = parse_body(body, None, LIMITS) {
        let mut indices: Vec<usize> = batch.events.iter().map(|(index, _)| *index).collect();
        indices.extend(batch.rejected.iter().map(|rejection| rejection.index));
        indices.sort_unstable();
        let elements = indices.len() + batch.ignored;
        assert!(indices.is_sorted_by(|a, b| a < b), "each element once");
        assert!(indices.last().is_none_or(|last| *last < elements), "no element is lost");
        for (_, event) in &batch.events {
            serde_json::from_str::<Value>(&event.body).expect("a body is JSON");
        }
    }
    // SQL may have stored any JSON object.
    let Ok(text) = std::str::from_utf8(body) else { return };
    if text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() {
        let received_at = Micros(i64::MAX);
        let row = StoredEvent { id: 1, class: "c", student: "s", received_at, body: text };
        let mut delivered = String::new();
        row.write(&mut delivered);
        serde_json::from_str::<&RawValue>(&delivered).expect("delivered events are JSON");
    }
});
