//! The checker finds real faults in a real run: no ordering lock, a removed row, a stale snapshot.

use crate::support::checker::{Action, Promise, ViolationKind};
use crate::support::stage::{Cluster, DATABASE, Play, Scale};
use crate::support::until;

/// Stores a row of the play's class with SQL.
const INSERT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
     body) \
     VALUES (gen_random_uuid(), 'default', 's', now(), json_build_object('n', $1::bigint))";

async fn played(fault: impl AsyncFnOnce(&Cluster, &Play)) -> (Vec<ViolationKind>, String) {
    let primary = Cluster::primary("primary").await;
    let play = Play::begin("on purpose", Scale::SMALL, Promise::Durable, &primary.url()).await;
    fault(&primary, &play).await;
    let outcome = play.finish(&primary).await;
    let kinds: Vec<ViolationKind> =
        outcome.report.violations.iter().map(|violation| violation.kind).collect();
    let first = outcome.report.violations.first();
    let text =
        first.map(|first| outcome.report.explain(first, &outcome.history)).unwrap_or_default();
    println!("{text}");
    (kinds, text)
}

/// A transaction that took its id early commits late, after the dashboards have passed the id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ordering_lock_is_off() {
    let (kinds, text) = played(async |primary, play| {
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
    assert!(kinds.contains(&ViolationKind::Gap), "{kinds:?}");
    assert!(text.contains("without the event marked 7777777"), "{text}");
}

/// A superuser switches the triggers off and removes a row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_row_is_removed() {
    let (kinds, text) = played(async |primary, play| {
        let acknowledged = until("an acknowledged event", async || {
            play.look(|records| {
                records.iter().find_map(|record| match &record.action {
                    Action::Answered { mark, status: 200, .. } => Some(*mark),
                    _ => None,
                })
            })
        })
        .await;
        let sql = primary.session(DATABASE).await;
        // In one transaction: an insert between the steps would take no ordering lock and ring no
        // bell, which are other faults.
        for step in [
            "BEGIN; ALTER TABLE progress_event DISABLE TRIGGER ALL".to_owned(),
            format!("DELETE FROM progress_event WHERE (body ->> 'n')::bigint = {acknowledged}"),
            "DO $$ DECLARE name text; BEGIN \
               FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = \
               'progress_event'::regclass LOOP \
                 EXECUTE format('ALTER TABLE progress_event ENABLE ALWAYS TRIGGER %I', name); \
               END LOOP; END $$; COMMIT"
                .to_owned(),
        ] {
            sql.batch_execute(&step).await.expect("SQL");
        }
    })
    .await;
    assert!(
        kinds.contains(&ViolationKind::NotInTable) && kinds.contains(&ViolationKind::Phantom),
        "{kinds:?}"
    );
    assert!(kinds.contains(&ViolationKind::StateDiffers), "{kinds:?}");
    // The dashboard's frame or the producer's answer may be recorded first.
    assert!(text.starts_with("NotInTable") || text.starts_with("Phantom"), "{text}");
}

/// A snapshot counts an error that no event has: a fresh replica and `rebuild-state --check`
/// differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_stale() {
    let (kinds, text) = played(async |primary, play| {
        let sql = primary.session(DATABASE).await;
        // The event of a student who sends no other.
        let silent = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
             body) \
             VALUES (gen_random_uuid(), 'default', 'silent', now(), \
             '{\"eventType\": \"cell_executed\", \"n\": 8888888}')";
        sql.batch_execute(silent).await.expect("a row");
        let stale = "UPDATE student_state SET error_count = error_count + 1 WHERE student_id = \
             'silent'";
        until("a snapshot", async || (sql.execute(stale, &[]).await.ok()? == 1).then_some(()))
            .await;
        play.calm().await;
    })
    .await;
    assert!(
        kinds.iter().all(|kind| *kind == ViolationKind::StateDiffers) && kinds.len() >= 2,
        "{kinds:?}"
    );
    assert!(text.contains("errorCount: 0 expected, 1 found"), "{text}");
}
