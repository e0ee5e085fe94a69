//! A realistic student. The student opens the notebook when the lesson begins, runs its cells one
//! after the other with time to think between them, fails, tries again, and raises a hand when
//! stuck.

use std::time::Duration;

use super::body::{Act, Occurrence};

/// All students open the notebook within this time.
const ARRIVAL: Duration = Duration::from_secs(2);
/// Runs a minute of the slowest and the fastest students. Measured figures are 10, and 20 at peak.
const SLOWEST: f64 = 2.0;
const FASTEST: f64 = 20.0;
/// How often the extension repeats a raised hand.
const HELP_REPEAT: Duration = Duration::from_secs(10);
/// The failures in a row on a cell after which a student may raise a hand, and how likely that is.
const STUCK: u32 = 3;
const ASKS: f64 = 0.5;
/// How likely a raised hand is taken down at each repeat. Help comes after half a minute on
/// average.
const HELPED: f64 = 0.3;
/// How likely the notebook is saved after a run.
const SAVES: f64 = 0.1;

#[derive(Debug)]
pub(super) struct Student {
    number: u32,
    /// The mean time between two runs, in seconds.
    pause: f64,
    /// The probability that a run fails.
    fails: f64,
    cell: u32,
    execution: u64,
    streak: u32,
    next: Act,
}

impl Student {
    /// A student with a random pace and a random rate of failures.
    pub(super) fn new(number: u32) -> Self {
        let runs_a_minute = SLOWEST * (FASTEST / SLOWEST).powf(fastrand::f64());
        Self {
            number,
            pause: 60.0 / runs_a_minute,
            fails: 0.05 + 0.3 * fastrand::f64().powi(2),
            cell: 0,
            execution: 0,
            streak: 0,
            next: Act::Opened,
        }
    }

    /// The time from the beginning of the lesson until the student opens the notebook.
    pub(super) fn arrival() -> Duration {
        ARRIVAL.mul_f64(fastrand::f64())
    }

    /// The student's next event, and the pause after it.
    pub(super) fn act(&mut self) -> (Occurrence, Duration) {
        let kind = self.next;
        if matches!(kind, Act::Run { .. }) {
            self.execution += 1;
        }
        let event =
            Occurrence { kind, student: self.number, cell: self.cell, execution: self.execution };
        let (next, pause) = match kind {
            Act::Run { failed: true } => {
                self.streak += 1;
                if self.streak >= STUCK && fastrand::f64() < ASKS {
                    (Act::Help, self.think(0.5))
                } else {
                    // Correcting an error takes less time than writing a new cell.
                    (self.attempt(), self.think(0.6))
                }
            }
            Act::Run { failed: false } => {
                self.streak = 0;
                self.cell += 1;
                if fastrand::f64() < SAVES {
                    (Act::Saved, self.think(0.2))
                } else {
                    (self.attempt(), self.think(1.1))
                }
            }
            Act::Help if fastrand::f64() < HELPED => {
                (Act::HelpStop, HELP_REPEAT.mul_f64(fastrand::f64()))
            }
            Act::Help => (Act::Help, HELP_REPEAT),
            Act::HelpStop => {
                self.streak = 0;
                (Act::Run { failed: false }, self.think(1.0))
            }
            Act::Opened | Act::Saved => (self.attempt(), self.think(1.0)),
        };
        self.next = next;
        (event, pause)
    }

    fn attempt(&self) -> Act {
        Act::Run { failed: fastrand::f64() < self.fails }
    }

    /// A random pause: a fixed third for reading, and an exponential time for thinking.
    fn think(&self, share: f64) -> Duration {
        let spread = 0.35 - 0.65 * (1.0 - fastrand::f64()).ln();
        Duration::from_secs_f64(self.pause * share * spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_runs_at_its_documented_pace() {
        fastrand::seed(1);
        let mut runs = Vec::new();
        let (mut failed, mut help, mut stops) = (0, 0, 0);
        for number in 0..500 {
            let mut student = Student::new(number);
            assert_eq!(student.next, Act::Opened);
            let (mut minutes, mut count) = (0.0, 0);
            while minutes < 45.0 {
                let (event, pause) = student.act();
                minutes += pause.as_secs_f64() / 60.0;
                match event.kind {
                    Act::Run { failed: wrong } => {
                        count += 1;
                        failed += u32::from(wrong);
                    }
                    Act::Help => help += 1,
                    Act::HelpStop => stops += 1,
                    Act::Opened | Act::Saved => {}
                }
            }
            runs.push(f64::from(count) / 45.0);
        }
        let mean = runs.iter().sum::<f64>() / 500.0;
        assert!((6.0..11.0).contains(&mean), "{mean} runs a minute");
        assert!(runs.iter().all(|&runs| (1.0..30.0).contains(&runs)), "{runs:?}");
        let share = f64::from(failed) / (mean * 500.0 * 45.0);
        assert!((0.08..0.25).contains(&share), "{share} fail");
        assert!(help > stops && stops > 100, "{help} {stops}");
    }
}
