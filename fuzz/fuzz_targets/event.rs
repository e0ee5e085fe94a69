//! One event: the members of a valid one, some of them replaced by the fuzzer's. An accepted event
//! is delivered as valid JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_relay::event::{Limits, Micros, StoredEvent, parse_body};
use serde_json::Value;

const LIMITS: Limits = Limits { max_batch: 1, max_field: 32 };
const GOOD: &str = "\"eventId\":\"9f582f0c-d406-435e-866c-7bbfe15dc8cd\",\"eventType\":\"help\",\
                    \"eventTime\":\"2026-11-23T15:36:03Z\",\"userId\":\"s\"";

fuzz_target!(|members: &[u8]| {
    let Ok(members) = std::str::from_utf8(members) else { return };
    for text in
        [format!("{{{GOOD},{members}}}"), format!("{{{members},{GOOD}}}"), format!("{{{members}}}")]
    {
        let Ok(batch) = parse_body(text.as_bytes(), Some("class"), LIMITS) else { continue };
        for (_, event) in batch.events {
            let row = StoredEvent {
                id: 1,
                class: event.class.as_str(),
                student: event.student.as_str(),
                received_at: Micros(0),
                body: &event.body,
            };
            let mut delivered = String::new();
            row.write(&mut delivered);
            // Parsed into values, because raw JSON text may hold numbers that no parser accepts.
            serde_json::from_str::<Value>(&delivered).expect("delivered events are JSON");
            for forbidden in ["\0", "\\u0000", "\n"] {
                assert!(!delivered.contains(forbidden), "{forbidden:?}");
            }
        }
    }
});
