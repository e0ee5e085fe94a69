//! The findings, as lines for people or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use super::checks::{CHECKS, Check};
use super::finding::{Finding, UNTRIED, Verdict};

/// The width of the column with the ids.
const ID_WIDTH: usize = 21;

/// Everything that was found.
#[derive(Debug)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

/// How many findings have each verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Summary {
    right: usize,
    remark: usize,
    wrong: usize,
    unknown: usize,
}

impl Report {
    /// The findings, in the order of the table, and of the URLs for each check.
    pub(super) fn of(mut findings: Vec<Finding>) -> Self {
        let place = |check: Check| CHECKS.iter().position(|row| row.check == check);
        findings.sort_by_key(|finding| place(finding.check));
        Self { findings }
    }

    /// Whether anything is wrong.
    pub(crate) fn is_wrong(&self) -> bool {
        self.summary().wrong > 0
    }

    fn summary(&self) -> Summary {
        let count = |verdict| self.findings.iter().filter(|f| f.verdict == verdict).count();
        Summary {
            right: count(Verdict::Right),
            remark: count(Verdict::Remark),
            wrong: count(Verdict::Wrong),
            unknown: count(Verdict::Unknown),
        }
    }

    /// The lines for people, with colour if asked for. Checks that were not tried for the same
    /// reason have one line.
    pub(crate) fn text(&self, colour: bool) -> String {
        let several = self.findings.iter().any(|finding| finding.about != self.findings[0].about);
        let mut text = String::new();
        let mut untried: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for finding in &self.findings {
            if let Some(reason) = finding.what.strip_prefix(UNTRIED) {
                *untried.entry((&finding.about, reason)).or_default() += 1;
                continue;
            }
            let about = if several { format!("{}: ", finding.about) } else { String::new() };
            let id = finding.check.id();
            let label = label(finding.verdict, colour);
            let _ = writeln!(text, "{label}  {id:ID_WIDTH$}  {about}{}", finding.what);
            for line in finding.to_do.iter().flat_map(|to_do| to_do.lines()) {
                let _ = writeln!(text, "{:8}{:ID_WIDTH$}    {line}", "", "");
            }
        }
        for ((about, reason), count) in untried {
            let label = label(Verdict::Unknown, colour);
            let checks = format!("{count} not tried");
            let about = if several { format!("{about}: ") } else { String::new() };
            let _ = writeln!(text, "{label}  {checks:ID_WIDTH$}  {about}{reason}");
        }
        let Summary { right, remark, wrong, unknown } = self.summary();
        let _ = write!(
            text,
            "wrong: {wrong}, remarks: {remark}, right: {right}, not tried or not visible: {unknown}"
        );
        text
    }

    /// The findings and a summary, as a JSON object.
    pub(crate) fn json(&self) -> String {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                let Finding { check, about, verdict, what, to_do } = finding;
                let row = check.row();
                json!({
                    "check": row.id, "tries": row.tries, "about": about, "verdict": verdict,
                    "what": what, "to_do": to_do,
                })
            })
            .collect();
        json!({"findings": findings, "summary": self.summary()}).to_string()
    }
}

/// A verdict in six columns.
fn label(verdict: Verdict, colour: bool) -> String {
    let (word, code) = match verdict {
        Verdict::Right => ("ok    ", "32"),
        Verdict::Remark => ("remark", "33"),
        Verdict::Wrong => ("WRONG ", "1;31"),
        Verdict::Unknown => ("?     ", "2"),
    };
    if colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::Scope;
    use crate::doctor::finding::Notes;

    #[test]
    fn every_check_has_one_row() {
        for row in CHECKS {
            assert_eq!(row.check.id(), row.id);
            assert!(row.id.len() <= ID_WIDTH, "{} is wider than its column", row.id);
            let same = CHECKS.iter().filter(|other| other.check == row.check || other.id == row.id);
            assert_eq!(same.count(), 1, "{}", row.id);
        }
        assert_eq!(Check::RelayClock as usize + 1, CHECKS.len(), "a check without a row");
    }

    #[test]
    fn wrong_lines_have_a_to_do_beneath() {
        let notes = Notes::about("--database-url".to_owned());
        notes.wrong(Check::Clock, "it is late", "first\nsecond");
        notes.right(Check::HostReached, "reached");
        let report = Report::of(notes.findings());
        assert!(report.is_wrong());
        let text = report.text(false);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("ok      host.reached"), "{text}");
        assert!(lines[1].starts_with("WRONG   clock"), "{text}");
        assert_eq!((lines[2].trim(), lines[3].trim()), ("first", "second"));
        assert!(lines[4].starts_with("wrong: 1, remarks: 0, right: 1, "), "{text}");
        notes.untried(Scope::Relay, "no relay answers");
        let text = Report::of(notes.findings()).text(false);
        let line = text.lines().nth(4).expect("a line");
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.join(" "), "? 5 not tried no relay answers");
        assert!(!text.contains('\u{1b}') && report.text(true).contains('\u{1b}'));
    }
}
