//! Two credentials in one request: one of them counts, and a wrong one is never replaced by a right
//! one of another way.

use bytes::Bytes;
use progress_relay::client::query;
use tokio::io::AsyncWriteExt;

use super::subscriptions::{begin_socket, until_live};
use super::{Scene, Way};
use crate::support::masked;

const PATH: &str = "/api/class/cells?class=algebra";

struct Credentials<'a> {
    authorization: &'a [String],
    query: &'a [&'a str],
    cookie: Option<String>,
}

async fn status(scene: &Scene, credentials: &Credentials<'_>) -> u16 {
    let Credentials { authorization, query: tokens, cookie } = credentials;
    let target = format!("{PATH}&{}", query(tokens.iter().map(|&token| ("token", token))));
    let mut headers: Vec<_> =
        authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    headers.extend(cookie.as_ref().map(|cookie| ("cookie", cookie.as_str())));
    let mut connection = scene.relay.connection().await;
    let answer = connection.request("GET", &target, &headers, Bytes::new()).await;
    answer.expect("an answer").status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_credential_is_not_replaced_by_a_right_one() {
    let scene = Scene::new().await;
    let (good, wrong) = (scene.caller("instructor"), scene.caller("wrong signature"));
    let student = scene.caller("student");
    let of = |token: &Option<String>| token.clone().expect("a credential");
    let (good, session, wrong, student) =
        (of(&good.token), of(&good.session), of(&wrong.token), of(&student.token));
    let bearer = |token: &str| format!("Bearer {token}");
    let cookie = |value: &str| Some(format!("progress-relay={value}"));
    let two = format!("progress-relay=x.y.z; progress-relay={session}");
    for (what, authorization, query, cookie, expected) in [
        ("a wrong header, a right URL", vec![bearer(&wrong)], vec![&*good], None, 401),
        ("a wrong header, a right cookie", vec![bearer(&wrong)], vec![], cookie(&session), 401),
        ("a right header, a wrong URL", vec![bearer(&good)], vec![&*wrong], None, 200),
        ("a right header, a wrong cookie", vec![bearer(&good)], vec![], cookie("x.y.z"), 200),
        ("a wrong URL, a right cookie", vec![], vec![&*wrong], cookie(&session), 401),
        ("an empty URL, a right cookie", vec![], vec![""], cookie(&session), 401),
        ("a right URL, a wrong cookie", vec![], vec![&*good], cookie("x.y.z"), 200),
        ("two tokens, the first one wrong", vec![], vec![&*wrong, &*good], None, 401),
        ("two headers, both right", vec![bearer(&good), bearer(&good)], vec![], None, 401),
        ("a header of another scheme", vec!["Basic eDp5".to_owned()], vec![&*good], None, 401),
        ("a scheme without a token", vec!["Bearer ".to_owned()], vec![], cookie(&session), 401),
        ("two tokens in a header", vec![format!("Bearer {good} {good}")], vec![], None, 401),
        ("two cookies, the first one wrong", vec![], vec![], Some(two), 401),
        ("a student, with an instructor's cookie", vec![], vec![&*student], cookie(&session), 403),
        ("a token as a cookie", vec![], vec![], cookie(&good), 401),
        ("a session as a token", vec![bearer(&session)], vec![], None, 401),
    ] {
        let credentials = Credentials { authorization: &authorization, query: &query, cookie };
        assert_eq!(status(&scene, &credentials).await, expected, "{what}");
    }
}

/// Who has opened a socket is its caller: a first message does not make another of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_changes_nothing_of_a_caller_that_is_known() {
    let scene = Scene::new().await;
    let operator = scene.caller("operator").token.clone().expect("a token");
    let message = serde_json::json!({"type": "auth", "token": operator}).to_string();
    for (name, query, expected) in [
        ("writer", "?class=algebra", Err("unauthorized")),
        ("student", "?class=physics", Err("class")),
        ("wrong signature", "?class=algebra", Err("unauthorized")),
        ("instructor", "?class=physics", Err("class")),
        ("instructor", "?class=algebra", Ok(())),
    ] {
        for way in [Way::Bearer, Way::Query, Way::Cookie] {
            let mut socket = begin_socket(&scene.relay, way, scene.caller(name), query).await;
            // It may be closed already.
            let _ = socket.write_all(&masked(message.as_bytes())).await;
            let came = until_live(&mut socket).await;
            match (came, expected) {
                (Ok(_), Ok(())) => {}
                (Err(reason), Err(word)) => assert!(reason.starts_with(word), "{name}: {reason}"),
                (came, _) => panic!("{name} by {way:?}: {came:?}"),
            }
        }
    }
}
