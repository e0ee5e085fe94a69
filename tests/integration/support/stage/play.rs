//! A play: relays behind HAProxy with producers and dashboards, then a fault, then the checker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use progress_relay::client::http::Connection;
use progress_relay::client::ws::Frame;
use progress_relay::event::Micros;
use progress_relay::state::ClassState;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::balancer::HaProxy;
use super::cluster::{Cluster, DATABASE, Server};
use super::crowd::{CLASS, Dashboard, Producers};
use crate::support::checker::{
    Action, Actor, Afterwards, LATE, Position, Promise, Record, Recorder, Report, State,
    ViolationKind, check,
};
use crate::support::class::{fold, summary_of, without_times};
use crate::support::{PATIENCE, Relay, run, until, within};

/// The summary of a class with all its parts.
const WHOLE: &str = "/api/class/summary?include=cells,grid,activity&class=";
/// How long requests and frames may take to end before the checker judges the result.
const REST: Duration = Duration::from_secs(20);
/// How often `/readyz` is asked.
const READINESS: Duration = Duration::from_millis(250);

/// The size of a play.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// POSTs per second.
    pub rate: f64,
    pub dashboards: usize,
    pub relays: usize,
    /// How long the load runs without a fault, before and after the fault.
    pub calm: Duration,
}

impl Scale {
    /// The size in `make test`.
    pub const SMALL: Self =
        Self { rate: 60.0, dashboards: 4, relays: 2, calm: Duration::from_millis(1500) };
    /// The size in `make faults`.
    pub const FULL: Self =
        Self { rate: 200.0, dashboards: 20, relays: 3, calm: Duration::from_secs(5) };
}

/// An answer of a relay's `/readyz`.
#[derive(Debug, Clone)]
pub struct Readiness {
    pub at: Duration,
    pub relay: usize,
    /// The status, or 0 without an answer.
    pub status: u16,
    pub body: Value,
}

/// A play that is running.
pub struct Play {
    name: String,
    scale: Scale,
    promise: Promise,
    recorder: Recorder,
    pub relays: Vec<Relay>,
    /// Held because it stops when it is dropped.
    _balancer: HaProxy,
    producers: Producers,
    dashboards: Vec<Dashboard>,
    readiness: Arc<Mutex<Vec<Readiness>>>,
    lines_before: usize,
    begun: Instant,
    _asking: AbortOnDropHandle<()>,
}

impl Play {
    /// Starts relays on the database at `url`, a balancer, dashboards and producers, and returns
    /// once POSTs are acknowledged.
    pub async fn begin(name: &str, scale: Scale, promise: Promise, url: &str) -> Self {
        Self::begin_with(name, scale, promise, url, &[]).await
    }

    /// Begins a play whose relays have these flags.
    pub async fn begin_with(
        name: &str,
        scale: Scale,
        promise: Promise,
        url: &str,
        flags: &[&str],
    ) -> Self {
        let flags = [&["--database-url", url], flags].concat();
        let mut relays = Vec::new();
        for _ in 0..scale.relays {
            relays.push(Relay::serve(&flags).await);
        }
        let addresses: Vec<SocketAddr> =
            relays.iter().map(|relay| relay.url.authority().parse().expect("an address")).collect();
        let balancer = HaProxy::before(&addresses).await;
        let recorder = Recorder::new();
        let begun = Instant::now();
        let open = |number| Dashboard::open(number, &recorder, &balancer.url);
        let dashboards: Vec<Dashboard> = (0..scale.dashboards).map(open).collect();
        for dashboard in &dashboards {
            within("a dashboard to be live", dashboard.live()).await;
        }
        let producers = Producers::start(&recorder, &balancer.url, scale.rate);
        let readiness = Arc::default();
        let asking = ask(
            relays.iter().map(|relay| relay.url.clone()).collect(),
            begun,
            Arc::clone(&readiness),
        );
        let mut this = Self {
            name: name.to_owned(),
            scale,
            promise,
            recorder,
            relays,
            _balancer: balancer,
            producers,
            dashboards,
            readiness,
            lines_before: 0,
            begun,
            _asking: AbortOnDropHandle::new(tokio::spawn(asking)),
        };
        this.calm().await;
        this.lines_before = this.log_lines();
        this
    }

    /// Lets the load run for the time of the scale, and until more POSTs are acknowledged.
    pub async fn calm(&self) {
        let before = self.producers.acknowledged();
        tokio::time::sleep(self.scale.calm).await;
        self.acknowledged_since(before).await;
    }

    async fn acknowledged_since(&self, before: usize) {
        let what = format!("{}: POSTs to be acknowledged", self.name);
        let enough = before + 10;
        until(&what, async || (self.producers.acknowledged() >= enough).then_some(())).await;
    }

    pub fn note(&self, text: &str) {
        self.recorder.record(Actor::Stage, Action::Note(text.to_owned()));
    }

    pub fn cause(&self, text: &str) {
        self.recorder.record(Actor::Stage, Action::CauseBegins(text.to_owned()));
    }

    /// Records that the relays' URL now leads to a primary that accepts writes.
    pub fn reachable(&self) {
        self.recorder.record(Actor::Stage, Action::Reachable);
    }

    pub fn ends(&self) {
        self.recorder.record(Actor::Stage, Action::CauseEnds);
    }

    /// The time since the play began, as in the history.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How many POSTs were acknowledged after `from` and before `to`.
    pub fn acknowledged_between(&self, from: Duration, to: Duration) -> usize {
        self.look(|records| {
            let within = records.iter().filter(|record| record.at > from && record.at < to);
            within
                .filter(|record| {
                    matches!(record.action, Action::Answered { status: 200..=299, .. })
                })
                .count()
        })
    }

    /// Passes the history so far to `look`.
    pub fn look<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        self.recorder.look(look)
    }

    pub fn log_lines(&self) -> usize {
        self.relays.iter().map(|relay| relay.log().lines().count()).sum()
    }

    /// Records the end of the fault and finishes on `primary`.
    pub async fn recover(self, primary: &impl Server) -> Outcome {
        self.ends();
        self.finish(primary).await
    }

    /// Promotes `standby`, which the relays' URL leads to, and finishes on it.
    pub async fn fail_over(self, standby: &Cluster) -> Outcome {
        standby.promote().await;
        self.reachable();
        self.recover(standby).await
    }

    /// Runs the load a while longer, waits until requests and frames have ended, and lets the
    /// checker judge the history by the database on `primary`.
    pub async fn finish(self, primary: &impl Server) -> Outcome {
        self.calm().await;
        let lines = self.log_lines() - self.lines_before;
        self.producers.finish(PATIENCE).await;
        let url = primary.url();
        let fresh = Relay::serve(&["--database-url", &url]).await;
        let (position, _) = summary(&fresh).await.expect("a fresh replica's summary");
        let epoch = position.epoch.to_string();
        let client = primary.session(DATABASE).await;
        let sql =
            "SELECT id, (body ->> 'n')::bigint FROM progress_event WHERE class_id = $1 ORDER BY id";
        let rows = client.query(sql, &[&CLASS]).await.expect("the table");
        let rows: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let last = Position::new(&epoch, rows.last().map_or(0, |row| row.0));

        let here = |position: Option<Position>| {
            position.is_some_and(|at| at.epoch == last.epoch && at.id >= last.id)
        };
        wait(async || self.dashboards.iter().all(|dashboard| here(dashboard.position()))).await;
        let history = self.recorder.history();

        let mut states = Vec::new();
        let fresh_one = std::iter::once(("a fresh replica".to_owned(), &fresh));
        let named = |(index, relay)| (format!("replica {index}"), relay);
        for (of, relay) in self.relays.iter().enumerate().map(named).chain(fresh_one) {
            wait(async || here(summary(relay).await.ok().map(|(position, _)| position))).await;
            let (position, value) = summary(relay)
                .await
                .unwrap_or_else(|answer| (Position::new("none", 0), json!({"answer": answer})));
            states.push(State { of, position, value });
        }
        let expected = expected(&fresh, &last).await;
        wait(async || {
            let sql = "SELECT through_id FROM state_through";
            client.query_one(sql, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) >= last.id)
        })
        .await;
        let rebuilt = run(&["rebuild-state", "--check"], &[("DATABASE_URL", &url)]).await;
        let rebuild = Some((rebuilt.code.unwrap_or(-1), rebuilt.stdout + &rebuilt.stderr));
        let afterwards = Afterwards { epoch, rows, expected, states, rebuild };
        let report = check(&history, &afterwards, self.promise);
        let log = self.relays.iter().map(Relay::log).collect::<Vec<_>>().join("\n");
        let readiness = self.readiness.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Outcome { name: self.name, report, history, readiness, wrong: Vec::new(), lines, log }
    }
}

/// Waits until `so` holds, but not beyond [`REST`]: the checker reports what is missing then.
async fn wait(so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while begin.elapsed() < REST && !so().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Requests `/readyz` of every relay, again and again.
async fn ask(
    urls: Vec<progress_relay::client::BaseUrl>,
    begun: Instant,
    readings: Arc<Mutex<Vec<Readiness>>>,
) {
    loop {
        for (relay, url) in urls.iter().enumerate() {
            let asked = async { Connection::open(url).await?.get("/readyz").await };
            let answer = tokio::time::timeout(Duration::from_secs(2), asked).await;
            let (status, body) = match answer {
                Ok(Ok(response)) => (response.status.as_u16(), response.json().unwrap_or_default()),
                _ => (0, Value::Null),
            };
            let readiness = Readiness { at: begun.elapsed(), relay, status, body };
            readings.lock().unwrap_or_else(PoisonError::into_inner).push(readiness);
        }
        tokio::time::sleep(READINESS).await;
    }
}

/// A relay's summary and its cursor, or the answer that is none.
async fn summary(relay: &Relay) -> Result<(Position, Value), String> {
    let asked = async { Connection::open(&relay.url).await?.get(&format!("{WHOLE}{CLASS}")).await };
    let response = asked.await.map_err(|error| error.to_string())?;
    let answer: Value = response.json().map_err(|error| error.to_string())?;
    let cursor =
        answer["cursor"].as_str().ok_or_else(|| format!("{} {answer}", response.status))?;
    Ok((Position::of(cursor), without_times(answer)))
}

/// The fold of the table's events, made here.
async fn expected(fresh: &Relay, last: &Position) -> Value {
    let mut state = ClassState::default();
    let mut subscriber = fresh.subscribe(&[CLASS], Some(&format!("{}.0", last.epoch))).await;
    let mut at = 0;
    while at < last.id {
        match within("the whole table", subscriber.next()).await.expect("a frame") {
            Frame::Progress { events, cursor } => {
                for event in events {
                    fold(&mut state, &serde_json::from_str(event.get()).expect("JSON"));
                }
                at = Position::of(&cursor).id;
            }
            Frame::Reset { reason, .. } => panic!("the whole table: a reset ({reason})"),
            _ => {}
        }
    }
    without_times(summary_of(&mut state, Micros(0)))
}

/// The outcome of a play.
pub struct Outcome {
    pub name: String,
    pub report: Report,
    pub history: Vec<Record>,
    /// All answers of `/readyz`.
    pub readiness: Vec<Readiness>,
    /// Failures that the play itself found.
    pub wrong: Vec<String>,
    /// How many lines the relays logged since the fault.
    pub lines: usize,
    pub log: String,
}

impl Outcome {
    pub const HEAD: &str = "\
| fault | acknowledged | delivered to all | lost: silent | announced | not in table: silent | \
announced | given up | refused | twice | again in another epoch | gaps | resets | state | first \
2xx, first frames after the end | on an orphan | unready | log lines |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

    /// The outcome as a row of the table.
    pub fn row(&self) -> String {
        let report = &self.report;
        let seconds = |time: Option<Duration>| {
            time.map_or("never".into(), |t| format!("{:.1} s", t.as_secs_f64()))
        };
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for violation in &report.violations {
            *kinds.entry(format!("{:?}", violation.kind)).or_default() += 1;
        }
        let state = if kinds.contains_key("StateDiffers") { "**differs**" } else { "equal" };
        [
            String::new(),
            self.name.clone(),
            report.acknowledged.to_string(),
            report.delivered.to_string(),
            report.lost_silently.to_string(),
            report.lost_announced.to_string(),
            report.orphaned_silently.to_string(),
            report.orphaned_announced.to_string(),
            report.given_up.to_string(),
            report.refused.to_string(),
            report.twice.to_string(),
            report.again.to_string(),
            report.gaps.to_string(),
            report.resets.to_string(),
            state.to_owned(),
            format!("{}, {}", seconds(report.recovered_posts), seconds(report.recovered_frames)),
            format!("{:.1} s", report.orphan_time.as_secs_f64()),
            format!("{}/{}", self.unready().len(), self.readiness.len()),
            self.lines.to_string(),
            String::new(),
        ]
        .join(" | ")
        .trim()
        .to_owned()
    }

    /// Adds a failure unless `so`.
    pub fn must(&mut self, so: bool, otherwise: String) {
        if !so {
            self.wrong.push(otherwise);
        }
    }

    /// The answers of relays that were not ready.
    pub fn unready(&self) -> Vec<String> {
        let unready = self.readiness.iter().filter(|answer| answer.status != 200);
        unready
            .map(|answer| {
                format!("{:?} relay {}: {} {}", answer.at, answer.relay, answer.status, answer.body)
            })
            .collect()
    }

    /// The violations of the state afterwards.
    pub fn state(&self) -> String {
        let of_state = self
            .report
            .violations
            .iter()
            .filter(|violation| violation.kind == ViolationKind::StateDiffers);
        of_state.map(|violation| violation.text.clone()).collect::<Vec<_>>().join("\n")
    }

    /// Asserts that nothing is wrong and that the relays recovered in time.
    pub fn assert_good(&self, recovery: Duration) {
        println!("{}\n{}", Self::HEAD, self.row());
        if let Some(first) = self.report.violations.first() {
            let (row, explained, state) =
                (self.row(), self.report.explain(first, &self.history), self.state());
            panic!("{}: {row}\n{explained}\n{state}\n{}", self.name, self.log);
        }
        assert!(self.wrong.is_empty(), "{}: {}\n{}", self.name, self.wrong.join("; "), self.log);
        for (what, took) in
            [("POST", self.report.recovered_posts), ("frame", self.report.recovered_frames)]
        {
            let text =
                format!("{}: the first {what} came {took:?} after the fault's end", self.name);
            assert!(took.is_some_and(|took| took <= recovery + LATE), "{text}\n{}", self.log);
        }
    }
}
