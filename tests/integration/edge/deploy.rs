//! The files of deploy/ that no test can run as they are: systemd's unit and compose's services. As
//! much of them as this machine can is run, and the rest is checked. `container` has the image.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::support::stage::{folder_with, shipped};
use crate::support::{Database, Relay, run, within};

fn output(command: &mut Command) -> Output {
    let line = format!("{command:?}");
    command.output().unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The unit with the program of this run, which systemd's own checker reads.
#[test]
fn the_unit_is_valid_and_hardened() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        // Only Linux with systemd has it.
        return;
    }
    let unit = shipped("progress-relay.service");
    let unit = unit.replace("/usr/bin/progress-relay", env!("CARGO_BIN_EXE_progress-relay"));
    let (_, file) = folder_with("progress-relay.service", &unit);
    let verified = output(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file));
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{said}");
    // Of other units of this machine it may complain too.
    assert!(!said.contains("progress-relay.service"), "{said}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold=20"]).arg(&file);
    let security = output(&mut security);
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
}

/// Every variable that the files of deploy/ set is one of the program's.
#[tokio::test]
async fn the_variables_are_the_programs() {
    let help = run(&["serve", "--help"], &[]).await.stdout;
    let known = |name: &str| {
        help.contains(&format!("[env: {name}=]")) || help.contains(&format!("{name}="))
    };
    for file in ["progress-relay.service", "Containerfile", "compose.yaml"] {
        let text = shipped(file);
        let words =
            text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        let names: BTreeSet<_> =
            words.filter(|word| word.starts_with("RELAY_") && word.len() > 6).collect();
        assert!(!names.is_empty(), "{file}");
        for name in names {
            assert!(known(name), "{file}: {name}");
        }
    }
}

/// The service manager is told what it waits for: ready, alive, stopping.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told() {
    let (folder, _) = folder_with("empty", "");
    let socket = folder.join("notify");
    let receiver = UnixDatagram::bind(&socket).expect("a socket");
    receiver.set_read_timeout(Some(crate::support::PATIENCE)).expect("a time limit");
    let database = Database::migrated().await;
    let place = format!("NOTIFY_SOCKET={}", socket.display());
    let by = ["env", &place, "WATCHDOG_USEC=200000"].map(str::to_owned);
    let url = database.url();
    let mut relay = Relay::begin_by(&by, &["--database-url", &url]).await;
    let receiver = std::sync::Arc::new(receiver);
    let next = async || {
        let receiver = std::sync::Arc::clone(&receiver);
        let receive = tokio::task::spawn_blocking(move || {
            let mut buffer = [0; 256];
            let length = receiver.recv(&mut buffer).expect("a message");
            String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
        });
        within("a message", receive).await.expect("no panic")
    };
    let mut told = Vec::new();
    while !told.contains(&"READY=1".to_owned()) {
        told.push(next().await);
    }
    relay.ready().await;
    while next().await != "WATCHDOG=1" {}
    relay.signal(Signal::SIGTERM);
    while next().await != "STOPPING=1" {}
    assert!(relay.ended(crate::support::PATIENCE).await.success());
}

/// HAProxy in compose's network is HAProxy as the tests run it, with other addresses.
#[test]
fn the_balancer_of_compose_is_the_one_that_is_tested() {
    let tested = shipped("haproxy.cfg");
    let tested: Vec<&str> = tested
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().starts_with("server c "))
        .map(|line| match line.trim() {
            "bind 127.0.0.1:8080" => "    bind :8080",
            "server a 127.0.0.1:8001" => "    server a relay-a:8000",
            "server b 127.0.0.1:8002" => "    server b relay-b:8000",
            _ => line,
        })
        .collect();
    let compose = shipped("haproxy-compose.cfg");
    let compose: Vec<&str> = compose.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(compose, tested);
    let services = shipped("compose.yaml");
    for name in ["relay-a:", "relay-b:", "database:", "balancer:"] {
        assert!(services.contains(&format!("\n  {name}")), "{name}");
    }
    assert!(services.contains("./haproxy-compose.cfg:"));
    let haproxy = Path::new("/usr/sbin/haproxy");
    assert!(haproxy.exists(), "haproxy is not installed (scripts/setup faults)");
    // Names of a network that is not there: HAProxy may find them later.
    let file = shipped("haproxy-compose.cfg")
        .replace("    default-server check", "    default-server init-addr none check");
    let (_, file) = folder_with("haproxy.cfg", &file);
    let checked = output(Command::new(haproxy).arg("-c").arg("-f").arg(file));
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
