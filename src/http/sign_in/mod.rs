//! How a browser signs in: a page takes a token, or the code of a one-time link, and the browser
//! gets a cookie in return.
//!
//! - `page`: the page, in English and Japanese, which works without JavaScript too
//! - `form`: the body of `POST /sign-in`
//! - `next`: the address to which a browser goes afterwards; it never leaves the relay
//! - `cookie`: the cookie's attributes
//! - `hub`: through JupyterHub, for its users
//!
//! Each sign-in begins a new session, whatever cookie the browser had: so nobody can plant a
//! session that becomes somebody's. The gate has checked that the form is on the relay's own page,
//! since a form on another page would sign a browser in as somebody else. A link's code is in the
//! fragment of its URL, which no browser sends; the page puts it into the form when the button is
//! pressed.

mod cookie;
mod form;
mod hub;
mod next;
mod page;

use std::pin::Pin;

use bytes::Buf;
use futures::Stream;
use http::{HeaderValue, StatusCode, header};
use warp::Reply;
use warp::reply::Response;

use self::form::{Form, Proof};
pub(super) use self::hub::{HubStep, answer as hub};
use super::audit::note_step;
use super::context::Relay;
use super::gate::caller::{cookie as cookie_value, denied};
use super::problem::Problem;
use super::query::Query;
use super::request::Request;
use crate::access::{Caller, Credential, Denial, LINK_LIFETIME, Right, Sessions};
use crate::audit::Action;
use crate::event::ObjectWriter;

/// A step of signing in or out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Shows the page.
    Page,
    /// Takes the form.
    SignIn,
    /// Makes a one-time link.
    Link,
    /// Ends the browser's session.
    SignOut,
}

/// Answers a request.
pub(super) async fn answer<S, B>(
    relay: &Relay,
    step: Step,
    caller: &Caller,
    request: &Request,
    body: Pin<&mut S>,
) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    // Without a source of callers there is nobody to sign in as.
    let Some(sessions) = relay.gate.access().sessions() else { return see_other(next::HOME) };
    let answer = match step {
        Step::Page => {
            let query = Query::parse(&request.query);
            Ok(page::show(
                relay,
                request,
                &next::path(query.first("next"), relay.base_path.as_str()),
                None,
            ))
        }
        Step::SignIn => sign_in(relay, sessions, request, body).await,
        Step::Link => link(relay, sessions, request, caller).await,
        Step::SignOut => Ok(sign_out(relay, request).await),
    };
    let mut response = answer.unwrap_or_else(Problem::into_response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn sign_in<S, B>(
    relay: &Relay,
    sessions: &Sessions,
    request: &Request,
    body: Pin<&mut S>,
) -> Result<Response, Problem>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let form = Form::read(relay, request, body).await?;
    let next = next::path(form.next.as_deref(), relay.base_path.as_str());
    let proved = prove(relay, sessions, request, &form.proof).await;
    if let (Ok(caller), Proof::Code(_)) = (&proved, &form.proof) {
        note_step(relay, Action::LinkUsed, request, caller, "link");
    }
    let signed_in = match proved {
        Ok(caller) if caller.role.has(Right::Browse) => {
            let token = match &form.proof {
                Proof::Token(token) => Some(Credential::Token(token.clone())),
                Proof::Code(_) => None,
            };
            begin(relay, sessions, request, (&caller, token.as_ref()), &next).await
        }
        Ok(caller) => Err(Problem::forbidden(&format!(
            "the credential is for role {}; the dashboard is for instructors and operators",
            caller.role
        ))),
        Err(problem) => Err(problem),
    };
    match signed_in {
        // A person gets the page again, and a program the problem.
        Err(problem) if form.is_of_a_page => Ok(page::show(relay, request, &next, Some(&problem))),
        answer => answer,
    }
}

/// Who signs in.
async fn prove(
    relay: &Relay,
    sessions: &Sessions,
    request: &Request,
    proof: &Proof,
) -> Result<Caller, Problem> {
    let gate = &relay.gate;
    match proof {
        Proof::Token(token) => {
            let token = Credential::Token(token.clone());
            let caller = gate.sign_in(request, &token, gate.access().resolve(Some(&token))).await?;
            Ok((*caller).clone())
        }
        // Codes can be guessed at as tokens can, and each look asks the database.
        Proof::Code(code) => {
            let guess = Credential::Token(code.clone());
            gate.sign_in(request, &guess, sessions.take_link(code)).await
        }
    }
}

/// Begins a session of this caller, and sends the browser on to `next`.
pub(in crate::http) async fn begin(
    relay: &Relay,
    sessions: &Sessions,
    request: &Request,
    (caller, credential): (&Caller, Option<&Credential>),
    next: &str,
) -> Result<Response, Problem> {
    let session = relay.gate.access().begin_session(sessions, caller, credential).await;
    let session = session.map_err(|denial| denied(&denial))?;
    // Since a one-time link was made, its caller's credential may have been revoked.
    let credential = Credential::Session(session.value.clone());
    let known = relay.gate.access().resolve(Some(&credential)).await;
    known.map_err(|denial| denied(&denial))?;
    tracing::info!(subject = caller.subject, role = %caller.role, "signed in");
    note_step(relay, Action::SignedIn, request, caller, credential.source());
    let mut response = see_other(next);
    cookie::set(relay, request, &session.value, session.lifetime, response.headers_mut());
    Ok(response)
}

async fn link(
    relay: &Relay,
    sessions: &Sessions,
    request: &Request,
    caller: &Caller,
) -> Result<Response, Problem> {
    let code = sessions.new_link(caller).await.map_err(|denial| denied(&denial))?;
    note_step(relay, Action::LinkMade, request, caller, "session");
    let body = ObjectWriter::object(|object| {
        object.text("path", &format!("sign-in#{code}"));
        object.json("validForSeconds", LINK_LIFETIME.as_secs());
    });
    let mut response = Response::new(body.into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

async fn sign_out(relay: &Relay, request: &Request) -> Response {
    if let Ok(Some(session)) = cookie_value(request) {
        let session = Credential::Session(session.to_owned());
        match relay.gate.access().sign_out(&session).await {
            Ok(caller) => note_step(relay, Action::SignedOut, request, &caller, session.source()),
            Err(denial @ Denial::Unavailable { .. }) => {
                tracing::warn!(
                    "a browser signs out: its cookie is removed, but its session goes on until its \
                     end for whoever has a copy, since it cannot be ended now: {denial}"
                );
            }
            // It was no session, or had ended.
            Err(_) => {}
        }
    }
    let mut response = see_other(next::SIGN_IN);
    cookie::clear(relay, request, response.headers_mut());
    response
}

/// Sends a browser to `path`, by GET.
fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // `next::path` leaves nothing that a header cannot hold.
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(next::HOME));
    response.headers_mut().insert(header::LOCATION, path);
    response
}
