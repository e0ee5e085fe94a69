//! Bodies of POSTs, and how each is answered.

use super::event_with;
use super::requests::{Case, JSON, case, request};

pub fn cases() -> Vec<Case> {
    let post = |body: &[u8]| request("POST", "/student-progress", &[JSON], body);
    let mut cases = Vec::new();
    for body in [
        "",
        " ",
        "[",
        "{",
        "]",
        "[}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "[,1]",
        "{}{}",
        "[]x",
        "NaN",
        "-Infinity",
        "[-NaN]",
        "[nan]",
        "{NaN:1}",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\n\"]",
        "[\"\t\"]",
        "[\"",
        "undefined",
        "\u{feff}",
        "// comment\n[]",
        "[1]\u{0}",
        "tru",
    ] {
        cases.push(case(format!("{body:?}"), post(body.as_bytes()), 400, "body-not-json"));
    }
    for body in ["null", "true", "7", "\"x\"", "1e999", " 1 "] {
        cases.push(case(format!("{body:?}"), post(body.as_bytes()), 400, "body-not-events"));
    }
    for body in [
        &b"\xff"[..],
        b"[\"\xc3\"]",
        b"[\"\xc0\x80\"]",
        b"[\"\xed\xa0\x80\"]",
        b"[\"\xf4\x90\x80\x80\"]",
        b"\xfe\xff\x00[",
        b"[]\x80",
    ] {
        cases.push(case(format!("{body:?}"), post(body), 400, "body-not-utf8"));
    }
    for depth in [127, 128, 129, 100_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        cases.push(case(
            format!("an array {depth} deep"),
            post(nested.as_bytes()),
            422,
            "events-rejected",
        ));
        let object =
            event_with(&[("deep", &format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)))]);
        cases.push(case(
            format!("an event {depth} deep"),
            post(object.as_bytes()),
            422,
            "events-rejected",
        ));
    }
    cases.push(case("an element that is no number", post(b"[Infinity]"), 422, "events-rejected"));
    let many = |count: usize| format!("[{}]", vec!["7"; count].join(","));
    cases.push(case("1,000 events", post(many(1000).as_bytes()), 422, "events-rejected"));
    cases.push(case("1,001 events", post(many(1001).as_bytes()), 413, "batch-too-large"));
    cases.push(case("100,000 events", post(many(100_000).as_bytes()), 413, "batch-too-large"));
    let keys: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = event_with(&[]).replacen('{', &format!("{{{},", keys.join(",")), 1);
    cases.push(case("50,000 keys", post(wide.as_bytes()), 200, ""));
    let same = event_with(&[]).replacen('{', &format!("{{{}", "\"k\":1,".repeat(50_000)), 1);
    cases.push(case("one key 50,000 times", post(same.as_bytes()), 200, ""));
    cases.push(case("an empty array", post(b"[]"), 200, ""));
    cases.push(case(
        "a byte order mark",
        post(format!("\u{feff}{}", event_with(&[])).as_bytes()),
        200,
        "",
    ));
    cases.push(case(
        "white space",
        post(format!(" \r\n\t[ {} ]\n", event_with(&[])).as_bytes()),
        200,
        "",
    ));
    cases
}
