//! Methods, paths, parameters, origins and hosts, and how each is answered.

use super::event_with;
use super::requests::{Case, JSON, case, request};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        for path in ["/student-progress", "/api/v1/events", "/cell-monitor"] {
            cases.push(case(
                format!("{method} {path}"),
                request(method, path, &[], b""),
                405,
                "method-not-allowed",
            ));
        }
    }
    for path in ["/healthz", "/readyz", "/ws/connect", "/api/class/stream"] {
        for method in ["POST", "DELETE"] {
            cases.push(case(
                format!("{method} {path}"),
                request(method, path, &[], b""),
                405,
                "method-not-allowed",
            ));
        }
    }
    for path in [
        "/nothing",
        "/student-progress/x",
        "//student-progress",
        "/api",
        "/api/v1",
        "/ws",
        "/%2e%2e/etc/passwd",
        "/healthz/x",
        "/student%2Dprogress2",
    ] {
        cases.push(case(format!("GET {path}"), request("GET", path, &[], b""), 404, "not-found"));
        cases.push(case(
            format!("POST {path}"),
            request("POST", path, &[JSON], b"[]"),
            404,
            "not-found",
        ));
    }
    for path in ["/student-progress", "/api/v1/events", "/cell-monitor"] {
        cases.push(case(format!("OPTIONS {path}"), request("OPTIONS", path, &[], b""), 204, ""));
    }
    cases.push(case("HEAD /healthz", request("HEAD", "/healthz", &[], b""), 200, ""));
    cases.push(case("HEAD /readyz", request("HEAD", "/readyz", &[], b""), 200, ""));
    cases.push(case(
        "POST /cell-monitor of anything",
        request("POST", "/cell-monitor", &["Content-Type: text/html"], b"\xff"),
        204,
        "",
    ));
    let stream = |query: &str, headers: &[&str]| {
        request("GET", &format!("/api/class/stream{query}"), headers, b"")
    };
    let long = format!("?class={}", "x".repeat(201));
    let classes =
        format!("?{}", (0..65).map(|n| format!("class=c{n}")).collect::<Vec<_>>().join("&"));
    for query in ["?class=", "?class=a%00", "?class=a&class=%0A", &long, &classes] {
        cases.push(case(
            format!("GET /api/class/stream{query}"),
            stream(query, &[]),
            400,
            "bad-parameter",
        ));
    }
    for origin in
        ["http://evil.example", "null", "http://localhost.evil.example", "http://localhost:1"]
    {
        let header = format!("Origin: {origin}");
        cases.push(case(header.clone(), stream("", &[&header]), 403, "origin-not-allowed"));
    }
    for host in
        ["evil.example", "10.1.2.3", "localhost.evil.example", "127.0.0.1.evil.example:8000"]
    {
        let bytes =
            format!("GET /api/class/stream HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        cases.push(case(format!("Host: {host}"), bytes.into_bytes(), 403, "host-not-allowed"));
    }
    cases.push(case(
        "no Host",
        b"GET /api/class/stream HTTP/1.0\r\n\r\n".to_vec(),
        403,
        "host-not-allowed",
    ));
    for (query, status, problem) in [
        ("?class=", 200, ""),
        ("?class=+", 200, ""),
        ("?class=%00", 422, "events-rejected"),
        (&long, 422, "events-rejected"),
    ] {
        let bytes = request(
            "POST",
            &format!("/student-progress{query}"),
            &[JSON],
            event_with(&[]).as_bytes(),
        );
        cases.push(case(format!("POST {query}"), bytes, status, problem));
    }
    cases
}
