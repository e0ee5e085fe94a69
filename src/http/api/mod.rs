//! The reading API: what the events of a class come to, for dashboards and programs; and what an
//! instructor does.
//!
//! Every answer is for those whom [`super::Access`] lets read, names an allowed page's origin, and
//! says what went wrong as a problem. `openapi.json` is its description; a test holds both
//! together.

mod answer;
mod budget;
mod class;
mod export;
mod history;
mod refused;
mod resolve;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header};
use warp::Reply;
use warp::reply::Response;

use super::Relay;
use super::problem::Problem;
use super::query::Query;
use crate::event::ClassId;
use crate::state::LoadError;
use crate::store::PageError;
pub(super) use answer::{gzip, has as if_none_match, tag, takes_gzip};

use answer::Answer;
pub use budget::AnswerBudget;

/// The description of this API.
const OPENAPI: &str = include_str!("openapi.json");

/// What may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Summary,
    Classes,
    Events,
    Cells,
    Activity,
    Export,
    Refused,
    OpenApi,
    /// Of this student, as the path has it.
    Resolve(String),
}

impl Route {
    /// What is at a path; `None` if nothing of this API is.
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/api/class/summary" => Self::Summary,
            "/api/classes" => Self::Classes,
            "/api/class/events" => Self::Events,
            "/api/class/cells" => Self::Cells,
            "/api/class/activity" => Self::Activity,
            "/api/class/export" => Self::Export,
            "/api/class/refused" => Self::Refused,
            "/openapi.json" => Self::OpenApi,
            _ => {
                let student =
                    path.strip_prefix("/api/class/students/")?.strip_suffix("/help/resolve")?;
                if student.is_empty() || student.contains('/') {
                    return None;
                }
                Self::Resolve(student.to_owned())
            }
        })
    }

    fn methods(&self) -> &'static str {
        match self {
            Self::Resolve(_) => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// A request of this API.
struct Request<'a> {
    relay: &'a Relay,
    headers: &'a HeaderMap,
    query: Query<'a>,
}

/// Answers a request.
pub(super) async fn answer(
    relay: Arc<Relay>,
    route: Route,
    method: Method,
    headers: HeaderMap,
    query: String,
) -> Response {
    let request = Request { relay: &relay, headers: &headers, query: Query::parse(&query) };
    let mut response = match relay.access.check(&headers) {
        Ok(()) => request.answer(&route, &method).await.unwrap_or_else(Problem::into_response),
        Err(problem) => problem.into_response(),
    };
    let answer = response.headers_mut();
    relay.access.name_origin(&headers, answer);
    if answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        answer.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("ETag, Retry-After"),
        );
    }
    response
}

impl Request<'_> {
    async fn answer(&self, route: &Route, method: &Method) -> Result<Response, Problem> {
        let get = matches!(*method, Method::GET | Method::HEAD);
        match route {
            _ if method == Method::OPTIONS => {
                Ok(self.relay.access.options(self.headers, route.methods()))
            }
            Route::Resolve(student) if method == Method::POST => self.resolve(student).await,
            Route::Summary if get => self.summary().await,
            Route::Classes if get => self.classes().await,
            Route::Events if get => self.events().await,
            Route::Cells if get => self.cells().await,
            Route::Activity if get => self.activity().await,
            Route::Export if get => self.export().await,
            Route::Refused if get => self.refused().await,
            Route::OpenApi if get => Answer::json(OPENAPI.to_owned()).reply(self).await,
            _ => Err(Problem::method_not_allowed(route.methods())),
        }
    }

    /// The one class that is asked about.
    fn class(&self) -> Result<ClassId, Problem> {
        self.once("class")?;
        let class = self.query.first("class").map_or_else(|| Ok(ClassId::default()), ClassId::new);
        class.map_err(|error| Problem::bad_parameter("class", &error.to_string()))
    }

    fn once(&self, name: &str) -> Result<Option<&str>, Problem> {
        if self.query.all(name).nth(1).is_some() {
            return Err(Problem::bad_parameter(name, "may be given once"));
        }
        Ok(self.query.first(name))
    }

    /// A whole number within bounds.
    fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Problem> {
        let Some(text) = self.once(name)? else { return Ok(None) };
        // Digits alone: a sign or a blank is a mistake.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && (least..=most).contains(number));
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(Problem::bad_parameter(
                name,
                &format!("must be a whole number from {least} to {most}"),
            )),
        }
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        if let LoadError::NoRoom = error {
            return Self::unavailable(
                "no-memory-for-classes",
                "too many classes are in use at once",
                format!("{error}; ask again"),
                std::time::Duration::from_secs(1),
            );
        }
        unread(&error.to_string())
    }
}

impl From<PageError> for Problem {
    fn from(error: PageError) -> Self {
        unread(&error.to_string())
    }
}

fn unread(detail: &str) -> Problem {
    Problem::unavailable(
        "not-readable-now",
        "the database cannot be read now",
        format!("{detail}; ask again"),
        std::time::Duration::from_secs(1),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_path_that_is_described_is_there_with_its_methods() {
        let openapi: Value = serde_json::from_str(OPENAPI).expect("openapi.json");
        let paths = openapi["paths"].as_object().expect("paths");
        for (path, item) in paths {
            let Some(route) = Route::of(&path.replace("{student}", "s%201")) else {
                // Described here, answered elsewhere.
                assert!(
                    [
                        "/student-progress",
                        "/ws/connect",
                        "/api/class/stream",
                        "/healthz",
                        "/readyz"
                    ]
                    .contains(&&**path),
                    "{path}"
                );
                continue;
            };
            for method in
                item.as_object().expect("methods").keys().filter(|key| *key != "parameters")
            {
                assert!(route.methods().contains(&method.to_uppercase()), "{method} {path}");
            }
        }
        for path in [
            "summary",
            "events",
            "cells",
            "activity",
            "export",
            "refused",
            "students/{student}/help/resolve",
        ] {
            assert!(paths.contains_key(&format!("/api/class/{path}")), "{path} is not described");
        }
        assert!(paths.contains_key("/api/classes") && paths.contains_key("/openapi.json"));
    }

    #[test]
    fn paths() {
        assert_eq!(
            Route::of("/api/class/students/a%2Fb/help/resolve"),
            Some(Route::Resolve("a%2Fb".to_owned()))
        );
        for path in [
            "/api/class/students//help/resolve",
            "/api/class/students/a/b/help/resolve",
            "/api",
            "/api/class",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
