//! The students' POSTs over keep-alive connections, as fast as they are answered or at a given
//! rate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::body::{Act, Occurrence, body};
use super::class::Student;
use super::pace::Pace;
use super::report::latencies;
use super::run::{Run, nanos};
use crate::backoff::Backoff;
use crate::client::http::{Connection, Response};
use crate::client::{ClientError, query, reconnect_backoff};

/// How long after the end of the load POSTs are still sent that were due before it, if the relay
/// cannot keep up with the rate.
const OVERRUN: Duration = Duration::from_secs(10);
const HEADERS: [(&str, &str); 1] = [("content-type", "application/json")];
/// The inaccuracy of the runtime's timers.
const TIMER: Duration = Duration::from_millis(2);

/// The load of one connection.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) batch: usize,
    pub(super) students: u32,
    /// The end of the load, in nanoseconds since the run's start.
    pub(super) end: u64,
}

/// The outcomes of POSTs.
#[derive(Debug)]
pub(super) struct Posts {
    /// The POSTs after the warm-up that were answered with success.
    pub(super) counted: u64,
    /// The events that were acknowledged in them.
    pub(super) counted_events: u64,
    /// The moment of the last answer among them.
    pub(super) last_answer: u64,
    /// The time from the moment at which a POST was due to its answer, in microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) rejected: u64,
    /// The POSTs that were sent again, since a keep-alive connection had ended.
    pub(super) retried: u64,
    /// The events that were due and not sent, since the relay did not keep up.
    pub(super) unsent: u64,
    /// The failed POSTs, by status or by the failure below HTTP.
    pub(super) failures: BTreeMap<String, u64>,
    /// The text of the first failure.
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
            retried: 0,
            unsent: 0,
            failures: BTreeMap::new(),
            first_failure: None,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.counted += other.counted;
        self.counted_events += other.counted_events;
        self.last_answer = self.last_answer.max(other.last_answer);
        // Histograms with the same bounds can be added.
        let _ = self.latency.add(&other.latency);
        self.rejected += other.rejected;
        self.retried += other.retried;
        self.unsent += other.unsent;
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn fail(&mut self, kind: &str, text: impl FnOnce() -> String) {
        *self.failures.entry(kind.to_owned()).or_default() += 1;
        self.first_failure.get_or_insert_with(text);
    }
}

#[derive(Deserialize)]
struct PostAnswer {
    #[serde(default)]
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    index: usize,
    #[serde(default)]
    reason: String,
}

/// The students of one connection.
pub(super) struct Poster {
    run: Arc<Run>,
    plan: Plan,
    path: String,
    index: usize,
    runs: u64,
    connection: Option<Connection>,
    /// Whether the connection has already carried a POST.
    is_reused: bool,
    posts: Posts,
}

impl Poster {
    pub(super) async fn open(
        run: &Arc<Run>,
        plan: &Plan,
        index: usize,
    ) -> Result<Self, ClientError> {
        let connection = Some(Connection::open(run.url(index)).await?);
        let path = format!("/api/v1/events?{}", query([("class", &*run.class)]));
        Ok(Self {
            run: Arc::clone(run),
            plan: plan.clone(),
            path,
            index,
            runs: 0,
            connection,
            is_reused: false,
            posts: Posts::new(),
        })
    }

    /// Sets the end of the load, which is known once it begins.
    pub(super) fn end_at(&mut self, end: u64) {
        self.plan.end = end;
    }

    /// Posts until the end. Without `pace`, it posts again as soon as a POST is answered.
    pub(super) async fn post(mut self, pace: Option<Arc<Pace>>) -> Posts {
        let stop = self.plan.end + if pace.is_some() { nanos(OVERRUN) } else { 0 };
        let mut backoff = reconnect_backoff();
        loop {
            // The connection comes first: while the relay is away, no POST may be taken from the
            // pace and then fail.
            self.connect(stop, &mut backoff).await;
            let due = match &pace {
                Some(pace) => pace.next().await,
                None => Some(self.run.now()).filter(|&now| now < stop),
            };
            let Some(due) = due else { return self.posts };
            let events: Vec<_> = (0..self.plan.batch).map(|_| self.random_run()).collect();
            self.send(&events, due, stop, &mut backoff).await;
        }
    }

    /// Posts a realistic student's events, from the beginning of the lesson to the end. Latency
    /// counts from the moment of the event.
    pub(super) async fn live(mut self, mut student: Student) -> Posts {
        let stop = self.plan.end;
        let mut backoff = reconnect_backoff();
        let mut due = self.run.now() + nanos(Student::arrival());
        while due < stop {
            tokio::time::sleep(Duration::from_nanos(due.saturating_sub(self.run.now()))).await;
            self.connect(stop, &mut backoff).await;
            let (event, pause) = student.act();
            let late = self.run.now().saturating_sub(due);
            // The runtime's timer may be late by a millisecond, which is not the relay's latency.
            let done = if late < nanos(TIMER) { due + late } else { due };
            self.send(&[event], done, stop + nanos(OVERRUN), &mut backoff).await;
            due += nanos(pause);
        }
        self.posts
    }

    /// A run of a random student.
    fn random_run(&mut self) -> Occurrence {
        self.runs += 1;
        Occurrence {
            kind: Act::Run { failed: fastrand::u8(..10) == 0 },
            student: fastrand::u32(..self.plan.students.max(1)),
            cell: fastrand::u32(..20),
            // The number differs for each run, so that no run counts as a repetition.
            execution: self.runs * 1000 + self.index as u64 % 1000,
        }
    }

    async fn connect(&mut self, stop: u64, backoff: &mut Backoff) {
        // A relay, or a balancer before it, ends connections that were idle for long.
        self.connection = self.connection.take().filter(Connection::is_open);
        while self.connection.is_none() && self.run.now() < stop {
            self.index += 1;
            match Connection::open(self.run.url(self.index)).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    self.is_reused = false;
                }
                Err(error) => {
                    self.posts.fail("connect", || error.to_string());
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    async fn send(&mut self, events: &[Occurrence], due: u64, stop: u64, backoff: &mut Backoff) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.run.now() < stop) else {
            self.posts.unsent += events.len() as u64;
            return;
        };
        let first = self.run.ledger().send(events.len());
        let body = body(&self.run.marker, first, due, events);
        let mut answer = connection.request("POST", &self.path, &HEADERS, body.clone()).await;
        if self.is_reused && matches!(answer, Err(ClientError::Lost(_))) {
            answer = self.send_again(body).await;
        }
        self.is_reused = answer.is_ok();
        if answer.is_ok() {
            backoff.reset();
        }
        self.answered(answer, first, events.len(), due);
    }

    /// Sends a POST again on a new connection, after a keep-alive connection has ended: its end and
    /// the request may have crossed. Real clients do the same. An event that was stored the first
    /// time is not stored twice.
    async fn send_again(&mut self, body: Bytes) -> Result<Response, ClientError> {
        self.posts.retried += 1;
        let connection = self.connection.insert(Connection::open(self.run.url(self.index)).await?);
        connection.request("POST", &self.path, &HEADERS, body).await
    }

    fn answered(
        &mut self,
        answer: Result<Response, ClientError>,
        first: usize,
        events: usize,
        due: u64,
    ) {
        let now = self.run.now();
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                // The outcome of the POST is not known, and the connection cannot be used again.
                self.connection = None;
                let kind = if matches!(error, ClientError::Timeout { .. }) {
                    "timeout"
                } else {
                    "connection"
                };
                return self.posts.fail(kind, || error.to_string());
            }
        };
        if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = None;
        }
        if !response.status.is_success() {
            let text = || String::from_utf8_lossy(&response.body).chars().take(300).collect();
            return self.posts.fail(response.status.as_str(), text);
        }
        let answer: PostAnswer = match response.json() {
            Ok(answer) => answer,
            Err(error) => return self.posts.fail("answer", || error.to_string()),
        };
        let mut refused = vec![false; events];
        for rejected in &answer.rejected {
            if let Some(refused) = refused.get_mut(rejected.index) {
                *refused = true;
            }
            self.posts
                .first_failure
                .get_or_insert_with(|| format!("rejected: {}", rejected.reason));
        }
        let accepted = refused.iter().filter(|&&refused| !refused).count();
        let mut ledger = self.run.ledger();
        for (index, _) in refused.iter().enumerate().filter(|(_, refused)| !**refused) {
            ledger.acknowledge(first + index);
        }
        drop(ledger);
        self.posts.rejected += (events - accepted) as u64;
        if due >= self.run.counted_from() {
            self.posts.counted += 1;
            self.posts.counted_events += accepted as u64;
            self.posts.last_answer = now;
            self.posts.latency.saturating_record(now.saturating_sub(due) / 1000);
        }
    }
}
