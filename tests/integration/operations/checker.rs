//! The checker itself: a clean history passes, and each fault put in on purpose is named.

use std::time::Duration;

use serde_json::json;

use crate::support::checker::{
    AGREEMENT, Afterwards, Kind, Place, Promise, Record, Report, State, What, Who, check,
};

const BEFORE: &str = "aaaaaaaaaaaa1";
const AFTER: &str = "aaaaaaaaaaaa2";
/// Events before the failover and after it.
const HALF: i64 = 20;

/// A history made by hand: its time goes on by a millisecond a record.
struct Story {
    records: Vec<Record>,
}

impl Story {
    fn add(&mut self, who: Who, what: What) {
        let at =
            self.records.last().map_or(Duration::ZERO, |last| last.at + Duration::from_millis(1));
        self.records.push(Record { at, who, what });
    }

    /// An event is sent, acknowledged, and delivered to every dashboard.
    fn event(&mut self, epoch: &str, id: i64, mark: i64) {
        let producer = Who::Producer(0);
        self.add(producer, What::Sent { mark });
        let place = Place::new(epoch, id);
        self.add(producer, What::Answered { mark, status: 200, place: Some(place.clone()) });
        for number in 0..3 {
            let events = vec![(id, mark)];
            self.add(Who::Dashboard(number), What::Progress { place: place.clone(), events });
        }
    }
}

/// Three dashboards; 20 events, a failover that loses nothing, 20 more. Dashboard 1 comes back
/// once.
fn clean() -> (Vec<Record>, Afterwards) {
    let mut story = Story { records: Vec::new() };
    for number in 0..3 {
        let who = Who::Dashboard(number);
        story.add(who, What::Connected { to: "a".into(), from: None });
        story.add(who, What::Live { place: Place::new(BEFORE, 0) });
    }
    for id in 1..=HALF {
        story.event(BEFORE, id, 1000 + id);
        if id == 10 {
            let who = Who::Dashboard(1);
            story.add(who, What::Lost { why: "the relay went away".into() });
            story.add(who, What::Connected { to: "b".into(), from: Some(Place::new(BEFORE, id)) });
            story.add(who, What::Live { place: Place::new(BEFORE, id) });
        }
    }
    story.add(Who::Stage, What::CauseBegins("failover".into()));
    story.add(Who::Stage, What::Reachable);
    story.add(Who::Stage, What::CauseEnds);
    for number in 0..3 {
        let place = Place::new(AFTER, HALF);
        story.add(Who::Dashboard(number), What::Reset { reason: "epoch".into(), place });
    }
    for id in HALF + 1..=2 * HALF {
        story.event(AFTER, id, 1000 + id);
    }
    let state = |of: &str| State {
        of: of.into(),
        place: Place::new(AFTER, 2 * HALF),
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

/// The first frame of a dashboard that has this event.
fn frame(history: &[Record], dashboard: usize, wanted: i64) -> usize {
    let is_it = |record: &Record| {
        record.who == Who::Dashboard(dashboard)
            && matches!(record.what, What::Progress { .. })
            && record.what.concerns(wanted)
    };
    history.iter().position(is_it).expect("a frame")
}

fn first(report: &Report) -> (Kind, Who, Option<i64>) {
    let first = report.violations.first().expect("something wrong");
    (first.kind, first.who, first.mark)
}

#[test]
fn a_clean_history_passes() {
    let (history, afterwards) = clean();
    let report = check(&history, &afterwards, Promise::Durable);
    report.assert_clean(&history);
    assert_eq!((report.acknowledged, report.delivered, report.resets), (40, 40, 3));
    assert_eq!((report.lost_announced, report.again, report.gaps), (0, 0, 0));
    // A POST's two records come before its first frame.
    let first_frames = report.recovered_frames.expect("frames after the end");
    assert!(report.recovered_posts.expect("a POST after the end") < first_frames);
}

#[test]
fn a_dropped_chunk_is_named() {
    let (mut history, afterwards) = clean();
    history.remove(frame(&history, 2, 1007));
    let report = check(&history, &afterwards, Promise::Durable);
    // It is missing since its acknowledgement; the gap shows with the next frame.
    assert_eq!(first(&report), (Kind::LostSilently, Who::Dashboard(2), Some(1007)));
    assert_eq!((report.gaps, report.lost_silently), (1, 1));
    let said = report.explain(&report.violations[0], &history);
    for part in ["7:1007", "is answered 200 for the event marked 1007", "8:1008", "dashboard 2"] {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
}

#[test]
fn a_doubled_chunk_is_named() {
    let (mut history, afterwards) = clean();
    let index = frame(&history, 0, 1007);
    history.insert(index + 1, history[index].clone());
    let report = check(&history, &afterwards, Promise::Durable);
    let kinds: Vec<Kind> = report.violations.iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, [Kind::OutOfOrder, Kind::Twice]);
    assert_eq!((report.twice, report.violations[1].mark), (1, Some(1007)));
}

/// What an ordering lock that is off looks like: an id that commits late is passed, or comes late.
#[test]
fn ids_out_of_order_are_named() {
    let (mut history, afterwards) = clean();
    let (one, other) = (frame(&history, 0, 1007), frame(&history, 0, 1008));
    history.swap(one, other);
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (Kind::OutOfOrder, Who::Dashboard(0), Some(1007)));
}

/// An event that nobody else got and that no answer gave a cursor for: the table alone knows it.
#[test]
fn an_event_that_only_the_table_has_is_a_gap() {
    let (mut history, mut afterwards) = clean();
    history.retain(|record| !record.what.concerns(1030));
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!((first(&report).0, report.gaps, report.lost_silently), (Kind::Gap, 3, 0));
    // A hole that no row ever filled is none.
    afterwards.rows.retain(|(_, mark)| *mark != 1030);
    check(&history, &afterwards, Promise::Durable).assert_clean(&history);
}

#[test]
fn a_silent_gap_at_a_resume_is_named() {
    let (mut history, afterwards) = clean();
    // It resumed after event 10; events 11 and 12 never come.
    for mark in [1011, 1012] {
        history.remove(frame(&history, 1, mark));
    }
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!((report.gaps, report.lost_silently), (2, 2));
    assert!(report.violations.iter().all(|violation| violation.who == Who::Dashboard(1)));
    // The same gap, passed by a mark.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 1, 1015);
    history[index].what = What::Mark { place: Place::new(BEFORE, 15) };
    let report = check(&history, &afterwards, Promise::Durable);
    let gap = report.violations.iter().find(|violation| violation.kind == Kind::Gap);
    assert_eq!(gap.and_then(|gap| gap.mark), Some(1015));
}

#[test]
fn a_stale_summary_is_named() {
    let (history, mut afterwards) = clean();
    afterwards.states[1].value["students"][0]["cellsExecuted"] = 39.into();
    let report = check(&history, &afterwards, Promise::Durable);
    let text = &report.violations[0].text;
    assert_eq!((report.violations[0].kind, report.violations.len()), (Kind::StateDiffers, 1));
    assert!(text.contains("replica 1") && text.contains("/students/0/cellsExecuted"), "{text}");
    assert!(text.contains("40 expected, 39 found"), "{text}");

    let (history, mut afterwards) = clean();
    afterwards.states[2].place.id -= 1;
    let text = check(&history, &afterwards, Promise::Durable).violations[0].text.clone();
    assert!(text.contains("a fresh replica holds up to"), "{text}");

    let (history, mut afterwards) = clean();
    afterwards.rebuild = Some((1, "the snapshots of 1 of 1 classes".into()));
    assert_eq!(first(&check(&history, &afterwards, Promise::Durable)).0, Kind::StateDiffers);
}

#[test]
fn an_acknowledged_row_that_is_gone_is_named() {
    let (history, mut afterwards) = clean();
    afterwards.rows.retain(|(_, mark)| *mark != 1025);
    let report = check(&history, &afterwards, Promise::Asynchronous);
    assert_eq!(first(&report), (Kind::NotInTable, Who::Stage, Some(1025)));
    assert_eq!((report.orphaned_silently, report.orphaned_announced), (1, 0));
    assert!(report.violations.iter().any(|violation| violation.kind == Kind::Phantom));
}

/// One of before the failover: the resets announce it, and a database that promised more is at
/// fault.
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
    assert_eq!(first(&report), (Kind::NotInTable, Who::Stage, Some(1020)));
    // Without the reset of one of them it is silent.
    let is_reset = |record: &Record| matches!(record.what, What::Reset { .. });
    let reset = history.iter().position(is_reset).expect("a reset");
    history.remove(reset);
    let report = check(&history, &afterwards, Promise::Asynchronous);
    assert_eq!((report.orphaned_silently, report.orphaned_announced), (1, 0));
    assert!(report.violations.iter().any(|violation| violation.kind == Kind::MixedEpochs));
}

/// The table has it, the reset went over it: announced.
#[test]
fn what_a_reset_goes_over_is_announced() {
    let (mut history, afterwards) = clean();
    history.remove(frame(&history, 0, 1020));
    let report = check(&history, &afterwards, Promise::Durable);
    report.assert_clean(&history);
    assert_eq!((report.lost_announced, report.delivered), (1, 39));
}

/// Acknowledged on the server that was left behind, long after everyone had been told.
#[test]
fn an_orphan_that_goes_on_is_named() {
    let (mut history, afterwards) = clean();
    let last = history.last().expect("records").at;
    for (mark, after) in [(5000, AGREEMENT / 2), (5001, 2 * AGREEMENT)] {
        let producer = Who::Producer(1);
        let at = last + after;
        history.push(Record { at, who: producer, what: What::Sent { mark } });
        let place = Some(Place::new(BEFORE, mark));
        history.push(Record {
            at,
            who: producer,
            what: What::Answered { mark, status: 200, place },
        });
    }
    let report = check(&history, &afterwards, Promise::Asynchronous);
    assert_eq!((report.orphaned_announced, report.orphaned_silently), (1, 1));
    assert_eq!((report.lost_announced, report.lost_silently), (3, 3));
    assert!(report.violations.iter().any(|violation| violation.kind == Kind::Orphan));
    assert!(report.orphan_time > AGREEMENT);
}

#[test]
fn a_refusal_of_a_good_event_is_named() {
    let (mut history, afterwards) = clean();
    let answer = history.iter().position(|record| record.what.concerns(1003)).expect("a POST");
    let refusal = What::Answered { mark: 9999, status: 422, place: None };
    history.insert(answer, Record { at: history[answer].at, who: Who::Producer(7), what: refusal });
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (Kind::Refused, Who::Producer(7), Some(9999)));
}

#[test]
fn epochs_that_mix_are_named() {
    // A cursor of another epoch without a reset.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 0, 1012);
    let mixed = What::Progress { place: Place::new(AFTER, 12), events: vec![(12, 1012)] };
    history[index].what = mixed;
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (Kind::MixedEpochs, Who::Dashboard(0), None));
    // Two dashboards see two events in one place.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 2, 1012);
    history[index].what =
        What::Progress { place: Place::new(BEFORE, 12), events: vec![(12, 4444)] };
    let report = check(&history, &afterwards, Promise::Durable);
    assert!(report.violations.iter().any(|violation| {
        violation.kind == Kind::MixedEpochs
            && violation.text.contains("is the event marked 4444 here")
    }));
    // A cursor that is not the last event's.
    let (mut history, afterwards) = clean();
    let index = frame(&history, 2, 1012);
    history[index].what =
        What::Progress { place: Place::new(BEFORE, 13), events: vec![(12, 1012)] };
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (Kind::MixedEpochs, Who::Dashboard(2), None));
}

#[test]
fn a_repeat_under_another_epoch_is_counted_apart() {
    let (mut history, mut afterwards) = clean();
    // The event was lost with the old server, and its producer sent it again.
    afterwards.rows.retain(|(_, mark)| *mark != 1020);
    afterwards.rows.push((2 * HALF + 1, 1020));
    let place = Place::new(AFTER, 2 * HALF + 1);
    for number in 0..3 {
        let at = history.last().expect("records").at;
        let what = What::Progress { place: place.clone(), events: vec![(place.id, 1020)] };
        history.push(Record { at, who: Who::Dashboard(number), what });
    }
    for state in &mut afterwards.states {
        state.place = place.clone();
    }
    let report = check(&history, &afterwards, Promise::Durable);
    report.assert_clean(&history);
    assert_eq!((report.again, report.twice), (3, 0));
}

#[test]
fn a_dashboard_that_stays_behind_is_named() {
    let (mut history, afterwards) = clean();
    history.retain(|record| {
        record.who != Who::Dashboard(2) || !(1036..).take(5).any(|mark| record.what.concerns(mark))
    });
    let report = check(&history, &afterwards, Promise::Durable);
    assert_eq!(first(&report), (Kind::Behind, Who::Dashboard(2), Some(1036)));
    assert_eq!((report.gaps, report.lost_silently), (0, 5));
}

/// A dashboard is owed nothing that was sent before it was live.
#[test]
fn what_was_sent_before_a_dashboard_came_is_not_owed() {
    let (mut history, afterwards) = clean();
    let who = Who::Dashboard(3);
    let at = history.last().expect("records").at;
    history.push(Record { at, who, what: What::Connected { to: "a".into(), from: None } });
    history.push(Record { at, who, what: What::Live { place: Place::new(AFTER, 2 * HALF) } });
    let report = check(&history, &afterwards, Promise::Durable);
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

/// Another replica went through an epoch that this dashboard never saw: its reset tells it all the
/// same.
#[test]
fn a_loss_in_an_epoch_between_is_announced() {
    let (mut history, afterwards) = clean();
    let ends = history.iter().position(|record| record.what == What::CauseEnds).expect("an end");
    let (at, producer) = (history[ends].at, Who::Producer(3));
    let place = Some(Place::new("bbbbbbbbbbbb2", 21));
    let answered = What::Answered { mark: 6000, status: 200, place };
    history.insert(ends, Record { at, who: producer, what: answered });
    history.insert(ends, Record { at, who: producer, what: What::Sent { mark: 6000 } });
    let report = check(&history, &afterwards, Promise::Asynchronous);
    report.assert_clean(&history);
    assert_eq!((report.orphaned_announced, report.lost_announced), (1, 3));
}
