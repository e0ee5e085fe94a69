//! Which method and path lead to which handler, and behind which checks: one table.
//!
//! All else follows from the table. A path without a row is 404; a method that no row of the path
//! has is 405; HEAD is answered where GET is; OPTIONS is answered on every path that has a row, by
//! its CORS. A path's checks come before the answer of 405 and of OPTIONS too. `dispatch` carries
//! the table out.

use http::{HeaderValue, Method};

use super::api::Operation;
use super::policy::Policy;
use super::sign_in::{HubStep, Step};

#[derive(Debug, Clone, Copy)]
pub(super) enum Handler {
    Ingest,
    /// Takes a body and drops it.
    Discard,
    WebSocket,
    EventStream,
    Api(Operation),
    Dashboard,
    SignIn(Step),
    Hub(HubStep),
    Alive,
    Ready,
    Metrics,
}

/// A row of the table.
#[derive(Debug)]
struct Route {
    method: Method,
    /// A path. `[/]` at its end: with or without that slash. `{name}`: one segment; `{name...}`:
    /// all that follows.
    path: &'static str,
    pub(super) handler: Handler,
    pub(super) policy: &'static Policy,
}

static ROUTES: &[Route] = &[
    post("/student-progress[/]", Handler::Ingest, &Policy::INGEST),
    post("/api/v1/events[/]", Handler::Ingest, &Policy::INGEST),
    post("/cell-monitor[/]", Handler::Discard, &Policy::NOT_STORED),
    get("/ws/connect[/]", Handler::WebSocket, &Policy::SUBSCRIBE),
    get("/api/class/stream[/]", Handler::EventStream, &Policy::SUBSCRIBE),
    get("/api/class/summary", Handler::Api(Operation::Summary), &Policy::READ_OWN),
    get("/api/classes", Handler::Api(Operation::Classes), &Policy::BROWSE),
    get("/api/me", Handler::Api(Operation::Me), &Policy::IDENTIFY),
    get("/api/class/events", Handler::Api(Operation::Events), &Policy::READ_OWN),
    get("/api/class/cells", Handler::Api(Operation::Cells), &Policy::READ),
    get("/api/class/activity", Handler::Api(Operation::Activity), &Policy::READ),
    get("/api/class/export", Handler::Api(Operation::Export), &Policy::READ),
    get("/api/class/refused", Handler::Api(Operation::Rejected), &Policy::READ),
    get("/api/class/settings", Handler::Api(Operation::Settings), &Policy::ACT),
    put("/api/class/settings", Handler::Api(Operation::ChangeSettings), &Policy::ACT),
    get("/api/class/lessons", Handler::Api(Operation::Lessons), &Policy::ACT),
    post("/api/class/lessons", Handler::Api(Operation::BeginLesson), &Policy::ACT),
    post("/api/class/viewing", Handler::Api(Operation::View), &Policy::ACT),
    post(
        "/api/class/students/{student}/help/resolve",
        Handler::Api(Operation::Resolve),
        &Policy::ACT,
    ),
    post("/api/class/students/{student}/help/claim", Handler::Api(Operation::Claim), &Policy::ACT),
    delete(
        "/api/class/students/{student}/help/claim",
        Handler::Api(Operation::Release),
        &Policy::ACT,
    ),
    get("/api/audit", Handler::Api(Operation::Audit), &Policy::AUDIT),
    get("/openapi.json", Handler::Api(Operation::Description), &Policy::DESCRIBE),
    get("/", Handler::Dashboard, &Policy::PAGE),
    get("/assets/{file...}", Handler::Dashboard, &Policy::PAGE),
    get("/sign-in", Handler::SignIn(Step::Page), &Policy::SIGN_IN),
    post("/sign-in", Handler::SignIn(Step::SignIn), &Policy::SIGN_IN),
    post("/sign-in/link", Handler::SignIn(Step::Link), &Policy::SIGN_IN_LINK),
    post("/sign-out", Handler::SignIn(Step::SignOut), &Policy::SIGN_IN),
    get("/sign-in/hub", Handler::Hub(HubStep::Begin), &Policy::SIGN_IN),
    get("/oauth_callback", Handler::Hub(HubStep::Finish), &Policy::SIGN_IN),
    get("/healthz[/]", Handler::Alive, &Policy::PROBE),
    get("/readyz[/]", Handler::Ready, &Policy::PROBE),
    get("/metrics[/]", Handler::Metrics, &Policy::OPERATE),
];

/// Paths below these have no row, and the rules of a path where nothing is stored: a client whose
/// URL is mistyped is told why, and its page may read the answer.
const NEAR_INGEST: [&str; 3] = ["/student-progress", "/cell-monitor", "/api/v1"];

const fn get(path: &'static str, handler: Handler, policy: &'static Policy) -> Route {
    Route { method: Method::GET, path, handler, policy }
}

const fn post(path: &'static str, handler: Handler, policy: &'static Policy) -> Route {
    Route { method: Method::POST, path, handler, policy }
}

const fn put(path: &'static str, handler: Handler, policy: &'static Policy) -> Route {
    Route { method: Method::PUT, path, handler, policy }
}

const fn delete(path: &'static str, handler: Handler, policy: &'static Policy) -> Route {
    Route { method: Method::DELETE, path, handler, policy }
}

impl Route {
    /// The part of `path` that stands for the row's parameter, empty where the row has none; `None`
    /// if the row is another path's.
    fn captures<'a>(&self, path: &'a str) -> Option<&'a str> {
        if let Some(exact) = self.path.strip_suffix("[/]") {
            return (path.strip_suffix('/').unwrap_or(path) == exact).then_some("");
        }
        let Some((before, rest)) = self.path.split_once('{') else {
            return (path == self.path).then_some("");
        };
        let (name, after) = rest.split_once('}')?;
        let value = path.strip_prefix(before)?.strip_suffix(after)?;
        let fits = !value.is_empty() && (name.ends_with("...") || !value.contains('/'));
        fits.then_some(value)
    }
}

/// The table's answer to a method and a path.
pub(super) struct Found<'a> {
    pub(super) policy: &'static Policy,
    /// `None`: the path lacks this method, or does not exist.
    pub(super) handler: Option<Handler>,
    /// The path's parameter.
    pub(super) parameter: &'a str,
    /// The path's methods, as the header `Allow` has them; `None` if it is no path.
    pub(super) allow: Option<HeaderValue>,
}

pub(super) fn find<'a>(method: &Method, path: &'a str) -> Found<'a> {
    // hyper sends the answer to HEAD without its body.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut found = Found { policy: &Policy::NOTHING, handler: None, parameter: "", allow: None };
    let mut methods = Vec::new();
    for route in ROUTES {
        let Some(parameter) = route.captures(path) else { continue };
        (found.policy, found.parameter) = (route.policy, parameter);
        if route.method == method {
            found.handler = Some(route.handler);
        }
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    let is_near = |near: &&str| {
        path.strip_prefix(near).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if !methods.is_empty() {
        methods.push("OPTIONS");
        found.allow = HeaderValue::try_from(methods.join(", ")).ok();
    } else if NEAR_INGEST.iter().any(is_near) {
        found.policy = &Policy::NOT_STORED;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use serde_json::Value;

    use super::super::api::OPENAPI;
    use super::super::gate::ORDER;
    use super::super::gate::cors::Cors;
    use super::super::policy::Check;
    use super::*;
    use crate::access::{Right, Role};

    /// Rows that openapi.json does not describe, and why.
    const UNDESCRIBED: [(&str, &str); 14] = [
        ("/student-progress", "docs/wire.md describes it: a writer needs more than a schema"),
        ("/ws/connect", "docs/wire.md describes it: OpenAPI has no WebSockets"),
        ("/api/class/stream", "docs/wire.md describes it: OpenAPI has no frames"),
        ("/healthz", "for probes"),
        ("/readyz", "for probes"),
        ("/api/v1/events", "another name of /student-progress"),
        ("/cell-monitor", "an old client's second, anonymous copy of every run, which is dropped"),
        ("/", "the dashboard's page"),
        ("/assets/{file...}", "the dashboard's files"),
        ("/sign-in/hub", "for browsers: it sends them to JupyterHub"),
        ("/oauth_callback", "for browsers that come back from JupyterHub"),
        ("/metrics", "docs/metrics.md describes it"),
        ("/sign-in", "a page, and its form: docs/access.md describes them"),
        ("/sign-out", "the dashboard's button: docs/access.md describes it"),
    ];

    /// A path of the row, as a client writes it.
    fn example(route: &Route) -> String {
        let path = route.path.trim_end_matches("[/]");
        path.replace("{student}", "s%2F1").replace("{file...}", "js/main.js")
    }

    #[test]
    fn every_row_is_found_and_has_its_checks() {
        for route in ROUTES {
            let path = example(route);
            let found = find(&route.method, &path);
            assert!(found.handler.is_some(), "{} {path}", route.method);
            // Rows of one path share its rules: OPTIONS and 405 have no row of their own.
            assert!(std::ptr::eq(found.policy, route.policy), "{path}");
            assert!(route.policy.checks.iter().all(|check| ORDER.contains(check)), "{path}");
            let reads = matches!(
                route.handler,
                Handler::Api(_)
                    | Handler::WebSocket
                    | Handler::EventStream
                    | Handler::Dashboard
                    | Handler::SignIn(_)
                    | Handler::Hub(_)
            );
            assert_eq!(route.policy.checks.contains(&Check::Origin), reads, "{path}");
            let is_page = matches!(route.handler, Handler::Dashboard);
            assert_eq!(
                route.policy.checks.contains(&Check::Connections),
                match route.handler {
                    Handler::Discard | Handler::Alive | Handler::Ready | Handler::Metrics => false,
                    _ => !is_page,
                },
                "{path}"
            );
            let stores = matches!(route.handler, Handler::Ingest | Handler::Discard);
            assert_eq!(route.policy.cors == Cors::AnyOrigin, stores, "{path}");
            let allow = found.allow.expect("a path");
            assert!(allow.to_str().expect("text").contains(route.method.as_str()), "{path}");
        }
    }

    #[test]
    fn every_row_is_described_or_named_as_undescribed() {
        let openapi: Value = serde_json::from_str(OPENAPI).expect("openapi.json");
        let mut described = BTreeMap::new();
        for (path, item) in openapi["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("methods").keys() {
                if method != "parameters" {
                    described.insert((path.clone(), method.to_uppercase()), false);
                }
            }
        }
        for route in ROUTES {
            let path = route.path.trim_end_matches("[/]").to_owned();
            let row = described.get_mut(&(path.clone(), route.method.to_string()));
            let is_undescribed = UNDESCRIBED.iter().any(|(undescribed, _)| *undescribed == path);
            match row {
                Some(met) if !is_undescribed => *met = true,
                None if is_undescribed => {}
                _ => panic!("{}: described or named as undescribed, one of the two", route.path),
            }
        }
        let unmet: Vec<_> = described.iter().filter(|(_, met)| !**met).collect();
        assert_eq!(unmet, [], "described, and without a row");
    }

    /// The statuses that a row's checks and its body can end in, whatever the handler does.
    fn of_the_gate(route: &Route) -> Vec<&'static str> {
        let checks = |check| route.policy.checks.contains(&check);
        let mut statuses = Vec::new();
        if checks(Check::Connections) {
            statuses.push("503");
        }
        if checks(Check::Rates) && route.method != Method::POST {
            statuses.push("429");
        }
        if checks(Check::Origin) {
            statuses.push("403");
        }
        if route.policy.right.is_some() {
            statuses.extend(["401", "403"]);
        }
        if route.method != Method::GET && matches!(route.handler, Handler::Api(_)) {
            statuses.extend(["400", "408", "413", "415"]);
        }
        statuses
    }

    #[test]
    fn every_answer_of_the_gate_is_described() {
        let openapi: Value = serde_json::from_str(OPENAPI).expect("openapi.json");
        for route in ROUTES {
            let responses =
                &openapi["paths"][route.path][route.method.as_str().to_lowercase()]["responses"];
            let Some(responses) = responses.as_object() else { continue };
            for status in of_the_gate(route) {
                assert!(
                    responses.contains_key(status),
                    "{} {}: {status}",
                    route.method,
                    route.path
                );
            }
        }
    }

    /// The table of docs/access.md: who may ask which route.
    fn table_of_rights() -> String {
        let roles = [Role::Writer, Role::Student, Role::Instructor, Role::Operator];
        let mut text = String::from("\n| route |");
        for role in roles {
            let _ = write!(text, " {role} |");
        }
        text.push_str(" anyone |\n|---|---|---|---|---|---|\n");
        for route in ROUTES {
            let path = route.path.trim_end_matches("[/]");
            let _ = write!(text, "| `{} {path}` |", route.method);
            for role in roles {
                let cell = match route.policy.right {
                    Some(right) if !role.has(right) => "",
                    Some(Right::Post | Right::ReadOwn) if role == Role::Student => "as itself",
                    _ => "yes",
                };
                let _ = write!(text, " {cell} |");
            }
            text.push_str(if route.policy.right.is_none() { " yes |\n" } else { " |\n" });
        }
        text.push('\n');
        text
    }

    #[test]
    fn the_document_has_every_route_with_its_right() {
        const BEGIN: &str = "<!-- rights: begin (written by `make docs`) -->\n";
        const END: &str = "<!-- rights: end -->\n";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/access.md");
        let document = std::fs::read_to_string(&path).expect("docs/access.md");
        let (before, rest) = document.split_once(BEGIN).expect("the mark before the table");
        let (_, after) = rest.split_once(END).expect("the mark after the table");
        let expected = format!("{before}{BEGIN}{}{END}{after}", table_of_rights());
        if std::env::var_os("WRITE_DOCS").is_some() {
            std::fs::write(&path, &expected).expect("the document is written");
        } else {
            assert!(document == expected, "docs/access.md is out of date: run `make docs`");
        }
    }

    fn allow(path: &str) -> Option<String> {
        let allow = find(&Method::OPTIONS, path).allow?;
        Some(allow.to_str().expect("text").to_owned())
    }

    #[test]
    fn paths() {
        let resolve = find(&Method::POST, "/api/class/students/a%2Fb/help/resolve");
        assert!(matches!(resolve.handler, Some(Handler::Api(Operation::Resolve))));
        assert_eq!(resolve.parameter, "a%2Fb");
        for path in [
            "/api/class/students//help/resolve",
            "/api/class/students/a/b/help/resolve",
            "/api",
            "/api/class",
            "/api/class/summary/",
            "/assets/",
            "/student-progress/x",
            "/student-progress//",
            "/api/v1",
            "/student%2Dprogress",
            "//healthz",
            "*",
            "",
        ] {
            assert_eq!(allow(path), None, "{path}");
        }
        for path in ["/student-progress/", "/api/v1/events", "/cell-monitor"] {
            assert_eq!(allow(path).as_deref(), Some("POST, OPTIONS"), "{path}");
        }
        for path in ["/", "/metrics/", "/ws/connect", "/assets/a/b", "/openapi.json"] {
            assert_eq!(allow(path).as_deref(), Some("GET, HEAD, OPTIONS"), "{path}");
            assert!(find(&Method::HEAD, path).handler.is_some(), "{path}");
            assert!(find(&Method::POST, path).handler.is_none(), "{path}");
        }
    }

    #[test]
    fn a_mistyped_url_of_a_client_may_be_read_by_its_page() {
        for path in ["/student-progress/x", "/cell-monitor/x", "/api/v1", "/api/v1/event"] {
            assert_eq!(find(&Method::POST, path).policy.cors, Cors::AnyOrigin, "{path}");
        }
        for path in ["/student-progress2", "/api/v10", "/api", "/nothing"] {
            assert_eq!(find(&Method::POST, path).policy.cors, Cors::SameOrigin, "{path}");
        }
    }
}
