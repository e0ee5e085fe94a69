//! Students' clients and instructors' dashboards, each recording what it sends and gets.

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

use crate::support::checker::{Place, Recorder, What, Who};
use crate::support::event;

/// The class that is played.
pub const CLASS: &str = "default";
/// How long a dashboard waits before it connects again.
const AGAIN: std::ops::Range<u64> = 50..250;

/// A client in the field with its own patience: when it takes an answer for success, how long it
/// waits for one, and how long before each retry.
#[derive(Debug)]
pub struct Client {
    success_below: u16,
    timeout: Duration,
    /// In milliseconds; the event is given up after the last.
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
    /// Sends an event until it takes an answer for success; `false` if it gives up.
    pub async fn send(
        &self,
        url: &BaseUrl,
        mark: i64,
        event: &Value,
        record: &impl Fn(What),
    ) -> bool {
        let body = event.to_string();
        let mut retries = self.retries.iter();
        loop {
            record(What::Sent { mark });
            let attempt = async {
                let mut connection = Connection::open(url).await?;
                connection.set_answer_timeout(self.timeout);
                connection.post_json("/api/v1/events", body.clone()).await
            };
            match tokio::time::timeout(self.timeout, attempt).await {
                Ok(Ok(answer)) => {
                    let status = answer.status.as_u16();
                    let said: Value = answer.json().unwrap_or_default();
                    let place = said["cursor"].as_str().map(Place::of);
                    record(What::Answered { mark, status, place });
                    if status < self.success_below {
                        return true;
                    }
                }
                Ok(Err(error)) => record(What::Unanswered { mark, why: error.to_string() }),
                Err(_) => {
                    record(What::Unanswered { mark, why: format!("after {:?}", self.timeout) })
                }
            }
            let wait = match retries.next() {
                Some(wait) => *wait,
                None if self.patient => self.retries.last().copied().unwrap_or(500),
                None => {
                    record(What::GaveUp { mark });
                    return false;
                }
            };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }
}

/// An event as a lesson has them: runs of cells, some failing, and hands.
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

/// Students who post at a steady rate, whatever becomes of earlier events.
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

    /// What posts the next event, by the next client or the one that is named.
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
                let record = |what| {
                    if matches!(what, What::Answered { status: 200..=299, .. }) {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    recorder.record(Who::Producer(number), what);
                };
                client.send(&url, mark, &event_of_lesson(mark), &record).await;
            });
        }
    }

    /// How many POSTs were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// No new events; waits for those under way, one last one included, for so long at most.
    pub async fn finish(self, patience: Duration) {
        self.stop.cancel();
        // By the patient client.
        self.poster()(Some(2));
        self.posting.close();
        if tokio::time::timeout(patience, self.posting.wait()).await.is_err() {
            let text = format!(
                "{} POSTs were still under way {patience:?} after the end",
                self.posting.len()
            );
            self.recorder.record(Who::Stage, What::Note(text));
        }
    }
}

/// An instructor's dashboard: it follows through disconnects by its cursor.
pub struct Dashboard {
    place: Arc<Mutex<Option<Place>>>,
    live: CancellationToken,
    _following: AbortOnDropHandle<()>,
}

impl Dashboard {
    pub fn open(number: usize, recorder: &Recorder, url: &BaseUrl) -> Self {
        let (place, live) = (Arc::default(), CancellationToken::new());
        let following =
            follow(number, recorder.clone(), url.clone(), Arc::clone(&place), live.clone());
        Self { place, live, _following: AbortOnDropHandle::new(tokio::spawn(following)) }
    }

    /// Waits for its first `live`.
    pub async fn live(&self) {
        self.live.cancelled().await;
    }

    /// Its last cursor.
    pub fn place(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn follow(
    number: usize,
    recorder: Recorder,
    url: BaseUrl,
    last: Arc<Mutex<Option<Place>>>,
    live: CancellationToken,
) {
    let record = |what| recorder.record(Who::Dashboard(number), what);
    let classes = [CLASS.to_owned()];
    loop {
        let from = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cursor = from.as_ref().map(Place::to_string);
        match Subscriber::connect(&url, &classes, cursor.as_deref()).await {
            Err(error) => record(What::Lost { why: error.to_string() }),
            Ok(mut subscriber) => {
                record(What::Connected { to: url.to_string(), from });
                let why = loop {
                    let frame = match subscriber.next().await {
                        Ok(Frame::Closed { code, reason }) => {
                            break format!("closed, {code:?} {reason}");
                        }
                        Err(error) => break error.to_string(),
                        Ok(frame) => frame,
                    };
                    if let Some((place, what)) = recorded(frame) {
                        let is_live = matches!(what, What::Live { .. });
                        record(what);
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
                        if is_live {
                            live.cancel();
                        }
                    }
                };
                record(What::Lost { why });
            }
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(AGAIN))).await;
    }
}

/// A frame as the history has it, and its cursor.
fn recorded(frame: Frame) -> Option<(Place, What)> {
    Some(match frame {
        Frame::Progress { cursor, events } => {
            let place = Place::of(&cursor);
            let number = |event: &Value, name: &str| event[name].as_i64().unwrap_or(-1);
            let events = events.iter().map(|event| {
                let event: Value = serde_json::from_str(event.get()).expect("JSON");
                (number(&event, "id"), number(&event, "n"))
            });
            (place.clone(), What::Progress { place, events: events.collect() })
        }
        Frame::Live { cursor, .. } => {
            let place = Place::of(&cursor);
            (place.clone(), What::Live { place })
        }
        Frame::Mark { cursor, .. } | Frame::Pong { cursor, .. } => {
            let place = Place::of(&cursor);
            (place.clone(), What::Mark { place })
        }
        Frame::Reset { reason, cursor } => {
            let place = Place::of(&cursor);
            (place.clone(), What::Reset { reason, place })
        }
        _ => return None,
    })
}
