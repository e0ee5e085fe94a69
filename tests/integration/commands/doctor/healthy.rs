//! A deployment that is in order, and one that is in use.

use super::fixture::{Installation, doctor};
use crate::support::{Follower, Relay, data_folder, event, run, until};

/// With a relay and without one, on a private PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_database_is_in_order() {
    let folder = data_folder();
    let folder = folder.to_str().expect("UTF-8");
    let nothing = run(&["doctor", "--data-dir", folder], &[]).await;
    assert_eq!(nothing.code, Some(1), "{}", nothing.stdout);
    assert!(nothing.stderr.contains("serve"), "{}", nothing.stderr);
    assert!(!std::path::Path::new(folder).exists(), "it creates nothing");

    let relay = Relay::serve(&["--data-dir", folder]).await;
    let url = relay.url.to_string();
    let beside = doctor(&["--data-dir", folder, "--url", &url]).await;
    assert_eq!((beside.code, beside.with("wrong")), (Some(0), vec![]));
    assert!(beside.what("replicas", "right").contains("connected relays: 1"));
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
    drop(relay);
    let alone = doctor(&["--data-dir", folder]).await;
    assert_eq!((alone.code, alone.with("wrong")), (Some(0), vec![]));
    assert_eq!(alone.with("remark"), ["replicas"]);
}

/// Every check of the table has a finding, in its order, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_check_is_right_where_everything_is() {
    let installation = Installation::new().await;
    let url = &*installation.url;
    let relay = Relay::serve(&["--database-url", url]).await;
    let flags = ["--database-url", url, "--listen-url", url, "--url", &relay.url.to_string()];
    let examined = doctor(&flags).await;
    assert_eq!((examined.code, examined.with("wrong")), (Some(0), vec![]));
    let code = include_str!("../../../../src/doctor/checks.rs");
    let missing: Vec<_> =
        examined.checks().into_iter().filter(|id| !code.contains(&format!("\"{id}\""))).collect();
    assert!(missing.is_empty() && examined.checks().len() > 30, "{:?}", examined.checks());

    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%doctor'";
    let client = installation.client().await;
    until("the sessions to end", async || {
        let row = client.query_one(left, &[]).await.expect("an answer");
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let events: i64 = client
        .query_one("SELECT count(*) FROM progress_event", &[])
        .await
        .expect("an answer")
        .get(0);
    assert_eq!(events, 0, "the trial's event was undone");
    assert!(!relay.log().contains("WARN"), "{}", relay.log());
}

/// Beside a relay that is in use, no event is lost, and no dashboard is reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_disturb_a_relay() {
    let installation = Installation::new().await;
    let relay = Relay::serve(&["--database-url", &installation.url]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    follower.until_live().await;
    let posts = async {
        for n in 1..=200 {
            assert_eq!(relay.post(&event(n)).await["accepted"], 1);
        }
    };
    let runs = async {
        for _ in 0..3 {
            let examined = doctor(&["--database-url", &installation.url]).await;
            assert_eq!(examined.with("wrong"), [""; 0]);
        }
    };
    tokio::join!(posts, runs);
    follower.until_mark(200).await;
    let expected: Vec<i64> = (1..=200).collect();
    assert_eq!(follower.marks(), expected);
}

/// The lines for people, and wrong usage.
#[tokio::test]
async fn lines_are_for_people() {
    let installation = Installation::new().await;
    let url = format!("{} password=hunter2", installation.url);
    installation.sql("ALTER SEQUENCE progress_event_id_seq CACHE 20").await;
    let finished = run(&["doctor", "--database-url", &url], &[]).await;
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let mut lines = finished.stdout.lines();
    let wrong = lines.find(|line| line.starts_with("WRONG")).expect("a line");
    assert!(wrong.contains("  sequence ") && wrong.contains("CACHE 20"), "{wrong}");
    let to_do = lines.next().expect("a line").trim();
    assert_eq!(to_do, "ALTER SEQUENCE public.progress_event_id_seq CACHE 1;");
    let summary = finished.stdout.lines().last().expect("a line");
    assert!(summary.starts_with("wrong: 1, "), "{summary}");
    for text in [&finished.stdout, &finished.stderr] {
        assert!(!text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
    }
    // It is ready to paste.
    installation.sql(to_do).await;
    let examined = doctor(&["--database-url", &url]).await;
    assert_eq!(examined.with("wrong"), [""; 0]);

    for flags in [
        &["--unknown"][..],
        &["--url", "nowhere"],
        &["--database-url", "postgres://a/b?sslmode=maybe"],
    ] {
        let finished = run(&[&["doctor"], flags].concat(), &[]).await;
        assert_eq!(finished.code, Some(2), "{flags:?}: {}", finished.stderr);
    }
}
