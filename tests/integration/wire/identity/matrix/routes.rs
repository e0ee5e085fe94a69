//! Who may use which route, as docs/access.md says it for people: written down once more, by hand.

use std::collections::BTreeSet;

/// What a route is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anyone may ask.
    Open,
    /// Events of a class are stored. No cookie counts.
    Ingest,
    /// A class, by the URL.
    OfAClass,
    /// The relay, or the caller.
    OfNoClass,
    /// A class, as a WebSocket or a stream: see `subscriptions`.
    Subscription,
}

/// A route: the method, the path as the table has it, the initials of the roles that may use it,
/// and how it is asked.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub kind: Kind,
    pub roles: &'static str,
    pub asked: &'static str,
}

const fn route(
    method: &'static str,
    path: &'static str,
    kind: Kind,
    roles: &'static str,
    asked: &'static str,
) -> Route {
    Route { method, path, kind, roles, asked }
}

/// Every route. `w` is a writer, `s` a student, `i` an instructor, `o` an operator.
pub const ROUTES: [Route; 34] = [
    route("POST", "/student-progress", Kind::Ingest, "wso", "/student-progress?class=algebra"),
    route("POST", "/api/v1/events", Kind::Ingest, "wso", "/api/v1/events/?class=algebra"),
    route("POST", "/cell-monitor", Kind::Open, "", "/cell-monitor?class=algebra"),
    route("GET", "/ws/connect", Kind::Subscription, "sio", ""),
    route("GET", "/api/class/stream", Kind::Subscription, "sio", ""),
    route(
        "GET",
        "/api/class/summary",
        Kind::OfAClass,
        "sio",
        "/api/class/summary?class=algebra&include=cells,grid",
    ),
    route("GET", "/api/classes", Kind::OfNoClass, "io", "/api/classes"),
    route("GET", "/api/me", Kind::OfNoClass, "wsio", "/api/me"),
    route("GET", "/api/class/events", Kind::OfAClass, "sio", "/api/class/events?class=algebra"),
    route("GET", "/api/class/cells", Kind::OfAClass, "io", "/api/class/cells?class=algebra"),
    route("GET", "/api/class/activity", Kind::OfAClass, "io", "/api/class/activity?class=algebra"),
    route("GET", "/api/class/export", Kind::OfAClass, "io", "/api/class/export?class=algebra"),
    route("GET", "/api/class/refused", Kind::OfAClass, "io", "/api/class/refused?class=algebra"),
    route("GET", "/api/class/settings", Kind::OfAClass, "io", "/api/class/settings?class=algebra"),
    route("PUT", "/api/class/settings", Kind::OfAClass, "io", "/api/class/settings?class=algebra"),
    route("GET", "/api/class/lessons", Kind::OfAClass, "io", "/api/class/lessons?class=algebra"),
    route("POST", "/api/class/lessons", Kind::OfAClass, "io", "/api/class/lessons?class=algebra"),
    route("POST", "/api/class/viewing", Kind::OfAClass, "io", "/api/class/viewing?class=algebra"),
    route(
        "POST",
        "/api/class/students/{student}/help/claim",
        Kind::OfAClass,
        "io",
        "/api/class/students/s1/help/claim?class=algebra",
    ),
    route(
        "DELETE",
        "/api/class/students/{student}/help/claim",
        Kind::OfAClass,
        "io",
        "/api/class/students/s1/help/claim?class=algebra",
    ),
    route(
        "POST",
        "/api/class/students/{student}/help/resolve",
        Kind::OfAClass,
        "io",
        "/api/class/students/s1/help/resolve?class=algebra",
    ),
    route("GET", "/api/audit", Kind::OfNoClass, "o", "/api/audit"),
    route("GET", "/openapi.json", Kind::Open, "", "/openapi.json"),
    route("GET", "/", Kind::Open, "", "/"),
    route("GET", "/assets/{file...}", Kind::Open, "", "/assets/js/main.js"),
    route("GET", "/sign-in", Kind::Open, "", "/sign-in"),
    route("POST", "/sign-in", Kind::Open, "", "/sign-in"),
    route("POST", "/sign-in/link", Kind::OfNoClass, "io", "/sign-in/link"),
    route("GET", "/sign-in/hub", Kind::Open, "", "/sign-in/hub"),
    route("GET", "/oauth_callback", Kind::Open, "", "/oauth_callback"),
    route("GET", "/healthz", Kind::Open, "", "/healthz"),
    route("GET", "/readyz", Kind::Open, "", "/readyz"),
    route("GET", "/metrics", Kind::OfNoClass, "o", "/metrics"),
    // Last, since it ends the session.
    route("POST", "/sign-out", Kind::Open, "", "/sign-out"),
];

/// The routes of docs/access.md, whose table is made from the router's.
fn documented() -> BTreeSet<String> {
    let document = include_str!("../../../../../docs/access.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let rows = rows.map(|(route, _)| route.to_owned());
    let methods = ["GET /", "POST /", "PUT /", "DELETE /"];
    rows.filter(|route| methods.iter().any(|method| route.starts_with(method))).collect()
}

#[test]
fn every_route_of_the_router_has_an_expectation() {
    let expected = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(documented(), expected, "say in this file who may use a new route");
}
