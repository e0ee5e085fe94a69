//! Judges the events and dashboards after the history was read: gaps, losses, the table, the state.

use std::collections::HashMap;
use std::sync::Arc;

use super::dashboard::AnnouncedGap;
use super::{AGREEMENT, Action, Actor, Checker, LATE, Position, Promise, ViolationKind, report};

impl Checker<'_> {
    /// Compares the ids in the table with those in frames: within its epoch the table is right.
    pub(super) fn find_contradictions(&mut self) {
        let end = self.history.len();
        for (id, mark) in &self.afterwards.rows {
            let position = Position::new(&self.afterwards.epoch, *id);
            let index = self.known.get(&position).map_or(end, |(_, index)| *index);
            self.know(position, *mark, index, Actor::Stage);
        }
    }

    pub(super) fn find_phantoms(&mut self) {
        let end = self.history.len();
        let table: HashMap<i64, i64> = self.afterwards.rows.iter().copied().collect();
        for (number, dashboard) in std::mem::take(&mut self.dashboards) {
            let mut phantoms: Vec<_> = dashboard.got.iter().collect();
            phantoms.retain(|(position, _)| {
                *position.epoch == *self.afterwards.epoch && !table.contains_key(&position.id)
            });
            phantoms.sort();
            for (position, mark) in phantoms {
                let index = self.known.get(position).map_or(end, |(_, index)| *index);
                let text = format!(
                    "the event marked {mark} was delivered as {position}, where the table has none"
                );
                self.violation(
                    index,
                    ViolationKind::Phantom,
                    Actor::Dashboard(number),
                    Some(*mark),
                    text,
                );
            }
            self.dashboards.insert(number, dashboard);
        }
    }

    pub(super) fn find_gaps(&mut self) {
        let mut found = Vec::new();
        for (number, dashboard) in &self.dashboards {
            for step in &dashboard.steps {
                let position = |id| Position { epoch: Arc::clone(&step.epoch), id };
                let (first, last) =
                    (position(step.after.saturating_add(1)), position(step.through));
                if first > last {
                    continue;
                }
                for (position, (mark, _)) in self.known.range(first..=last) {
                    if !dashboard.got.contains_key(position) {
                        let (after, through) = (step.after, step.through);
                        let text = format!(
                            "the cursor went from {after} to {through} without the event marked \
                                 {mark} at {position}"
                        );
                        found.push((step.index, Actor::Dashboard(*number), *mark, text));
                    }
                }
            }
        }
        self.report.gaps = found.len();
        for (index, actor, mark, text) in found {
            self.violation(index, ViolationKind::Gap, actor, Some(mark), text);
        }
    }

    pub(super) fn find_losses(&mut self) {
        let end = self.history.len();
        let mut found = Vec::new();
        for (mark, event) in &self.events {
            let (Some((index, first)), Some(sent)) = (event.acknowledged, event.sent) else {
                continue;
            };
            for (number, dashboard) in &self.dashboards {
                if dashboard.positions.contains_key(mark)
                    || dashboard.began.is_none_or(|began| began > sent)
                {
                    continue;
                }
                let announced = dashboard.announced_gaps.iter().any(|gap| {
                    let in_time = first <= gap.at + AGREEMENT || gap.went_over(&event.positions);
                    in_time && gap.covers(&event.positions)
                });
                if announced {
                    self.report.lost_announced += 1;
                    continue;
                }
                let behind = dashboard.position.as_ref().is_some_and(|position| {
                    *position.epoch == *self.afterwards.epoch
                        && event
                            .positions
                            .iter()
                            .any(|at| at.epoch == position.epoch && at.id > position.id)
                });
                let actor = Actor::Dashboard(*number);
                found.push(match behind {
                    true => (
                        end,
                        ViolationKind::Behind,
                        actor,
                        *mark,
                        "at its end it had not come so far".to_owned(),
                    ),
                    false => (
                        index,
                        ViolationKind::LostSilently,
                        actor,
                        *mark,
                        "it never came, without a word".to_owned(),
                    ),
                });
            }
        }
        for (index, kind, actor, mark, text) in found {
            self.report.lost_silently += 1;
            let text = format!("the event marked {mark} was acknowledged: {text}");
            self.violation(index, kind, actor, Some(mark), text);
        }
    }

    pub(super) fn look_at_table(&mut self) {
        let end = self.history.len();
        let mut seen = HashMap::new();
        for (id, mark) in &self.afterwards.rows {
            if let Some(other) = seen.insert(*mark, *id) {
                let text =
                    format!("the event marked {mark} is in the table twice, as {other} and {id}");
                self.report.twice += 1;
                self.violation(end, ViolationKind::Twice, Actor::Stage, Some(*mark), text);
            }
        }
        let reachable = self
            .history
            .iter()
            .find(|record| record.action == Action::Reachable)
            .map(|record| record.at);
        let mut missing = Vec::new();
        for (mark, event) in &self.events {
            let Some((index, first)) = event.acknowledged else { continue };
            self.report.acknowledged += 1;
            if event.in_table {
                continue;
            }
            let left = |gap: &AnnouncedGap| {
                gap.changes_epoch()
                    && first <= gap.at + AGREEMENT
                    && event.positions.iter().all(|position| position.epoch != gap.to.epoch)
            };
            let announced = !self.dashboards.is_empty()
                && self
                    .dashboards
                    .values()
                    .all(|dashboard| dashboard.announced_gaps.iter().any(left));
            missing.push((index, *mark, announced, event.last_acknowledged));
        }
        for (index, mark, announced, last) in missing {
            match announced {
                true => self.report.orphaned_announced += 1,
                false => self.report.orphaned_silently += 1,
            }
            if let Some(late) = reachable.and_then(|reachable| last.checked_sub(reachable)) {
                self.report.orphan_time = self.report.orphan_time.max(late);
            }
            let text = format!("the event marked {mark} was acknowledged and is not in the table");
            if !announced {
                self.violation(index, ViolationKind::NotInTable, Actor::Stage, Some(mark), text);
            } else if self.promise == Promise::Durable {
                let text = format!("{text}; it was announced, but the database promised more");
                self.violation(index, ViolationKind::NotInTable, Actor::Stage, Some(mark), text);
            }
        }
        if self.report.orphan_time > AGREEMENT + LATE {
            let late = self.report.orphan_time;
            let text = format!(
                "{late:?} after a primary was reachable, an event was acknowledged elsewhere"
            );
            self.violation(end, ViolationKind::Orphan, Actor::Stage, None, text);
        }
        self.report.delivered = self
            .events
            .iter()
            .filter(|(mark, event)| {
                event.acknowledged.is_some()
                    && self
                        .dashboards
                        .values()
                        .all(|dashboard| dashboard.positions.contains_key(mark))
            })
            .count();
    }

    pub(super) fn look_at_state(&mut self) {
        let (afterwards, end) = (self.afterwards, self.history.len());
        let last = afterwards.rows.last().map_or(0, |(id, _)| *id);
        for state in &afterwards.states {
            let of = &state.of;
            if *state.position.epoch != *afterwards.epoch || state.position.id < last {
                let (epoch, at) = (&afterwards.epoch, &state.position);
                let text = format!(
                    "the summary of {of} holds up to {at}, and the table goes to {epoch}.{last}"
                );
                self.violation(end, ViolationKind::StateDiffers, Actor::Stage, None, text);
            }
            if let Some(difference) = report::difference(&afterwards.expected, &state.value) {
                let text = format!("the summary of {of} is not what the table makes: {difference}");
                self.violation(end, ViolationKind::StateDiffers, Actor::Stage, None, text);
            }
        }
        if let Some((code, output)) = &afterwards.rebuild
            && *code != 0
        {
            let text = format!("rebuild-state --check ends with {code}: {}", output.trim());
            self.violation(end, ViolationKind::StateDiffers, Actor::Stage, None, text);
        }
    }
}
