//! The sign-in page. It holds both languages: the browser's first one shows without JavaScript, and
//! with it the one that was chosen on the dashboard.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::form_urlencoded;
use warp::reply::Response;

use crate::http::context::Relay;
use crate::http::gate::caller::cookie;
use crate::http::problem::Problem;
use crate::http::request::Request;

const TEMPLATE: &str = include_str!("page.html");

/// The page may run scripts and use styles of this relay, and send its form there.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Why signing in failed, for a person, in English and Japanese.
const UNKNOWN: [&str; 2] = [
    "This token is not one of this relay’s. Copy all of it, and try again.",
    "このトークンは使えません。全体をコピーして、もう一度お試しください。",
];
const EXPIRED: [&str; 2] = [
    "This token has expired. Ask for a new one.",
    "このトークンは期限切れです。新しいトークンを発行してもらってください。",
];
const FORBIDDEN: [&str; 2] = [
    "This token is good, but not for the dashboard: it takes an instructor’s or an operator’s.",
    "このトークンではダッシュボードを開けません。講師または管理者のトークンが必要です。",
];
const NOT_AN_INSTRUCTOR: [&str; 2] = [
    "Your account of JupyterHub is in no instructors’ group. Ask the person who runs the hub.",
    "お使いのJupyterHubアカウントは講師のグループに入っていません。管理者にお問い合わせください。",
];
const FAILED: [&str; 2] = [
    "Signing in through JupyterHub has not worked, or took too long. Try again.",
    "JupyterHubでのサインインに失敗したか、時間がかかりすぎました。もう一度お試しください。",
];
/// The browser's cookies are at fault: whatever token follows, signing in would not work.
const TWO_COOKIES: [&str; 2] = [
    "Another site of this domain has set a cookie of this relay’s name. Delete this site’s cookies \
     in the browser, then sign in.",
    "同じドメインの別のサイトが、このリレーと同じ名前のCookieを設定しました。\
     ブラウザーでこのサイトのCookieを削除してから、サインインしてください。",
];
/// The way to the hub.
const HUB: [&str; 2] = ["Sign in with JupyterHub", "JupyterHubでサインイン"];
const AWAY: [&str; 2] = [
    "Signing in is not possible at the moment. Try again shortly.",
    "現在サインインできません。しばらくしてからもう一度お試しください。",
];

/// Shows the page, whose form leads to `next`; with what went wrong the last time.
pub(super) fn show(
    relay: &Relay,
    request: &Request,
    next: &str,
    problem: Option<&Problem>,
) -> Response {
    let planted = cookie(request).is_err().then_some(TWO_COOKIES);
    let error = problem.map(words).or(planted).map(|[en, ja]| {
        format!(
            "<p class=\"sign-in-error\" role=\"alert\"><span lang=\"en\">{en}</span>\
             <span lang=\"ja\">{ja}</span></p>"
        )
    });
    let html = TEMPLATE
        .replace("{{language}}", language(&request.headers))
        .replace("{{error}}", error.as_deref().unwrap_or_default())
        .replace("{{hub}}", &hub_link(relay, next))
        .replace("{{next}}", &escaped(next));
    let mut response = Response::new(html.into());
    *response.status_mut() = problem.map_or(StatusCode::OK, Problem::status);
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::VARY, "Accept-Language");
    // With `no-referrer` a browser would send the form with `Origin: null`.
    set(header::REFERRER_POLICY, "same-origin");
    response
}

/// The way to the hub, if there is one. A browser resolves it below the relay's own path.
fn hub_link(relay: &Relay, next: &str) -> String {
    if relay.gate.access().hub().is_none() {
        return String::new();
    }
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let [en, ja] = HUB;
    format!(
        "<a class=\"primary-button sign-in-hub\" href=\"sign-in/hub?next={next}\">\
         <span lang=\"en\">{en}</span><span lang=\"ja\">{ja}</span></a>"
    )
}

fn words(problem: &Problem) -> [&'static str; 2] {
    match (problem.name(), problem.status()) {
        ("expired", _) => EXPIRED,
        ("forbidden", _) => FORBIDDEN,
        ("not-an-instructor", _) => NOT_AN_INSTRUCTOR,
        ("sign-in-failed", _) => FAILED,
        (_, StatusCode::SERVICE_UNAVAILABLE) => AWAY,
        _ => UNKNOWN,
    }
}

/// The first language that the browser asks for and the page speaks.
fn language(headers: &HeaderMap) -> &'static str {
    let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let mut tags = wanted.unwrap_or_default().split(',').map(|tag| tag.trim().get(..2));
    let known = tags.find_map(|tag| ["en", "ja"].into_iter().find(|known| tag == Some(known)));
    known.unwrap_or("en")
}

/// Text for an attribute of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&#39;")
}
