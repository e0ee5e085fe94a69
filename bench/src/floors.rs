//! The floor of PostgreSQL itself: pgbench runs the same statement on the same schema with the same
//! triggers.

use std::fmt::Write as _;
use std::path::PathBuf;

use tokio::process::Command;

use crate::Outcome;
use crate::stage::{FLOOR, Stage};

/// Rows per second that `clients` insert in statements of `rows` rows.
///
/// The bodies are part of the prepared statement and are not sent, unlike those of the relay.
pub async fn pgbench(stage: &Stage, clients: u32, rows: usize, seconds: u64) -> Outcome<f64> {
    let script = stage.scratch(&format!("floor-{rows}.sql"));
    std::fs::write(&script, statement(rows))?;
    let (host, port, user) = stage.socket();
    let output = Command::new(program())
        .args([
            "-h",
            &host,
            "-p",
            &port.to_string(),
            "-U",
            &user,
            "-n",
            "-M",
            "prepared",
            "-j",
            "1",
        ])
        .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), "-f"])
        .arg(&script)
        .arg(FLOOR)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("pgbench (it comes with PostgreSQL's server): {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let statements = tps(&stdout).ok_or_else(|| {
        format!("pgbench printed {stdout:?}, {:?}", String::from_utf8_lossy(&output.stderr))
    })?;
    Ok(statements * rows as f64)
}

/// Transactions per second, in the output of pgbench.
fn tps(stdout: &str) -> Option<f64> {
    stdout
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The pgbench of the newest installed server, or else the one on PATH.
fn program() -> PathBuf {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = folders.map(|entry| entry.path()).max_by_key(version);
    newest
        .map(|path| path.join("bin/pgbench"))
        .filter(|path| path.exists())
        .unwrap_or("pgbench".into())
}

/// The INSERT of `rows` rows. A space follows every colon: pgbench reads `:name` as a variable.
fn statement(rows: usize) -> String {
    let mut bodies = String::new();
    for row in 0..rows {
        let comma = if row == 0 { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = write!(
            bodies,
            "{comma}'{{\"simulateSeq\": \"0123abcd-{row}\", \"simulateSentAt\": 1234567890123, \
             \"eventId\": \"9f582f0c-d406-435e-866c-7bbfe15dc8cd\", \"eventType\": \
             \"cell_executed\", \
             \"eventTime\": \"2026-11-23T153611.956Z\", \"emailAddress\": \"s0001@example.com\", \
             \"teamName\": \"Team 1\", \"userName\": \"Student 1\", \
             \"sessionId\": \"17e2b34b-0de8-4810-ac52-000000000001\", \"notebookPath\": \
             \"lesson1.ipynb\", \
             \"cellId\": \"c-1\", \"cellIndex\": 1, \"cellType\": \"code\", \"code\": \"x = 6*7\", \
             \"executionCount\": {row}, \"hasError\": false, \"result\": \"42\", \
             \"executionDurationMs\": 1}}'::json"
        );
    }
    format!(
        "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
         SELECT gen_random_uuid(), 'floor', 's' || floor(random() * 200) || '@example.com', \
         clock_timestamp(), body \
         FROM unnest(ARRAY[{bodies}]) AS body \
         ON CONFLICT (class_id, student_id, occurred_at, event_id) DO NOTHING \
         RETURNING id, class_id, student_id, occurred_at, event_id;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_the_output() {
        let stdout = "latency average = 1 ms\ntps = 2612.113 (without initial connection time)\n";
        assert_eq!(tps(stdout), Some(2612.113));
        assert_eq!(tps("pgbench: error"), None);
    }

    #[test]
    fn a_statement_holds_no_variable() {
        let text = statement(3).replace("::json", "");
        assert!(text.split(':').skip(1).all(|rest| rest.starts_with(' ')), "{text}");
    }
}
