//! The checker on a real run, with real faults put in on purpose: without the ordering lock, with
//! an acknowledged row removed, with a stale snapshot.

use std::time::Duration;

use crate::support::checker::{Kind, Promise, What};
use crate::support::stage::{Cluster, DATABASE, Play, Scale};
use crate::support::until;

/// A row by SQL, of the class that is played.
const INSERT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
     body) \
     VALUES (gen_random_uuid(), 'default', 's', now(), json_build_object('n', $1::bigint))";

async fn played(fault: impl AsyncFnOnce(&Cluster, &Play)) -> (Vec<Kind>, String) {
    let primary = Cluster::primary("primary").await;
    let play = Play::begin("on purpose", Scale::SMALL, Promise::Durable, &primary.url()).await;
    fault(&primary, &play).await;
    let outcome = play.finish(&primary).await;
    let kinds: Vec<Kind> =
        outcome.report.violations.iter().map(|violation| violation.kind).collect();
    let first = outcome.report.violations.first();
    let said =
        first.map(|first| outcome.report.explain(first, &outcome.history)).unwrap_or_default();
    println!("{said}");
    (kinds, said)
}

/// A transaction that took its id early commits late: the dashboards have passed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ordering_lock_is_off() {
    let (kinds, said) = played(async |primary, play| {
        let slow = primary.session(DATABASE).await;
        let off = "ALTER TABLE progress_event DISABLE TRIGGER progress_event_order";
        slow.batch_execute(off).await.expect("no lock");
        slow.batch_execute("BEGIN").await.expect("a transaction");
        slow.execute(INSERT, &[&7_777_777_i64]).await.expect("a row");
        play.calm().await;
        slow.batch_execute("COMMIT").await.expect("a commit");
        let on = "ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_order";
        slow.batch_execute(on).await.expect("the lock");
    })
    .await;
    assert!(kinds.contains(&Kind::Gap), "{kinds:?}");
    assert!(said.contains("without the event marked 7777777"), "{said}");
}

/// Removed as nobody may: by a superuser who has switched the triggers off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_row_is_removed() {
    let (kinds, said) = played(async |primary, play| {
        let acknowledged = until("an acknowledged event", async || {
            play.look(|records| {
                records.iter().find_map(|record| match &record.what {
                    What::Answered { mark, status: 200, .. } => Some(*mark),
                    _ => None,
                })
            })
        })
        .await;
        let sql = primary.session(DATABASE).await;
        for step in [
            "ALTER TABLE progress_event DISABLE TRIGGER ALL".to_owned(),
            format!("DELETE FROM progress_event WHERE (body ->> 'n')::bigint = {acknowledged}"),
            "DO $$ DECLARE name text; BEGIN \
               FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = \
               'progress_event'::regclass LOOP \
                 EXECUTE format('ALTER TABLE progress_event ENABLE ALWAYS TRIGGER %I', name); \
               END LOOP; END $$"
                .to_owned(),
        ] {
            sql.batch_execute(&step).await.expect("SQL");
        }
    })
    .await;
    assert!(kinds.contains(&Kind::NotInTable) && kinds.contains(&Kind::Phantom), "{kinds:?}");
    assert!(kinds.contains(&Kind::StateDiffers), "{kinds:?}");
    // Whichever was recorded first: the dashboard's frame, or the producer's answer.
    assert!(said.starts_with("NotInTable") || said.starts_with("Phantom"), "{said}");
}

/// A snapshot that counts what never was: a fresh replica and `rebuild-state --check` differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_stale() {
    let (kinds, said) = played(async |primary, play| {
        let sql = primary.session(DATABASE).await;
        // Of a student of whom nothing comes any more.
        let silent = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
             body) \
             VALUES (gen_random_uuid(), 'default', 'silent', now(), \
             '{\"eventType\": \"cell_executed\", \"n\": 8888888}')";
        sql.batch_execute(silent).await.expect("a row");
        let stale = "UPDATE student_state SET error_count = error_count + 1 WHERE student_id = \
             'silent'";
        until("a snapshot", async || (sql.execute(stale, &[]).await.ok()? == 1).then_some(()))
            .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        play.calm().await;
    })
    .await;
    assert!(kinds.iter().all(|kind| *kind == Kind::StateDiffers) && kinds.len() >= 2, "{kinds:?}");
    assert!(said.contains("errorCount: 0 expected, 1 found"), "{said}");
}
