//! The students: POSTs over keep-alive connections, as fast as they are answered or at a given rate.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::Semaphore;

use super::report::latencies;
use super::run::{Run, nanos};
use crate::http::client::http::{Connection, Response};
use crate::http::client::{ClientError, query, reconnect_backoff};

/// How long after the end what was due before it is still sent, when the relay cannot keep up with the rate.
const OVERRUN: Duration = Duration::from_secs(10);

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) batch: usize,
    pub(super) students: u32,
    /// When the load ends, in nanoseconds since the run's start.
    pub(super) end: u64,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Posts {
    /// Answered with success, and counted.
    pub(super) counted: u64,
    /// Events acknowledged in them.
    pub(super) counted_events: u64,
    /// When the last of them was answered.
    pub(super) last_answer: u64,
    /// From when a POST was due to its answer, in microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) rejected: u64,
    /// Events that were due and never sent, since the relay did not keep up.
    pub(super) unsent: u64,
    /// By status, or by what went wrong below HTTP.
    pub(super) failures: BTreeMap<String, u64>,
    /// What the first failure said.
    pub(super) first_failure: Option<String>,
}

impl Posts {
    pub(super) fn new() -> Self {
        Self {
            counted: 0,
            counted_events: 0,
            last_answer: 0,
            latency: latencies(),
            rejected: 0,
            unsent: 0,
            failures: BTreeMap::new(),
            first_failure: None,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.counted += other.counted;
        self.counted_events += other.counted_events;
        self.last_answer = self.last_answer.max(other.last_answer);
        // Of the same bounds, so that it cannot fail.
        let _ = self.latency.add(&other.latency);
        self.rejected += other.rejected;
        self.unsent += other.unsent;
        for (what, count) in other.failures {
            *self.failures.entry(what).or_default() += count;
        }
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn fail(&mut self, what: &str, said: impl FnOnce() -> String) {
        *self.failures.entry(what.to_owned()).or_default() += 1;
        self.first_failure.get_or_insert_with(said);
    }
}

/// Hands out when each POST is due. A thread of its own waits, since a runtime's timers are exact to a millisecond.
#[derive(Debug)]
pub(super) struct Pace {
    due: Semaphore,
    taken: AtomicU64,
    begin: u64,
    interval: f64,
    total: u64,
}

impl Pace {
    /// `posts_per_second` from `begin` to `end`, to `connections` takers.
    pub(super) fn start(
        run: &Arc<Run>,
        posts_per_second: f64,
        begin: u64,
        end: u64,
        connections: usize,
    ) -> std::io::Result<Arc<Self>> {
        let interval = 1e9 / posts_per_second;
        let total = (end.saturating_sub(begin) as f64 / interval) as u64;
        let pace =
            Arc::new(Self { due: Semaphore::new(0), taken: AtomicU64::new(0), begin, interval, total });
        let (run, paced) = (Arc::clone(run), Arc::clone(&pace));
        std::thread::Builder::new()
            .name("pace".to_owned())
            .spawn(move || paced.release(&run, connections))?;
        Ok(pace)
    }

    fn at(&self, index: u64) -> u64 {
        self.begin + (index as f64 * self.interval) as u64
    }

    fn release(&self, run: &Run, connections: usize) {
        let mut released = 0;
        while released < self.total {
            let now = run.now();
            let mut ready = 0;
            while released < self.total && self.at(released) <= now {
                ready += 1;
                released += 1;
            }
            self.due.add_permits(ready);
            std::thread::sleep(Duration::from_nanos(self.at(released).saturating_sub(run.now())));
        }
        // Each connection learns that there is no more.
        self.due.add_permits(connections);
    }

    /// When the next POST is due, once it is; `None` after the last.
    async fn next(&self) -> Option<u64> {
        self.due.acquire().await.ok()?.forget();
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        (index < self.total).then(|| self.at(index))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    index: usize,
    #[serde(default)]
    reason: String,
}

/// One connection's worth of students.
pub(super) struct Poster {
    run: Arc<Run>,
    plan: Plan,
    path: String,
    index: usize,
    connection: Option<Connection>,
    posts: Posts,
}

impl Poster {
    pub(super) async fn open(run: &Arc<Run>, plan: &Plan, index: usize) -> Result<Self, ClientError> {
        let connection = Some(Connection::open(run.url(index)).await?);
        let path = format!("/api/v1/events?{}", query([("class", &*run.class)]));
        Ok(Self { run: Arc::clone(run), plan: plan.clone(), path, index, connection, posts: Posts::new() })
    }

    /// The load's end, once its beginning is known.
    pub(super) fn end_at(&mut self, end: u64) {
        self.plan.end = end;
    }

    /// Posts until the end; in a closed loop without `pace`.
    pub(super) async fn post(mut self, pace: Option<Arc<Pace>>) -> Posts {
        let mut backoff = reconnect_backoff();
        let stop = self.plan.end + if pace.is_some() { nanos(OVERRUN) } else { 0 };
        loop {
            // Connected before a POST is taken on, so that an absent relay costs time and not POSTs.
            while self.connection.is_none() && self.run.now() < stop {
                self.index += 1;
                match Connection::open(self.run.url(self.index)).await {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => {
                        self.posts.fail("connect", || error.to_string());
                        tokio::time::sleep(backoff.next_wait()).await;
                    }
                }
            }
            let due = match &pace {
                Some(pace) => pace.next().await,
                None => Some(self.run.now()).filter(|&now| now < stop),
            };
            let Some(due) = due else { return self.posts };
            match &mut self.connection {
                Some(connection) if self.run.now() < stop => {
                    let first = self.run.ledger().send(self.plan.batch);
                    let body = body(&self.run.marker, &self.plan, first, due);
                    let headers = [("content-type", "application/json")];
                    let answer = connection.request("POST", &self.path, &headers, body).await;
                    if answer.is_ok() {
                        backoff.reset();
                    }
                    self.answered(answer, first, due);
                }
                _ => self.posts.unsent += self.plan.batch as u64,
            }
        }
    }

    fn answered(&mut self, answer: Result<Response, ClientError>, first: usize, due: u64) {
        let now = self.run.now();
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                // What became of it is not known; the connection is of no more use.
                self.connection = None;
                let what =
                    if matches!(error, ClientError::Timeout { .. }) { "timeout" } else { "connection" };
                return self.posts.fail(what, || error.to_string());
            }
        };
        if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = None;
        }
        if !response.status.is_success() {
            let said = || String::from_utf8_lossy(&response.body).chars().take(300).collect();
            return self.posts.fail(response.status.as_str(), said);
        }
        let answer: Answer = match response.json() {
            Ok(answer) => answer,
            Err(error) => return self.posts.fail("answer", || error.to_string()),
        };
        let mut refused = vec![false; self.plan.batch];
        for rejected in &answer.rejected {
            if let Some(refused) = refused.get_mut(rejected.index) {
                *refused = true;
            }
            self.posts.first_failure.get_or_insert_with(|| format!("rejected: {}", rejected.reason));
        }
        let accepted = refused.iter().filter(|&&refused| !refused).count();
        let mut ledger = self.run.ledger();
        for (index, _) in refused.iter().enumerate().filter(|(_, refused)| !**refused) {
            ledger.acknowledge(first + index);
        }
        drop(ledger);
        self.posts.rejected += (self.plan.batch - accepted) as u64;
        if due >= self.run.counted_from() {
            self.posts.counted += 1;
            self.posts.counted_events += accepted as u64;
            self.posts.last_answer = now;
            self.posts.latency.saturating_record(now.saturating_sub(due) / 1000);
        }
    }
}

/// A body as JupyterLab's Cell Monitor 1.1.4 sends it, of some 450 bytes an event. No brace but the object's own: it
/// keeps the scan of the dashboards short.
fn body(marker: &str, plan: &Plan, first: usize, sent: u64) -> Bytes {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let time = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    let mut out = String::with_capacity(plan.batch * 560 + 2);
    for index in first..first + plan.batch {
        let event_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_le_bytes()).into_uuid();
        let student = fastrand::u32(..plan.students.max(1));
        let cell = fastrand::u32(..20);
        let execution = index % 1000 + 1;
        out.push(if index == first { '[' } else { ',' });
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            "{{{marker}{index}\",\"simulateSentAt\":{sent},\"eventId\":\"{event_id}\",\
             \"eventType\":\"cell_executed\",\"eventTime\":\"{time}\",\"emailAddress\":\"s{student:04}@example.com\",\
             \"teamName\":\"Team {team}\",\"userName\":\"Student {student}\",\
             \"sessionId\":\"17e2b34b-0de8-4810-ac52-{student:012x}\",\"notebookPath\":\"lesson1.ipynb\",\
             \"cellId\":\"c-{cell}\",\"cellIndex\":{cell},\"cellType\":\"code\",\"code\":\"x = 6*7\\nx\",\
             \"executionCount\":{execution},",
            team = student % 20,
        );
        out.push_str(if fastrand::u8(..10) == 0 {
            "\"hasError\":true,\"errorMessage\":\"NameError: name 'y' is not defined\",\"executionDurationMs\":1}"
        } else {
            "\"hasError\":false,\"result\":\"42\",\"executionDurationMs\":1}"
        });
    }
    out.push(']');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::scan;

    #[test]
    fn a_body_is_json_that_carries_its_stamps() {
        let plan = Plan { batch: 3, students: 5, end: 0 };
        let body = body("\"simulateSeq\":\"ab-", &plan, 7, 99);
        let events: Vec<Box<serde_json::value::RawValue>> = serde_json::from_slice(&body).expect("valid");
        let stamps: Vec<_> =
            events.iter().map(|event| scan::stamp(event.get(), "\"simulateSeq\":\"ab-")).collect();
        assert_eq!(stamps, [Some((7, 99)), Some((8, 99)), Some((9, 99))]);
        let each = body.len() / 3;
        assert!((400..600).contains(&each), "{each}");
    }
}
