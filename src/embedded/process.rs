//! A process of the system, identified so that a reused pid is not taken for it.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that was found alive. Its pid may belong to another process later, so the time at
/// which it began is compared too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pid: Pid,
    began: Option<u64>,
}

impl Process {
    /// Finds the live process with this pid.
    pub(super) fn find(pid: i32) -> Option<Self> {
        // Zero and below name process groups in kill(2). A standalone backend writes its pid
        // negated.
        if pid < 1 {
            return None;
        }
        let process = Self { pid: Pid::from_raw(pid), began: stat(pid).map(|(_, began)| began) };
        process.is_alive().then_some(process)
    }

    /// The process id.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it still runs. A process that has ended, but for which its parent has not waited,
    /// does not.
    pub(super) fn is_alive(&self) -> bool {
        if kill(self.pid, None) == Err(Errno::ESRCH) {
            return false;
        }
        match stat(self.pid.as_raw()) {
            Some((state, began)) => {
                !matches!(state, 'Z' | 'X') && self.began.is_none_or(|known| known == began)
            }
            None => true,
        }
    }

    /// Sends a signal, unless the process has ended.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Err(error) = kill(self.pid, signal)
        {
            tracing::warn!(
                pid = self.pid.as_raw(),
                %signal,
                %error,
                "the PostgreSQL server could not be sent a signal"
            );
        }
    }

    /// Whether its current folder is `folder`, as a postmaster's is its cluster; `None` if that
    /// cannot be found out.
    pub(super) fn works_in(&self, folder: &Path) -> Option<bool> {
        match fs::read_link(format!("/proc/{}/cwd", self.pid)) {
            Ok(current) => Some(current == folder),
            // A process of another user cannot be the server of this user's data.
            Err(_) if kill(self.pid, None) == Err(Errno::EPERM) => Some(false),
            Err(_) => None,
        }
    }
}

/// The state of a process, and the time at which it began.
fn stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    // The name, in parentheses, may contain any character.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is the third field, starttime the 22nd.
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_after_any_name() {
        let text = "7 (a) S b) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10\n";
        assert_eq!(parse_stat(text), Some(('Z', 98765)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn this_process_is_alive_and_a_group_is_no_process() {
        let me = Process::find(nix::unistd::getpid().as_raw()).expect("alive");
        assert_eq!(me.works_in(&std::env::current_dir().expect("a folder")), Some(true));
        assert!(!Process { began: Some(1), ..me }.is_alive());
        assert!(Process::find(0).is_none() && Process::find(-1).is_none());
    }
}
