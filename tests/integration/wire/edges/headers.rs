//! Headers and framing of requests, and how each is answered.

use super::event_with;
use super::requests::{Case, JSON, case, request};

pub fn cases() -> Vec<Case> {
    let good = || event_with(&[]).into_bytes();
    let mut cases = Vec::new();
    for kind in [
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/xml",
        "application/jsonx",
        "json",
        "application/",
        "image/png",
        "application/json+zip",
        "text/csv",
        "*/*",
        "é",
    ] {
        let header = format!("Content-Type: {kind}");
        let bytes = request("POST", "/student-progress", &[&header], &good());
        cases.push(case(header, bytes, 415, "unsupported-media-type"));
    }
    for kind in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "application/ld+JSON;x=y",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/json ;charset=latin1",
    ] {
        let header = format!("Content-Type: {kind}");
        cases.push(case(
            header.clone(),
            request("POST", "/student-progress", &[&header], &good()),
            200,
            "",
        ));
    }
    cases.push(case("no content type", request("POST", "/api/v1/events", &[], &good()), 200, ""));
    for encoding in ["gzip", "br", "deflate", "zstd", "gzip, identity", "x"] {
        let header = format!("Content-Encoding: {encoding}");
        cases.push(case(
            header.clone(),
            request("POST", "/student-progress", &[JSON, &header], &good()),
            415,
            "unsupported-media-type",
        ));
    }
    cases.push(case(
        "identity",
        request("POST", "/student-progress", &["Content-Encoding: Identity"], &good()),
        200,
        "",
    ));
    let chunked = |body: &str| {
        let head = "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nConnection: \
             close\r\nTransfer-Encoding: chunked\r\n\r\n";
        [head, body].concat().into_bytes()
    };
    let event = event_with(&[]);
    let (one, two) = event.split_at(10);
    let parts = format!(
        "{:x}\r\n{one}\r\n{:x};ext=1\r\n{two}\r\n0\r\nTrailer: x\r\n\r\n",
        one.len(),
        two.len()
    );
    cases.push(case("a chunked body", chunked(&parts), 200, ""));
    cases.push(case(
        "a chunk's size that is none",
        chunked("x\r\n{}\r\n0\r\n\r\n"),
        400,
        "body-incomplete",
    ));
    cases.push(case(
        "a chunk's size beyond all",
        chunked("fffffffffffffffff\r\n{}"),
        400,
        "body-incomplete",
    ));
    let huge = format!("{:x}\r\n", 9 << 20) + &" ".repeat(9 << 20) + "\r\n0\r\n\r\n";
    cases.push(case("9 MiB in a chunk", chunked(&huge), 413, "body-too-large"));
    let announced =
        b"POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388609\r\n\r\n"
            .to_vec();
    cases.push(case("8 MiB and a byte announced", announced, 413, "body-too-large"));
    for length in ["-1", "x", "1, 2", "99999999999999999999999", ""] {
        let bytes = format!(
            "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: \
                 {length}\r\n\r\n{{}}"
        );
        cases.push(case(format!("a length of {length:?}"), bytes.into_bytes(), 400, ""));
    }
    let both = format!(
        "POST /student-progress HTTP/1.1\r\nHost: localhost\r\nConnection: \
             close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{parts}"
    );
    cases.push(case("a length and chunks", both.into_bytes(), 200, ""));
    let expect = request("POST", "/student-progress", &[JSON, "Expect: 100-continue"], &good());
    cases.push(case("Expect: 100-continue", expect, 200, ""));
    for (what, bytes) in [
        ("no request", "hello\r\n\r\n".to_owned()),
        ("a header without a name", "GET /healthz HTTP/1.1\r\n: x\r\n\r\n".to_owned()),
        ("a header with a NUL", "GET /healthz HTTP/1.1\r\nA: \0\r\n\r\n".to_owned()),
        ("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01".to_owned() + &"x".repeat(300) + "\r\n\r\n"),
    ] {
        cases.push(case(what, bytes.into_bytes(), 400, ""));
    }
    // hyper closes the connection without an answer.
    cases.push(case("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 0, ""));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    cases.push(case("a path of 70 KB", long.into_bytes(), 431, ""));
    let fat = format!("GET /healthz HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(70_000));
    cases.push(case("a header of 70 KB", fat.into_bytes(), 431, ""));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    cases.push(case("200 headers", many.into_bytes(), 431, ""));
    cases
}
