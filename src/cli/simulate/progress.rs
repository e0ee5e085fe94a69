//! Messages during the run, on stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::run::Run;

/// How often the progress line is drawn.
const REDRAW: Duration = Duration::from_millis(200);
/// The width of the bar in characters.
const BAR: usize = 24;

/// Prints a line on stderr. A closed stderr is ignored.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The progress line, which is drawn until this is dropped. It is drawn only on a terminal.
pub(super) struct Progress(Option<AbortOnDropHandle<()>>);

impl Progress {
    /// Starts to draw. `begin` and `end` of the load are in nanoseconds since the run's start.
    pub(super) fn start(run: &Arc<Run>, begin: u64, end: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let run = Arc::clone(run);
        Self(Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut last = (run.now(), 0);
            loop {
                tokio::time::sleep(REDRAW).await;
                let (now, acknowledged) = (run.now(), run.ledger().acknowledged());
                let rate = (acknowledged - last.1) as f64 / (now - last.0) as f64 * 1e9;
                last = (now, acknowledged);
                let _ =
                    write!(io::stderr(), "\r\x1b[K{}", line(begin, now, end, acknowledged, rate));
            }
        }))))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(begin: u64, now: u64, end: u64, acknowledged: u64, rate: f64) -> String {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let (gone, all) = (now.saturating_sub(begin).min(end - begin), end - begin);
    let filled = (gone as f64 / all.max(1) as f64 * BAR as f64) as usize;
    format!(
        "[{}{}] {:.0} of {:.0} s, {acknowledged} events acknowledged, {rate:.0}/s",
        "#".repeat(filled),
        ".".repeat(BAR - filled),
        seconds(gone),
        seconds(all),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_and_does_not_overflow() {
        let second = 1_000_000_000;
        let half = line(second, 6 * second, 11 * second, 50, 10.0);
        assert_eq!(half, "[############............] 5 of 10 s, 50 events acknowledged, 10/s");
        assert!(
            line(second, 99 * second, 11 * second, 0, 0.0)
                .starts_with("[########################] 10 of")
        );
        assert!(line(0, 0, 0, 0, 0.0).contains("0 of 0 s"));
    }
}
