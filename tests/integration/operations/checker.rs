//! The checker finds every fault that is put into a recorded history, and none in a clean one.

use std::time::Duration;

use serde_json::json;

use crate::support::checker::{
    AGREEMENT, Action, Actor, Afterwards, Position, Promise, Record, Report, State, ViolationKind,
    check,
};

const BEFORE: &str = "aaaaaaaaaaaa1";
const AFTER: &str = "aaaaaaaaaaaa2";
/// The number of events before the failover, and after it.
const HALF: i64 = 20;

/// A history made by hand. Its time advances by a millisecond per record.
struct Story {
    records: Vec<Record>,
}

impl Story {
    fn add(&mut self, actor: Actor, action: Action) {
        let at =
            self.records.last().map_or(Duration::ZERO, |last| last.at + Duration::from_millis(1));
        self.records.push(Record { at, actor, action });
    }

    /// Records that an event is sent, acknowledged, and delivered to every dashboard.
    fn event(&mut self, epoch: &str, id: i64, mark: i64) {
        let producer = Actor::Producer(0);
        self.add(producer, Action::Sent { mark });
        let position = Position::new(epoch, id);
        self.add(
            producer,
            Action::Answered { mark, status: 200, position: Some(position.clone()) },
        );
        for number in 0..3 {
            let events = vec![(id, mark)];
            self.add(
                Actor::Dashboard(number),
                Action::Progress { position: position.clone(), events },
            );
        }
    }
}

/// Three dashboards, 20 events, a failover that loses nothing, and 20 more events. Dashboard 1
/// reconnects once.
fn clean() -> (Vec<Record>, Afterwards) {
    let mut story = Story { records: Vec::new() };
    for number in 0..3 {
        let actor = Actor::Dashboard(number);
        story.add(actor, Action::Connected { to: "a".into(), from: None });
        story.add(actor, Action::Live { position: Position::new(BEFORE, 0) });
    }
    for id in 1..=HALF {
        story.event(BEFORE, id, 1000 + id);
        if id == 10 {
            let actor = Actor::Dashboard(1);
            story.add(actor, Action::Lost { why: "the relay went away".into() });
            story.add(
                actor,
                Action::Connected { to: "b".into(), from: Some(Position::new(BEFORE, id)) },
            );
            story.add(actor, Action::Live { position: Position::new(BEFORE, id) });
        }
    }
    story.add(Actor::Stage, Action::CauseBegins("failover".into()));
    story.add(Actor::Stage, Action::Reachable);
    story.add(Actor::Stage, Action::CauseEnds);
    for number in 0..3 {
        let position = Position::new(AFTER, HALF);
        story.add(Actor::Dashboard(number), Action::Reset { reason: "epoch".into(), position });
    }
    for id in HALF + 1..=2 * HALF {
        story.event(AFTER, id, 1000 + id);
    }
    let state = |of: &str| State {
        of: of.into(),
        position: Position::new(AFTER, 2 * HALF),
        value: json!({"students": [{"studentId": "s", "cellsExecuted": 40}]}),
    };
    let afterwards = Afterwards {
        epoch: AFTER.into(),
        rows: (1..=2 * HALF).map(|id| (id, 1000 + id)).collect(),
        expected: state("").value,
        states: vec![state("replica 0"), state("replica 1"), state("a fresh replica")],
        rebuild: Some((0, "no difference".into())),
    };
    (story.records, afterwards)
}

/// The first frame of a dashboard with this event.
fn frame(history: &[Record], dashboard: usize, wanted: i64) -> usize {
    let is_it = |record: &Record| {
        record.actor == Actor::Dashboard(dashboard)
            && matches!(record.action, Action::Progress { .. })
            && record.action.concerns(wanted)
    };
    history.iter().position(is_it).expect("a frame")
}

fn first(report: &Report) -> (ViolationKind, Actor, Option<i64>) {
    let first = report.violations.first().expect("something wrong");
    (first.kind, first.actor, first.mark)
}

#[test]
fn a_clean_history_passes() {
    let (history, afterwards) = clean();
    let report = check(&history, &afterwards, Promise::Durable);
    report.assert_clean(&history);
    assert_eq!((report.acknowledged, report.delivered, report.resets), (40, 40, 3));
    assert_eq!((report.lost_announced, report.again, report.gaps), (0, 0, 0));
    // The two records of a POST come before its first frame.
    let first_frames = report.recovered_frames.expect("frames after the end");
    assert!(report.recovered_posts.expect("a POST after the end") < first_frames);
}

#[test]
fn a_dropped_chunk_is_named() {
    let (mut history, afterwards) = clean();
    history.remove(frame(&history, 2, 1007));
    let report = check(&history, &afterwards, Promise::Durable);
    // The event is missing since its acknowledgement, and the gap shows with the next frame.
    assert_eq!(first(&report), (ViolationKind::LostSilently, Actor::Dashboard(2), Some(1007)));
    assert_eq!((report.gaps, report.lost_silently), (1, 1));
    let text = report.explain(&report.violations[0], &history);
    for part in ["7:1007", "is answered 200 for the event marked 1007", "8:1008", "dashboard 2"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_doubled_chunk_is_named() {
    let (mut history, afterwards) = clean();
    let index = frame(&history, 0, 1007);
    history.insert(index + 1, history[index].clone());
    let report = check(&history, &afterwards, Promise::Durable);
    let kinds: Vec<ViolationKind> =
        report.violations.iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, [ViolationKind::OutOfOrder, ViolationKind::Twice]);
    assert_eq!((report.twice, report.violations[1].mark), (1, Some(1007)));
}

/// The effect of a missing ordering lock: an id that commits late is passed, or comes late.
#[test]
fn ids_out_of_order_are_named() {
    let (mut history, afterwards) = clean();
    let (one, other) = (frame(&history, 0, 1007), frame(&history, 0, 1008));
    history.swap(one, other);
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (ViolationKind::OutOfOrder, Actor::Dashboard(0), Some(1007)));
}

/// An event that no dashboard received and whose answer had no cursor: only the table knows its id.
#[test]
fn an_event_that_only_the_table_has_is_a_gap() {
    let (mut history, mut afterwards) = clean();
    history.retain(|record| !record.action.concerns(1030));
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!((first(&report).0, report.gaps, report.lost_silently), (ViolationKind::Gap, 3, 0));
    // An id that no row ever had is no gap.
    afterwards.rows.retain(|(_, mark)| *mark != 1030);
    check(&history, &afterwards, Promise::Durable).assert_clean(&history);
}

#[test]
fn a_silent_gap_at_a_resume_is_named() {
    let (mut history, afterwards) = clean();
    // The dashboard resumed after event 10, and events 11 and 12 never come.
    for mark in [1011, 1012] {
        history.remove(frame(&history, 1, mark));
    }
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!((report.gaps, report.lost_silently), (2, 2));
    assert!(report.violations.iter().all(|violation| violation.actor == Actor::Dashboard(1)));
    // The same gap, passed by a mark.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 1, 1015);
    history[index].action = Action::Mark { position: Position::new(BEFORE, 15) };
    let report = check(&history, &afterwards, Promise::Durable);
    let gap = report.violations.iter().find(|violation| violation.kind == ViolationKind::Gap);
    assert_eq!(gap.and_then(|gap| gap.mark), Some(1015));
}

#[test]
fn a_stale_summary_is_named() {
    let (history, mut afterwards) = clean();
    afterwards.states[1].value["students"][0]["cellsExecuted"] = 39.into();
    let report = check(&history, &afterwards, Promise::Durable);
    let text = &report.violations[0].text;
    assert_eq!(
        (report.violations[0].kind, report.violations.len()),
        (ViolationKind::StateDiffers, 1)
    );
    assert!(text.contains("replica 1") && text.contains("/students/0/cellsExecuted"), "{text}");
    assert!(text.contains("40 expected, 39 found"), "{text}");

    let (history, mut afterwards) = clean();
    afterwards.states[2].position.id -= 1;
    let text = check(&history, &afterwards, Promise::Durable).violations[0].text.clone();
    assert!(text.contains("a fresh replica holds up to"), "{text}");

    let (history, mut afterwards) = clean();
    afterwards.rebuild = Some((1, "the snapshots of 1 of 1 classes".into()));
    assert_eq!(
        first(&check(&history, &afterwards, Promise::Durable)).0,
        ViolationKind::StateDiffers
    );
}

#[test]
fn an_acknowledged_row_that_is_gone_is_named() {
    let (history, mut afterwards) = clean();
    afterwards.rows.retain(|(_, mark)| *mark != 1025);
    let report = check(&history, &afterwards, Promise::Asynchronous);
    assert_eq!(first(&report), (ViolationKind::NotInTable, Actor::Stage, Some(1025)));
    assert_eq!((report.orphaned_silently, report.orphaned_announced), (1, 0));
    assert!(report.violations.iter().any(|violation| violation.kind == ViolationKind::Phantom));
}

/// The table lacks an event from before the failover. The resets announce it, but a database that
/// promised durability is at fault.
#[test]
fn an_announced_loss_is_told_from_a_silent_one() {
    let (mut history, mut afterwards) = clean();
    afterwards.rows.retain(|(_, mark)| *mark != 1020);
    for dashboard in 0..3 {
        history.remove(frame(&history, dashboard, 1020));
    }
    let report = check(&history, &afterwards, Promise::Asynchronous);
    report.assert_clean(&history);
    assert_eq!((report.orphaned_announced, report.lost_announced, report.delivered), (1, 3, 39));
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (ViolationKind::NotInTable, Actor::Stage, Some(1020)));
    // Without the reset of one dashboard the loss is silent.
    let is_reset = |record: &Record| matches!(record.action, Action::Reset { .. });
    let reset = history.iter().position(is_reset).expect("a reset");
    history.remove(reset);
    let report = check(&history, &afterwards, Promise::Asynchronous);
    assert_eq!((report.orphaned_silently, report.orphaned_announced), (1, 0));
    assert!(report.violations.iter().any(|violation| violation.kind == ViolationKind::MixedEpochs));
}

/// The table has the event and the reset passed over it: the loss is announced.
#[test]
fn an_event_that_a_reset_passes_over_is_announced() {
    let (mut history, afterwards) = clean();
    history.remove(frame(&history, 0, 1020));
    let report = check(&history, &afterwards, Promise::Durable);
    report.assert_clean(&history);
    assert_eq!((report.lost_announced, report.delivered), (1, 39));
}

/// An event was acknowledged on the server that was left behind, long after every dashboard had its
/// reset.
#[test]
fn an_orphan_that_goes_on_is_named() {
    let (mut history, afterwards) = clean();
    let last = history.last().expect("records").at;
    for (mark, after) in [(5000, AGREEMENT / 2), (5001, 2 * AGREEMENT)] {
        let producer = Actor::Producer(1);
        let at = last + after;
        history.push(Record { at, actor: producer, action: Action::Sent { mark } });
        let position = Some(Position::new(BEFORE, mark));
        history.push(Record {
            at,
            actor: producer,
            action: Action::Answered { mark, status: 200, position },
        });
    }
    let report = check(&history, &afterwards, Promise::Asynchronous);
    assert_eq!((report.orphaned_announced, report.orphaned_silently), (1, 1));
    assert_eq!((report.lost_announced, report.lost_silently), (3, 3));
    assert!(report.violations.iter().any(|violation| violation.kind == ViolationKind::Orphan));
    assert!(report.orphan_time > AGREEMENT);
}

#[test]
fn a_refusal_of_a_good_event_is_named() {
    let (mut history, afterwards) = clean();
    let answer = history.iter().position(|record| record.action.concerns(1003)).expect("a POST");
    let refusal = Action::Answered { mark: 9999, status: 422, position: None };
    history.insert(
        answer,
        Record { at: history[answer].at, actor: Actor::Producer(7), action: refusal },
    );
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (ViolationKind::Refused, Actor::Producer(7), Some(9999)));
}

#[test]
fn epochs_that_mix_are_named() {
    // A cursor of another epoch without a reset.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 0, 1012);
    let mixed = Action::Progress { position: Position::new(AFTER, 12), events: vec![(12, 1012)] };
    history[index].action = mixed;
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (ViolationKind::MixedEpochs, Actor::Dashboard(0), None));
    // Two dashboards see two events at one position.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 2, 1012);
    history[index].action =
        Action::Progress { position: Position::new(BEFORE, 12), events: vec![(12, 4444)] };
    let report = check(&history, &afterwards, Promise::Durable);
    assert!(report.violations.iter().any(|violation| {
        violation.kind == ViolationKind::MixedEpochs
            && violation.text.contains("is the event marked 4444 here")
    }));
    // A cursor that is not that of the last event.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 2, 1012);
    history[index].action =
        Action::Progress { position: Position::new(BEFORE, 13), events: vec![(12, 1012)] };
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (ViolationKind::MixedEpochs, Actor::Dashboard(2), None));
}

#[test]
fn a_repeat_under_another_epoch_is_counted_apart() {
    let (mut history, mut afterwards) = clean();
    // The old server took the event with it, and its producer sent it again.
    afterwards.rows.retain(|(_, mark)| *mark != 1020);
    afterwards.rows.push((2 * HALF + 1, 1020));
    let position = Position::new(AFTER, 2 * HALF + 1);
    for number in 0..3 {
        let at = history.last().expect("records").at;
        let action =
            Action::Progress { position: position.clone(), events: vec![(position.id, 1020)] };
        history.push(Record { at, actor: Actor::Dashboard(number), action });
    }
    for state in &mut afterwards.states {
        state.position = position.clone();
    }
    let report = check(&history, &afterwards, Promise::Durable);
    report.assert_clean(&history);
    assert_eq!((report.again, report.twice), (3, 0));
}

#[test]
fn a_dashboard_that_stays_behind_is_named() {
    let (mut history, afterwards) = clean();
    history.retain(|record| {
        record.actor != Actor::Dashboard(2)
            || !(1036..).take(5).any(|mark| record.action.concerns(mark))
    });
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (ViolationKind::Behind, Actor::Dashboard(2), Some(1036)));
    assert_eq!((report.gaps, report.lost_silently), (0, 5));
}

/// A dashboard is owed nothing that was sent before it was live.
#[test]
fn an_event_sent_before_a_dashboard_was_live_is_not_owed() {
    let (mut history, afterwards) = clean();
    let actor = Actor::Dashboard(3);
    let at = history.last().expect("records").at;
    history.push(Record { at, actor, action: Action::Connected { to: "a".into(), from: None } });
    history.push(Record {
        at,
        actor,
        action: Action::Live { position: Position::new(AFTER, 2 * HALF) },
    });
    let report = check(&history, &afterwards, Promise::Durable);
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

/// Another replica passed through an epoch that this dashboard never saw. The reset of this
/// dashboard announces the gap all the same.
#[test]
fn a_loss_in_an_epoch_between_is_announced() {
    let (mut history, afterwards) = clean();
    let ends =
        history.iter().position(|record| record.action == Action::CauseEnds).expect("an end");
    let (at, producer) = (history[ends].at, Actor::Producer(3));
    let position = Some(Position::new("bbbbbbbbbbbb2", 21));
    let answered = Action::Answered { mark: 6000, status: 200, position };
    history.insert(ends, Record { at, actor: producer, action: answered });
    history.insert(ends, Record { at, actor: producer, action: Action::Sent { mark: 6000 } });
    let report = check(&history, &afterwards, Promise::Asynchronous);
    report.assert_clean(&history);
    assert_eq!((report.orphaned_announced, report.lost_announced), (1, 3));
}
