//! A hand that is raised in a kernel: the class sees it, and the student sees that it was seen.

use std::time::Duration;

use serde_json::{Value, json};

use super::{reported, stored};
use crate::support::kernel::{Home, Kernel};
use crate::support::{Database, Issuer, PATIENCE, Relay, until};

/// Waits until the kernel shows a text in place of one that it has shown.
async fn updated(kernel: &mut Kernel, text: &str) -> Value {
    for _ in 0..600 {
        let outputs = kernel.outputs().await;
        assert!(
            outputs.iter().all(|output| output["type"] == "update_display_data"),
            "{outputs:?}"
        );
        let found = outputs.into_iter().find(|output| {
            output["data"]["text/plain"].as_str().is_some_and(|shown| shown == text)
        });
        if let Some(output) = found {
            return output;
        }
    }
    panic!("{text} was not shown");
}

/// The relay makes this event when an instructor says that they are on the way.
pub async fn claim(database: &Database, student: &str, by: &str) {
    let body = json!({
        "eventId": uuid::Uuid::new_v4().to_string(),
        "eventType": "help_claimed",
        "eventTime": "2026-11-26T10:00:00Z",
        "by": by,
    });
    let query = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
         VALUES (gen_random_uuid(), 'algebra', $1, now(), $2::text::json)";
    let client = database.client().await;
    client.execute(query, &[&student, &body.to_string()]).await.expect("an insert");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_student_sees_that_the_hand_was_seen() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let home = Home::new();
    let mut kernel = home.kernel(&relay.url.to_string(), &[]).await;
    kernel.run("'a run'").await;
    let outputs = kernel.run("%hand 問題3がわかりません").await;
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    let shown = "Your hand is up in class algebra. %hand_down takes it down.";
    assert_eq!(outputs[0]["data"]["text/plain"], shown);
    let display_id = outputs[0]["transient"]["display_id"].clone();
    let helps = until("the hand", || async {
        let helps = stored(&database, "help").await;
        (!helps.is_empty()).then_some(helps)
    })
    .await;
    assert_eq!(helps[0]["message"], "問題3がわかりません");
    assert_eq!(helps[0]["cellId"], "cell-1", "where the student is");

    // The stream of an open relay has everyone's events: those of others say nothing here. The
    // subscription may take a moment, so the claim is repeated.
    let seen = tokio::spawn(async move {
        let output = updated(&mut kernel, "Seen: Ito is on the way.").await;
        (kernel, output)
    });
    while !seen.is_finished() {
        claim(&database, "isaac", "Newton").await;
        claim(&database, "ada", "Ito").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (mut kernel, output) = seen.await.expect("it was seen");
    assert_eq!(output["transient"]["display_id"], display_id, "below the cell that asked");

    // Nothing of it is the student's run, and cells go on meanwhile.
    assert_eq!(kernel.run("'another run'").await.len(), 1);
    let mut connection = relay.connection().await;
    let path = "/api/class/students/ada/help/resolve?class=algebra";
    let answer = connection.post_json(path, String::new()).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    updated(&mut kernel, "Your hand was taken down: resolved.").await;

    // Up and down again, and down with the kernel. What was resolved is stopped too: else the relay
    // would take the next `help` for a repeat of the hand that is closed.
    kernel.run("%hand").await;
    let outputs = kernel.run("%hand_down").await;
    assert!(outputs.iter().any(|output| output["text"] == "Your hand is down.\n"), "{outputs:?}");
    kernel.run("%hand").await;
    kernel.shut_down().await;
    until("the hands to be down", || async {
        (stored(&database, "help_stop").await.len() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_who_the_student_is_and_a_refused_one_loses_nothing() {
    let database = Database::new().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let home = Home::new();
    let file = home.folder.join("token");
    std::fs::write(&file, "wrong").expect("a file");
    let token_file = file.display().to_string();
    let variables = [("RELAY_TOKEN_FILE", &*token_file), ("RELAY_USER", "somebody")];
    let mut kernel = home.kernel(&relay.url.to_string(), &variables).await;
    kernel.run("'with a wrong token'").await;
    let report = reported(&mut kernel, "the relay answered 401").await;
    assert!(report.contains("the credential is of RELAY_TOKEN_FILE"), "{report}");
    assert!(!report.contains("wrong"), "{report}");

    std::fs::write(&file, issuer.token("ada", "student", &["algebra"])).expect("a file");
    let rows = super::runs(&database, 1).await;
    assert_eq!((rows.len(), &rows[0]["code"]), (1, &json!("'with a wrong token'")));
    let client = database.client().await;
    let query = "SELECT DISTINCT student_id FROM progress_event";
    let students = client.query(query, &[]).await.expect("rows");
    assert_eq!((students.len(), students[0].get::<_, &str>(0)), (1, "ada"));
    reported(&mut kernel, "ada (RELAY_TOKEN_FILE)").await;

    // A student follows what concerns it, from where the own state ends.
    kernel.run("%hand").await;
    until("the hand", || async { (!stored(&database, "help").await.is_empty()).then_some(()) })
        .await;
    let resolve = format!(
        "/api/class/students/ada/help/resolve?class=algebra&token={}",
        issuer.token("ito", "instructor", &["algebra"])
    );
    // Only a hand that the client has seen can be seen to be gone.
    let shown = "import progress_relay; progress_relay._client.hand.is_shown";
    for _ in 0..PATIENCE.as_secs() * 10 {
        if kernel.run(shown).await[0]["data"]["text/plain"] == "True" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics = format!("/metrics?token={}", issuer.token("root", "operator", &[]));
    let mut connection = relay.connection().await;
    let answer = connection.get(&metrics).await.expect("metrics");
    assert!(String::from_utf8_lossy(&answer.body).contains("\nrelay_sessions 1\n"), "a stream");
    let answer = connection.post_json(&resolve, String::new()).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    updated(&mut kernel, "Your hand was taken down: resolved.").await;
    kernel.shut_down().await;
}
