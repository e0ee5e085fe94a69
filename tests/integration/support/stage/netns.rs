//! Hosts that can vanish (network namespaces) and a small disk, both of which need root.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::postgres::entrust;

/// Another host, joined to this one by a cable that can be cut. After that packets are lost, and no
/// end learns of it.
#[derive(Debug)]
pub struct Netns {
    name: String,
    cable: String,
    /// The address of the host, and that of this machine on the cable.
    pub inside: String,
    pub outside: String,
}

impl Netns {
    /// Creates a host, or prints why it cannot and returns `None`.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // 10.x.y.0/30, where the process id tells this run from others on the machine.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let name = format!("relay-test-{pid}-{number}");
        // The name of an interface has at most 15 characters.
        let cable = format!("rt{pid}x{number}");
        let net = format!("10.{}.{}", 64 + (pid >> 6) % 128, (pid << 2 & 0xff) + number % 4);
        let base = 4 * (number / 4 % 64);
        let (outside, inside) = (format!("{net}.{}", base + 1), format!("{net}.{}", base + 2));
        if !nix::unistd::geteuid().is_root() {
            skipped("network namespaces take root");
            return None;
        }
        if let Err(reason) = ip(&["netns", "add", &name]) {
            skipped(&format!("no network namespace: {reason}"));
            return None;
        }
        entrust(&format!("netns {name}"));
        let netns = Self { name: name.clone(), cable: cable.clone(), inside, outside };
        let peer = format!("{cable}p");
        let steps: [&[&str]; 7] = [
            &["link", "add", &cable, "type", "veth", "peer", "name", &peer],
            &["link", "set", &peer, "netns", &name],
            &["addr", "add", &format!("{}/30", netns.outside), "dev", &cable],
            &["link", "set", &cable, "up"],
            &["-n", &name, "addr", "add", &format!("{}/30", netns.inside), "dev", &peer],
            &["-n", &name, "link", "set", &peer, "up"],
            &["-n", &name, "link", "set", "lo", "up"],
        ];
        for step in steps {
            if let Err(reason) = ip(step) {
                skipped(&format!("ip {step:?}: {reason}"));
                return None;
            }
        }
        Some(netns)
    }

    /// A program that runs on this host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// The words before a command that make it run on this host.
    pub fn prefix(&self) -> [String; 4] {
        ["ip".into(), "netns".into(), "exec".into(), self.name.clone()]
    }

    /// Cuts the cable: packets to and from the host are lost, and no end learns of it.
    pub fn cut(&self) {
        self.set_cable("down");
    }

    /// Mends the cable.
    pub fn mend(&self) {
        self.set_cable("up");
    }

    fn set_cable(&self, state: &str) {
        ip(&["-n", &self.name, "link", "set", &format!("{}p", self.cable), state])
            .expect("the cable");
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.cable]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Prints that something was not tested, where the test's output is not captured.
fn skipped(why: &str) {
    use std::io::Write;

    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {why} ***\n");
}

/// Mounts a file system of this size at `folder`, or prints why it cannot and returns `false`.
pub fn mount_small(folder: &Path, mebibytes: u32) -> bool {
    let options = format!("size={mebibytes}m,mode=0700");
    let folder = folder.to_str().expect("UTF-8");
    if let Err(reason) = run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", folder]) {
        skipped(&format!("no small file system: {reason}"));
        return false;
    }
    entrust(&format!("mount {folder}"));
    true
}

pub fn unmount(folder: &Path) {
    let _ = run("umount", &["-l", folder.to_str().expect("UTF-8")]);
}
