//! Reads the history record by record into the checker's events and dashboards.

use std::sync::Arc;

use super::dashboard::{AnnouncedGap, Dashboard, Step};
use super::{Action, Actor, Checker, Position, Record, ViolationKind};

impl Checker<'_> {
    pub(super) fn read_history(&mut self) {
        let history = self.history;
        for (index, record) in history.iter().enumerate() {
            match record.actor {
                Actor::Stage => {}
                Actor::Producer(_) => self.producer(index, record),
                Actor::Dashboard(number) => {
                    // Removed for a moment, because `self` is borrowed as well.
                    let mut dashboard = self.dashboards.remove(&number).unwrap_or_default();
                    self.dashboard(index, record, &mut dashboard);
                    self.dashboards.insert(number, dashboard);
                }
            }
        }
    }

    fn producer(&mut self, index: usize, record: &Record) {
        match &record.action {
            Action::Sent { mark } => {
                self.events.entry(*mark).or_default().sent.get_or_insert(index);
            }
            Action::Answered { mark, status: 200..=299, position } => {
                let event = self.events.entry(*mark).or_default();
                event.acknowledged.get_or_insert((index, record.at));
                event.last_acknowledged = record.at;
                if let Some(position) = position {
                    self.know(position.clone(), *mark, index, record.actor);
                }
            }
            Action::Answered { mark, status: status @ 300..=499, .. } => {
                self.report.refused += 1;
                let text = format!(
                    "the event marked {mark} is good, and was answered {status}: clients drop it"
                );
                self.violation(index, ViolationKind::Refused, record.actor, Some(*mark), text);
            }
            Action::GaveUp { .. } => self.report.given_up += 1,
            _ => {}
        }
    }

    fn dashboard(&mut self, index: usize, record: &Record, dashboard: &mut Dashboard) {
        let actor = record.actor;
        match &record.action {
            Action::Connected { from, .. } if *from != dashboard.position => {
                let name_of = |position: &Option<Position>| {
                    position.as_ref().map_or("none".into(), Position::to_string)
                };
                let (asked, has) = (name_of(from), name_of(&dashboard.position));
                let text = format!("it resumes by cursor {asked}, and its last one is {has}");
                self.violation(index, ViolationKind::Harness, actor, None, text);
            }
            Action::Live { position } => {
                dashboard.began.get_or_insert(index);
                self.advance(index, actor, dashboard, position, "live");
            }
            Action::Mark { position } => self.advance(index, actor, dashboard, position, "mark"),
            Action::Reset { position, .. } => {
                self.report.resets += 1;
                let from = dashboard.position.replace(position.clone());
                dashboard.announced_gaps.push(AnnouncedGap {
                    at: record.at,
                    from,
                    to: position.clone(),
                });
            }
            Action::Progress { position, events } => {
                let mut last = dashboard.position.clone();
                for (id, mark) in events {
                    let here = Position { epoch: Arc::clone(&position.epoch), id: *id };
                    if let Some(before) = last.as_ref().filter(|last| last.epoch == here.epoch)
                        && *id <= before.id
                    {
                        let text =
                            format!("the event marked {mark} has id {id} and comes after {before}");
                        self.violation(index, ViolationKind::OutOfOrder, actor, Some(*mark), text);
                    }
                    last = Some(here.clone());
                    self.received(index, actor, dashboard, here, *mark);
                }
                if events.last().is_none_or(|(id, _)| *id != position.id) {
                    let text =
                        format!("the cursor {position} is not that of the frame's last event");
                    self.violation(index, ViolationKind::MixedEpochs, actor, None, text);
                }
                // A dashboard without an earlier cursor is owed nothing before the first event.
                if dashboard.position.is_none() {
                    let first = events.first().map_or(position.id, |(id, _)| id - 1);
                    dashboard.position =
                        Some(Position { epoch: Arc::clone(&position.epoch), id: first });
                }
                self.advance(index, actor, dashboard, position, "progress");
            }
            _ => {}
        }
    }

    fn received(
        &mut self,
        index: usize,
        actor: Actor,
        dashboard: &mut Dashboard,
        position: Position,
        mark: i64,
    ) {
        let before = dashboard.positions.entry(mark).or_default();
        if let Some(same) = before.iter().find(|other| other.epoch == position.epoch) {
            let text = format!(
                "the event marked {mark} came as {same} before, and comes again as {position}"
            );
            self.report.twice += 1;
            self.violation(index, ViolationKind::Twice, actor, Some(mark), text);
        } else if !before.is_empty() {
            self.report.again += 1;
        }
        before.push(position.clone());
        dashboard.got.insert(position.clone(), mark);
        self.know(position, mark, index, actor);
    }

    /// Moves the dashboard's cursor by a frame that is no reset.
    fn advance(
        &mut self,
        index: usize,
        actor: Actor,
        dashboard: &mut Dashboard,
        to: &Position,
        frame: &str,
    ) {
        if let Some(from) = &dashboard.position {
            if from.epoch != to.epoch {
                let text =
                    format!("a {frame} goes from {from} to {to}, another epoch, without a reset");
                self.violation(index, ViolationKind::MixedEpochs, actor, None, text);
            } else if to.id < from.id {
                let text = format!("a {frame} goes back from {from} to {to}");
                self.violation(index, ViolationKind::OutOfOrder, actor, None, text);
            } else {
                let (epoch, after) = (Arc::clone(&to.epoch), from.id);
                dashboard.steps.push(Step { index, epoch, after, through: to.id });
            }
        }
        dashboard.position = Some(to.clone());
    }
}
