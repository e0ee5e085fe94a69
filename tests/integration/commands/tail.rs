//! `tail`: a class in the terminal.

use std::time::Duration;

use crate::support::{
    Database, Follower, Proxy, Relay, Tail, event, origin, run, text, until, within,
};

/// A tail that is cut off resumes at another relay. It prints each event once, in order, with the
/// cursor after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_back_by_its_cursor() {
    const CUTS: i64 = 4;
    const BETWEEN: i64 = 30;
    let database = Database::new().await;
    let (one, two) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let road = Proxy::to(&one.url).await;
    let start = Follower::new(&one.url, &["default"], None).await.cursor.expect("a cursor");
    let mut tail = Tail::start(&road.url(), "default", &start);
    until("tail to come", async || (road.connections() > 0).then_some(())).await;
    let mut lines = Vec::new();
    for cut in 0..CUTS {
        let first = cut * BETWEEN;
        for n in first..first + BETWEEN {
            one.post(&event(n as usize)).await;
            if n == first + BETWEEN / 2 {
                // The cut falls between two events, so that there is something to catch up with.
                let before = road.connections();
                road.lead_to(if cut % 2 == 0 { &two.url } else { &one.url });
                if cut == 1 {
                    until("tail to come back", async || {
                        (road.connections() > before).then_some(())
                    })
                    .await;
                }
            }
        }
        lines.extend(tail.until(first + BETWEEN - 1).await);
    }
    let marks: Vec<i64> = lines.iter().filter_map(|line| line["n"].as_i64()).collect();
    assert_eq!(marks, (0..CUTS * BETWEEN).collect::<Vec<_>>());
    assert!(road.connections() > CUTS as usize, "it was cut off {CUTS} times");
    assert_eq!(tail.stderr().lines().count(), CUTS as usize, "{}", tail.stderr());
    assert!(
        tail.stderr().lines().all(|line| line.contains("trying again in")),
        "{}",
        tail.stderr()
    );
    // The cursor of a line resumes after exactly that line.
    for at in [0, 7, lines.len() - 2] {
        let mut follower =
            Follower::new(&two.url, &["default"], Some(text(&lines[at], "cursor"))).await;
        follower.until_live().await;
        assert_eq!(follower.marks(), marks[at + 1..]);
    }
    assert_eq!(tail.interrupt().await, Some(0));
}

#[tokio::test]
async fn a_reset_is_printed() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut tail = Tail::start(&relay.url.to_string(), "default", "0123456789ab1.7");
    until("the line about the reset", async || {
        tail.stderr().contains("reset (epoch)").then_some(())
    })
    .await;
    relay.post(&event(3)).await;
    assert_eq!(tail.until(3).await.len(), 1);
}

#[tokio::test]
async fn it_ends_quietly_with_its_reader_and_names_errors() {
    let finished = run(&["tail", "--url", "ftp://nowhere"], &[]).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(finished.stderr.contains("--url"), "{}", finished.stderr);
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let url = relay.url.to_string();
    let before = origin(text(&relay.post(&event(0)).await, "cursor"));
    for n in 1..200 {
        relay.post(&event(n)).await;
    }
    let script = format!(
        "{} tail --url {url} --cursor {before} | head -n 3; echo \"${{PIPESTATUS[0]}}\"",
        env!("CARGO_BIN_EXE_progress-relay")
    );
    let shell =
        tokio::process::Command::new("bash").args(["-c", &script]).kill_on_drop(true).output();
    let mut shell = std::pin::pin!(shell);
    // The tail notices that its output is closed when it writes again.
    let output = within("tail to end", async {
        for n in 200.. {
            relay.post(&event(n)).await;
            tokio::select! {
                output = &mut shell => return output.expect("a shell"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
        unreachable!("numbers end later than patience");
    })
    .await;
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout.lines().count(), 4, "{stdout}");
    assert_eq!(stdout.lines().last(), Some("0"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        stdout.lines().next().is_some_and(|line| line.contains("s000  cell_executed")),
        "{stdout}"
    );
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("rror"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
