//! Other processes: whether one is still there, and still the same.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that was seen alive. Its pid alone may be another's by the time it is used, hence the
/// time of its birth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pid: Pid,
    born: Option<u64>,
}

impl Process {
    /// The live process of that pid.
    pub(super) fn find(pid: i32) -> Option<Self> {
        // Zero and below mean process groups to kill(2); a standalone backend writes its pid
        // negated.
        if pid < 1 {
            return None;
        }
        let process = Self { pid: Pid::from_raw(pid), born: stat(pid).map(|(_, born)| born) };
        process.is_alive().then_some(process)
    }

    /// Its pid.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it still runs. One that ended and was not waited for by its parent does not.
    pub(super) fn is_alive(&self) -> bool {
        if kill(self.pid, None) == Err(Errno::ESRCH) {
            return false;
        }
        match stat(self.pid.as_raw()) {
            Some((state, born)) => {
                !matches!(state, 'Z' | 'X') && self.born.is_none_or(|known| known == born)
            }
            None => true,
        }
    }

    /// Sends a signal, unless it is gone.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Err(error) = kill(self.pid, signal)
        {
            tracing::warn!(pid = self.pid.as_raw(), %signal, %error, "could not signal the \
                 postmaster");
        }
    }

    /// Whether its current folder is this one, as a postmaster's is its cluster; None where that
    /// cannot be known.
    pub(super) fn works_in(&self, folder: &Path) -> Option<bool> {
        match fs::read_link(format!("/proc/{}/cwd", self.pid)) {
            Ok(current) => Some(current == folder),
            // A process of another user cannot be the server of one's own data.
            Err(_) if kill(self.pid, None) == Err(Errno::EPERM) => Some(false),
            Err(_) => None,
        }
    }
}

/// State and time of birth.
fn stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    // The name, in parentheses, may itself contain anything.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is the third field, starttime the 22nd.
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_any_name() {
        let text = "7 (a) S b) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10\n";
        assert_eq!(parse_stat(text), Some(('Z', 98765)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn this_process_is_alive_and_no_group_is_a_process() {
        let me = Process::find(nix::unistd::getpid().as_raw()).expect("alive");
        assert_eq!(me.works_in(&std::env::current_dir().expect("a folder")), Some(true));
        assert!(!Process { born: Some(1), ..me }.is_alive());
        assert!(Process::find(0).is_none() && Process::find(-1).is_none());
    }
}
