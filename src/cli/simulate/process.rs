//! The CPU and memory of processes, from /proc. Without /proc all figures are zero.

use std::fs;

/// The kernel reports CPU times in hundredths of a second.
const TICKS: f64 = 100.0;

/// The user and system time of this process, in seconds.
pub(super) fn own_cpu_seconds() -> f64 {
    stat("self").map_or(0.0, |stat| stat.cpu)
}

/// The user and system time of these processes together, in seconds. A process that has ended
/// counts as zero.
pub(super) fn cpu_seconds(pids: &[u32]) -> f64 {
    pids.iter().filter_map(|pid| stat(&pid.to_string())).map(|stat| stat.cpu).sum()
}

/// The same of a process and its children, running and ended. For a PostgreSQL server.
pub(super) fn family_cpu_seconds(pid: u32) -> f64 {
    let Some(parent) = stat(&pid.to_string()) else { return 0.0 };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = processes.filter_map(|entry| stat(entry.file_name().to_str()?));
    parent.cpu
        + parent.ended
        + children.filter(|child| child.parent == pid).map(|child| child.cpu).sum::<f64>()
}

/// The resident memory of these processes, in bytes.
pub(super) fn resident_bytes(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum::<u64>() * 1024
}

/// Whether /proc has this process.
pub(super) fn exists(pid: u32) -> bool {
    stat(&pid.to_string()).is_some()
}

#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// The user and system time.
    cpu: f64,
    /// The time of the children that have ended.
    ended: f64,
}

fn stat(process: &str) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<Stat> {
    // The name, in parentheses, may contain any character.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        cpu: (ticks(11)? + ticks(12)?) / TICKS,
        ended: (ticks(13)? + ticks(14)?) / TICKS,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_stat_line_with_parentheses_in_the_name_is_parsed() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 20 10 20 0 1 0 99 1 2";
        assert_eq!(parse(line), Some(Stat { parent: 3, cpu: 2.0, ended: 0.3 }));
        assert_eq!(parse("7 (a) S 3"), None);
    }

    #[test]
    fn this_process_has_figures() {
        let begin = Instant::now();
        while own_cpu_seconds() == 0.0 {
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
        let own = std::process::id();
        assert!(exists(own) && cpu_seconds(&[own]) > 0.0 && family_cpu_seconds(own) > 0.0);
        assert!(resident_bytes(&[own]) > 100_000);
    }
}
