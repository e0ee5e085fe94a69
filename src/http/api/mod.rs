//! The reading API: the state and the events of a class, for dashboards and programs; and the acts
//! of an instructor. `openapi.json` is its description; a test of the router compares the two.

mod audit;
mod class;
mod export;
mod history;
mod me;
mod rejected;
mod request;
mod resolve;

use warp::Reply;
use warp::reply::Response;

use self::request::ApiRequest;
use super::context::Relay;
use super::problem::Problem;
use super::query::Query;
use super::request::Request;
use crate::access::Caller;

/// The description of this API.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

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
    /// Of the student that the path names.
    Resolve,
    /// The API's description.
    Description,
}

/// Answers a request; `parameter` is the path's.
pub(super) async fn answer(
    relay: &Relay,
    operation: Operation,
    caller: &Caller,
    request: &Request,
    parameter: &str,
) -> Response {
    let query = Query::parse(&request.query);
    let request =
        ApiRequest { relay, caller, headers: &request.headers, client: &request.client, query };
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
        Operation::Resolve => request.resolve(parameter).await,
        Operation::Description => request.answer(OPENAPI.to_owned()).await,
    };
    answer.unwrap_or_else(Problem::into_response)
}
