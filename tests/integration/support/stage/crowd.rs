//! Students' clients and instructors' dashboards, which record everything that they send and
//! receive.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use progress_relay::client::BaseUrl;
use progress_relay::client::http::Connection;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::support::checker::{Action, Actor, Position, Recorder};
use crate::support::event;

/// The class of every play.
pub const CLASS: &str = "default";
/// How long a dashboard waits before it connects again.
const AGAIN: std::ops::Range<u64> = 50..250;

/// A client as in the field: which answers it takes for success, how long it waits for one, and its
/// pauses before retries.
#[derive(Debug)]
pub struct Client {
    success_below: u16,
    timeout: Duration,
    /// The pauses in milliseconds; the client gives the event up after the last.
    retries: &'static [u64],
    /// Whether the last retry is repeated until it succeeds.
    patient: bool,
}

/// Cell Monitor 0.1.0, Cell Monitor 1.1.4, and a client that does not give up.
pub const CLIENTS: [Client; 3] = [
    Client {
        success_below: 300,
        timeout: Duration::from_secs(3600),
        retries: &[1000, 2000, 4000],
        patient: false,
    },
    Client {
        success_below: 500,
        timeout: Duration::from_secs(8),
        retries: &[500, 1000, 2000],
        patient: false,
    },
    Client {
        success_below: 300,
        timeout: Duration::from_secs(10),
        retries: &[200, 500],
        patient: true,
    },
];

impl Client {
    /// Sends an event until an answer is a success; returns `false` if it gives up.
    pub async fn send(
        &self,
        url: &BaseUrl,
        mark: i64,
        event: &Value,
        record: &impl Fn(Action),
    ) -> bool {
        let body = event.to_string();
        let mut retries = self.retries.iter();
        loop {
            record(Action::Sent { mark });
            let attempt = async {
                let mut connection = Connection::open(url).await?;
                connection.set_answer_timeout(self.timeout);
                connection.post_json("/api/v1/events", body.clone()).await
            };
            match tokio::time::timeout(self.timeout, attempt).await {
                Ok(Ok(answer)) => {
                    let status = answer.status.as_u16();
                    let answer: Value = answer.json().unwrap_or_default();
                    let position = answer["cursor"].as_str().map(Position::of);
                    record(Action::Answered { mark, status, position });
                    if status < self.success_below {
                        return true;
                    }
                }
                Ok(Err(error)) => record(Action::Unanswered { mark, why: error.to_string() }),
                Err(_) => {
                    record(Action::Unanswered { mark, why: format!("after {:?}", self.timeout) })
                }
            }
            let wait = match retries.next() {
                Some(wait) => *wait,
                None if self.patient => self.retries.last().copied().unwrap_or(500),
                None => {
                    record(Action::GaveUp { mark });
                    return false;
                }
            };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }
}

/// An event of a lesson: the run of a cell, which may fail, a raised hand, or a saved notebook.
fn event_of_lesson(mark: i64) -> Value {
    let mut event = event(usize::try_from(mark).expect("a mark"));
    let (student, step) = (mark % 200, mark / 200);
    event["userName"] = format!("Student {student}").into();
    event["notebookPath"] = "lesson.ipynb".into();
    match mark % 23 {
        0 => event["eventType"] = "help".into(),
        1 => event["eventType"] = "notebook_saved".into(),
        _ => {
            event["cellId"] = format!("cell-{}", step % 10).into();
            event["cellIndex"] = (step % 10).into();
            event["cellType"] = "code".into();
            event["executionCount"] = (step + 1).into();
            event["hasError"] = (mark % 5 == 0).into();
            if mark % 5 == 0 {
                event["errorMessage"] = "NameError: name 'x' is not defined".into();
            }
        }
    }
    event
}

/// Students who post at a steady rate, whether or not earlier events were answered.
pub struct Producers {
    stop: CancellationToken,
    posting: TaskTracker,
    acknowledged: Arc<AtomicUsize>,
    next: Arc<AtomicI64>,
    recorder: Recorder,
    url: BaseUrl,
    _schedule: AbortOnDropHandle<()>,
}

impl Producers {
    pub fn start(recorder: &Recorder, url: &BaseUrl, rate: f64) -> Self {
        let (stop, posting) = (CancellationToken::new(), TaskTracker::new());
        let (acknowledged, next) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicI64::new(1)));
        let mut this = Self {
            stop: stop.clone(),
            posting,
            acknowledged,
            next,
            recorder: recorder.clone(),
            url: url.clone(),
            _schedule: AbortOnDropHandle::new(tokio::spawn(async {})),
        };
        let poster = this.poster();
        let schedule = stop.run_until_cancelled_owned(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                ticks.tick().await;
                poster(None);
            }
        });
        this._schedule = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = schedule.await;
        }));
        this
    }

    /// A function that posts the next event, by the next client or by the given one.
    fn poster(&self) -> impl Fn(Option<usize>) + Send + 'static {
        let (recorder, url, posting) =
            (self.recorder.clone(), self.url.clone(), self.posting.clone());
        let (acknowledged, next) = (Arc::clone(&self.acknowledged), Arc::clone(&self.next));
        move |client| {
            let mark = next.fetch_add(1, Ordering::Relaxed);
            let (recorder, url, acknowledged) =
                (recorder.clone(), url.clone(), Arc::clone(&acknowledged));
            posting.spawn(async move {
                let number = usize::try_from(mark % 200).expect("a student");
                let client = &CLIENTS[client.unwrap_or(number % CLIENTS.len())];
                let record = |action| {
                    if matches!(action, Action::Answered { status: 200..=299, .. }) {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    recorder.record(Actor::Producer(number), action);
                };
                client.send(&url, mark, &event_of_lesson(mark), &record).await;
            });
        }
    }

    /// How many POSTs were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops new events, sends one last event, and waits for all answers, for `patience` at most.
    pub async fn finish(self, patience: Duration) {
        self.stop.cancel();
        // The patient client sends it.
        self.poster()(Some(2));
        self.posting.close();
        if tokio::time::timeout(patience, self.posting.wait()).await.is_err() {
            let text = format!(
                "{} POSTs were still under way {patience:?} after the end",
                self.posting.len()
            );
            self.recorder.record(Actor::Stage, Action::Note(text));
        }
    }
}

/// An instructor's dashboard, which resumes by its cursor after each disconnect.
pub struct Dashboard {
    position: Arc<Mutex<Option<Position>>>,
    live: CancellationToken,
    _following: AbortOnDropHandle<()>,
}

impl Dashboard {
    pub fn open(number: usize, recorder: &Recorder, url: &BaseUrl) -> Self {
        let (position, live) = (Arc::default(), CancellationToken::new());
        let following =
            follow(number, recorder.clone(), url.clone(), Arc::clone(&position), live.clone());
        Self { position, live, _following: AbortOnDropHandle::new(tokio::spawn(following)) }
    }

    /// Waits for its first `live`.
    pub async fn live(&self) {
        self.live.cancelled().await;
    }

    /// Its last cursor.
    pub fn position(&self) -> Option<Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn follow(
    number: usize,
    recorder: Recorder,
    url: BaseUrl,
    last: Arc<Mutex<Option<Position>>>,
    live: CancellationToken,
) {
    let record = |action| recorder.record(Actor::Dashboard(number), action);
    let classes = [CLASS.to_owned()];
    loop {
        let from = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cursor = from.as_ref().map(Position::to_string);
        match Subscriber::connect(&url, &classes, cursor.as_deref()).await {
            Err(error) => record(Action::Lost { why: error.to_string() }),
            Ok(mut subscriber) => {
                record(Action::Connected { to: url.to_string(), from });
                let why = loop {
                    let frame = match subscriber.next().await {
                        Ok(Frame::Closed { code, reason }) => {
                            break format!("closed, {code:?} {reason}");
                        }
                        Err(error) => break error.to_string(),
                        Ok(frame) => frame,
                    };
                    if let Some((position, action)) = recorded(frame) {
                        let is_live = matches!(action, Action::Live { .. });
                        record(action);
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
                        if is_live {
                            live.cancel();
                        }
                    }
                };
                record(Action::Lost { why });
            }
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(AGAIN))).await;
    }
}

/// A frame as it is recorded, and its cursor.
fn recorded(frame: Frame) -> Option<(Position, Action)> {
    Some(match frame {
        Frame::Progress { cursor, events } => {
            let position = Position::of(&cursor);
            let number = |event: &Value, name: &str| event[name].as_i64().unwrap_or(-1);
            let events = events.iter().map(|event| {
                let event: Value = serde_json::from_str(event.get()).expect("JSON");
                (number(&event, "id"), number(&event, "n"))
            });
            (position.clone(), Action::Progress { position, events: events.collect() })
        }
        Frame::Live { cursor, .. } => {
            let position = Position::of(&cursor);
            (position.clone(), Action::Live { position })
        }
        Frame::Mark { cursor, .. } | Frame::Pong { cursor, .. } => {
            let position = Position::of(&cursor);
            (position.clone(), Action::Mark { position })
        }
        Frame::Reset { reason, cursor } => {
            let position = Position::of(&cursor);
            (position.clone(), Action::Reset { reason, position })
        }
        _ => return None,
    })
}
