//! A request of the API, and its parameters.

use http::{HeaderMap, header};
use warp::reply::Response;

use crate::access::Caller;
use crate::database::PageError;
use crate::event::{ClassId, EventId, IdError, StudentId};
use crate::http::context::Relay;
use crate::http::gate::caller::own_student;
use crate::http::gate::client::Client;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::representation::Representation;
use crate::state::{FoundLesson, LoadError};

/// How long a client is told to wait before it asks once more.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// A request of the API.
pub(super) struct ApiRequest<'a> {
    pub(super) relay: &'a Relay,
    /// Who asks; the gate has compared its rights with the classes of the URL.
    pub(super) caller: &'a Caller,
    pub(super) headers: &'a HeaderMap,
    /// Who sent the request, and how.
    pub(super) client: &'a Client,
    pub(super) query: Query<'a>,
    /// Empty where the method has none.
    pub(super) body: &'a [u8],
}

impl ApiRequest<'_> {
    /// The class that the request is about.
    pub(super) fn class(&self) -> Result<ClassId, Problem> {
        self.once("class")?;
        let class = self.query.first("class").map_or_else(|| Ok(ClassId::default()), ClassId::new);
        class.map_err(|error| Problem::bad_parameter("class", &error.to_string()))
    }

    /// The student about whom the answer is, `None` for all: a student reads about itself, and no
    /// others. `wanted` is the name that the URL has.
    pub(super) async fn own_or(
        &self,
        class: &ClassId,
        wanted: Option<&str>,
    ) -> Result<Option<StudentId>, Problem> {
        let Some(own) = own_student(self.caller)? else {
            return match wanted {
                Some(wanted) => self.student(class, wanted).await.map(Some),
                None => Ok(None),
            };
        };
        let is_own = |wanted| match StudentId::of_client(wanted) {
            Ok(wanted) => Ok(wanted == own),
            Err(error) => Err(bad_student(error)),
        };
        if wanted.map_or(Ok(true), is_own)? {
            return Ok(Some(own));
        }
        Err(Problem::forbidden("a student reads its own events and state"))
    }

    /// The student of this name. A client may spell it as it posts it: `Ann@School.example` is
    /// stored as `ann@school.example`. SQL may have stored any spelling; that one goes first.
    pub(super) async fn student(&self, class: &ClassId, name: &str) -> Result<StudentId, Problem> {
        let as_spelled = StudentId::new(name).map_err(bad_student)?;
        let as_posted = match StudentId::of_client(name) {
            Ok(as_posted) if as_posted != as_spelled => as_posted,
            _ => return Ok(as_spelled),
        };
        self.caught_up().await;
        let classes = &self.relay.classes;
        let is_known =
            classes.read(class, |state, _, _| state.student(as_spelled.as_str()).is_some());
        Ok(if is_known.await? { as_spelled } else { as_posted })
    }

    /// The lesson that the request is about; `None` if it names none.
    pub(super) async fn lesson(&self, class: &ClassId) -> Result<Option<FoundLesson>, Problem> {
        let Some(first) = self.number("lesson", 1, i64::MAX)? else { return Ok(None) };
        // Another replica may just have begun it.
        self.caught_up().await;
        let found = self.relay.classes.lesson(class, EventId(first)).await?;
        found.map(Some).ok_or_else(Problem::no_lesson)
    }

    /// The same, if that lesson has ended.
    pub(super) async fn earlier_lesson(
        &self,
        class: &ClassId,
    ) -> Result<Option<FoundLesson>, Problem> {
        Ok(self.lesson(class).await?.filter(FoundLesson::has_ended))
    }

    /// A parameter that may be given once.
    pub(super) fn once(&self, name: &str) -> Result<Option<&str>, Problem> {
        if self.query.all(name).nth(1).is_some() {
            return Err(Problem::bad_parameter(name, "may be given once"));
        }
        Ok(self.query.first(name))
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Problem> {
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

    /// Answers with a body whose ETag covers all of it.
    pub(super) async fn answer(&self, body: String) -> Result<Response, Problem> {
        Representation::json(body).answer(self.headers, &self.relay.answers).await
    }

    /// Answers a request that has changed something. `version` is what it has made, if that is
    /// known. What the client has already (`If-None-Match`) is no reason to leave the answer out.
    pub(super) async fn answer_act(
        &self,
        body: String,
        version: Option<&str>,
    ) -> Result<Response, Problem> {
        let body = match version {
            Some(version) => Representation::versioned(body, version),
            None => Representation::json(body),
        };
        let mut headers = self.headers.clone();
        headers.remove(header::IF_NONE_MATCH);
        body.answer(&headers, &self.relay.answers).await
    }

    /// Answers with an object with `now`, the database's time.
    pub(super) async fn answer_stamped(&self, object: &str) -> Result<Response, Problem> {
        let now = self.relay.classes.now().to_rfc3339();
        Representation::stamped(object, &now).answer(self.headers, &self.relay.answers).await
    }
}

fn bad_student(error: IdError) -> Problem {
    Problem::bad_parameter("student", &error.to_string())
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        if let LoadError::NoRoom = error {
            return Self::unavailable(
                "no-memory-for-classes",
                "too many classes are in use at once",
                format!("{error}; ask again"),
                RETRY_AFTER,
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

/// What an answer needs cannot be read, for now.
pub(super) fn unread(detail: &str) -> Problem {
    Problem::unavailable(
        "not-readable-now",
        "the database cannot be read now",
        format!("{detail}; ask again"),
        RETRY_AFTER,
    )
}
