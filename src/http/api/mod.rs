//! The reading API: the state and the events of a class, for dashboards and programs; and the acts
//! of an instructor. `openapi.json` is its description; a test of the router compares the two.

mod act;
mod audit;
mod class;
mod export;
mod history;
mod lessons;
mod me;
pub(super) mod outcome;
mod rejected;
mod request;
mod settings;

use std::pin::Pin;

use bytes::Buf;
use futures::Stream;
use http::Method;
use warp::Reply;
use warp::reply::Response;

use self::request::ApiRequest;
use super::context::Relay;
use super::ingest::body::{self, MaxBody};
use super::problem::Problem;
use super::query::Query;
use super::request::Request;
use crate::access::Caller;

/// The description of this API.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// The most bytes of settings: a roster and an outline.
const MAX_SETTINGS: MaxBody =
    MaxBody { bytes: 2 << 20, advice: "; leave out headings and titles of the outline's cells" };
/// The most bytes of any other body: a few words.
const MAX_ACT: MaxBody = MaxBody { bytes: 4 * 1024, advice: " here" };

/// An operation of the API.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Summary,
    Classes,
    /// Who calls.
    Me,
    Events,
    Cells,
    Activity,
    Export,
    Rejected,
    /// Who did what.
    Audit,
    Settings,
    ChangeSettings,
    Lessons,
    BeginLesson,
    /// An instructor looks at the class.
    View,
    /// A hand is lowered: that of the student whom the path names, as below.
    Resolve,
    /// An instructor is on the way.
    Claim,
    /// An instructor is not on the way any more.
    Release,
    /// The API's description.
    Description,
}

impl Operation {
    /// The most bytes of a request's body.
    fn max_body(self) -> MaxBody {
        match self {
            Self::ChangeSettings => MAX_SETTINGS,
            _ => MAX_ACT,
        }
    }
}

/// Answers a request; `parameter` is the path's.
pub(super) async fn answer<S, B>(
    relay: &Relay,
    operation: Operation,
    caller: &Caller,
    asked: (&Request, &str),
    body: Pin<&mut S>,
) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let (request, parameter) = asked;
    let patience = relay.limits.request_timeout;
    let reading = async {
        if request.method == Method::GET || request.method == Method::HEAD {
            return Ok(None);
        }
        let max = operation.max_body();
        let read = body::read(&request.headers, body, max, patience, &relay.bodies).await?;
        // An act without a body has no type that would matter.
        if !read.bytes.is_empty() {
            body::check_type(&request.headers)?;
        }
        Ok::<_, Problem>(Some(read))
    };
    // The body's part of the memory is held until the answer.
    let body = match reading.await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let query = Query::parse(&request.query);
    let body = body.as_ref().map_or(&[][..], |body| &body.bytes);
    let (headers, client) = (&request.headers, &request.client);
    let request = ApiRequest { relay, caller, headers, client, query, body };
    let answer = match operation {
        Operation::Summary => request.summary().await,
        Operation::Classes => request.classes().await,
        Operation::Me => request.me(),
        Operation::Events => request.events().await,
        Operation::Cells => request.cells().await,
        Operation::Activity => request.activity().await,
        Operation::Export => request.export().await,
        Operation::Rejected => request.rejected().await,
        Operation::Audit => request.audit().await,
        Operation::Settings => request.settings().await,
        Operation::ChangeSettings => request.change_settings().await,
        Operation::Lessons => request.lessons().await,
        Operation::BeginLesson => request.begin_lesson().await,
        Operation::View => request.viewing().await,
        Operation::Resolve => request.resolve(parameter).await,
        Operation::Claim => request.claim(parameter, true).await,
        Operation::Release => request.claim(parameter, false).await,
        Operation::Description => request.answer(OPENAPI.to_owned()).await,
    };
    answer.unwrap_or_else(Problem::into_response)
}
