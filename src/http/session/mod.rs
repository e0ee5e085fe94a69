//! A session: a cursor over the log, and over the table's pages behind it, for one subscriber.
//!
//! Live, resume, replay and catching up are the one loop of [`Session::run`]: give what follows the
//! cursor, then wait until there is more. It knows a [`Transport`], a stream of what the peer says
//! and a sink of frames, not a socket.

mod cut;
mod outbox;
mod page;
mod peer;
mod start;
#[cfg(test)]
mod tests;
mod trim;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::server::drain::Drain;
use super::server::timeouts::{LastActivity, PEER_TIMEOUT};
use crate::event::{ClassId, Cursor};
use crate::log::{Frame, Log, Read, Subscription};
use crate::repeated::{Repeated, Waiting};
use crate::state::Classes;
use crate::store::Pages;
use crate::tail::Tail;

pub(super) use outbox::{Kind, Outbox, Shed};
pub(super) use peer::{Close, Incoming, Outgoing};
pub(super) use start::{ResetReason, Start};
pub(super) use trim::Trim;

/// Half of the interval between pings. A mark is due at a tick if nothing was sent since the last
/// one, so that silence stays under two of them.
const TICK: Duration = Duration::from_millis(12_250);
/// Pings go out at every second tick: 24.5 s.
const TICKS_PER_PING: u32 = 2;
/// Bytes taken from the log at once, at first: what a session that stalls may hold.
const MIN_GULP: usize = 32 * 1024;
/// Bytes taken at once by a session whose socket takes all it is given.
const MAX_GULP: usize = 256 * 1024;
/// What an event is taken to weigh when a page's rows are counted from a gulp. Where they weigh
/// more, the page is broken off at twice the gulp, which costs its connection; known clients'
/// events weigh about this much.
const PAGE_EVENT_BYTES: usize = 512;
/// A socket that takes nothing for this long is not fed any more: what it has not begun to take is
/// forgotten, and read again once it goes on. So a subscriber that stalls costs its cursor and one
/// frame.
const STALL: Duration = Duration::from_secs(2);
/// How long to wait after a page could not be read.
const PAGE_RETRY: Duration = Duration::from_millis(500);
/// Sessions that cannot read a page; in an outage all of them try again several times a second.
static UNREAD: Repeated = Repeated::new();

/// What a session talks through: a stream of what the peer says, a sink of frames. It takes any
/// number of frames; the session flushes it before it goes on.
pub(super) trait Transport:
    Stream<Item = Incoming> + Sink<Outgoing, Error = Close> + Unpin
{
    /// Forgets the frames that the peer has not begun to take and that can be said again.
    fn shed(&mut self) -> Shed;
}

/// What sessions share.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) log: Arc<Log>,
    pub(super) pages: Pages,
    pub(super) tail: Tail,
    /// Know the database's clock.
    pub(super) classes: Classes,
}

/// One subscriber.
pub(super) struct Session<T> {
    sources: Sources,
    classes: Arc<[ClassId]>,
    /// What the subscriber does not want; most want everything.
    trim: Option<Box<Trim>>,
    transport: T,
    life: LastActivity,
    cursor: Cursor,
    /// Where it started: the peer stands there as long as it was given nothing.
    start: Cursor,
    /// Once the cursor is here it is said, once, that the subscriber is live.
    live_at: i64,
    /// Of how many deletions of events the subscriber knows.
    expiry: u64,
    live_said: bool,
    gulp: usize,
    ticks: Interval,
    tick: u32,
    sent_since_tick: bool,
    pong_due: bool,
    mark_due: bool,
    /// Held from the first page that could not be read until one could.
    waiting: Option<Waiting<'static>>,
    leaving: Leaving,
}

/// When a session of a relay that drains goes.
struct Leaving {
    drain: Drain,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    leave: Option<Pin<Box<Sleep>>>,
}

impl<T: Transport> Session<T> {
    pub(super) fn new(
        sources: Sources,
        classes: Vec<ClassId>,
        start: Start,
        trim: Option<Trim>,
        transport: T,
        life: LastActivity,
        drain: &Drain,
    ) -> Self {
        // The first tick is somewhere within the interval: sessions that came together do not ping
        // together.
        let first = Instant::now() + TICK.mul_f64(fastrand::f64());
        let mut ticks = tokio::time::interval_at(first, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = Box::pin(drain.closing().clone().cancelled_owned());
        let leaving = Leaving { drain: drain.clone(), closing, leave: None };
        Self {
            sources,
            classes: classes.into(),
            trim: trim.map(Box::new),
            transport,
            life,
            start: start.cursor.clone(),
            cursor: start.cursor,
            live_at: start.live_at,
            expiry: start.expiry,
            live_said: false,
            gulp: MIN_GULP,
            ticks,
            tick: 0,
            sent_since_tick: false,
            pong_due: false,
            mark_due: false,
            waiting: None,
            leaving,
        }
    }

    /// Serves the subscriber to its end, and says why that is; hands back the transport, for the
    /// farewell.
    pub(super) async fn run(mut self, reset: Option<ResetReason>) -> (T, Close) {
        let Err(close) = self.serve(reset).await;
        (self.transport, close)
    }

    async fn serve(&mut self, reset: Option<ResetReason>) -> Result<Infallible, Close> {
        // Before the first look at the log: what comes between a look and a wait must wake.
        let subscription = self.sources.log.subscribe(&self.classes);
        if let Some(reason) = reset {
            self.send(start::reset_frame(reason, &self.cursor))?;
        }
        loop {
            match self.sources.log.read(&self.cursor, self.expiry, &self.classes, self.gulp) {
                Read::Frames(frames, through) => self.send_frames(frames, through)?,
                Read::Behind(floor) => self.read_page(floor).await?,
                Read::OtherEpoch(position) => self.reset(ResetReason::Epoch, position)?,
                Read::Expired(position) => self.reset(ResetReason::Expired, position)?,
                Read::UpToDate(through) => {
                    // Below the cursor when another replica, which gave it out, is ahead of this
                    // one.
                    self.cursor.id = self.cursor.id.max(through);
                    self.say_what_is_due()?;
                    if self.flush().await? {
                        self.gulp = MIN_GULP;
                        self.wait(&subscription).await?;
                    }
                    continue;
                }
            }
            self.say_what_is_due()?;
            if self.flush().await? {
                self.gulp = (self.gulp * 2).min(MAX_GULP);
            }
        }
    }

    fn send(&mut self, frame: Outgoing) -> Result<(), Close> {
        self.sent_since_tick = true;
        Pin::new(&mut self.transport).start_send(frame)
    }

    fn send_frames(&mut self, frames: Vec<Frame>, through: i64) -> Result<(), Close> {
        let frames = match &self.trim {
            Some(trim) => trim.frames(&frames, &self.cursor.epoch),
            None => frames,
        };
        for frame in frames {
            let cursor = Cursor { epoch: self.cursor.epoch.clone(), id: frame.last };
            self.send(Outgoing::Text { text: frame.text, cursor, kind: Kind::Events })?;
        }
        self.cursor.id = through;
        Ok(())
    }

    /// From here on it goes on elsewhere, and the subscriber is told.
    fn reset(&mut self, reason: ResetReason, position: Cursor) -> Result<(), Close> {
        self.live_at = position.id;
        self.expiry = self.sources.log.expiry();
        self.live_said = false;
        self.cursor = position;
        self.send(start::reset_frame(reason, &self.cursor))
    }

    /// What is not an event: each is said where the subscriber stands.
    fn say_what_is_due(&mut self) -> Result<(), Close> {
        if !self.live_said && self.live_at <= self.cursor.id {
            self.live_said = true;
            self.send(start::clock_frame(Kind::Live, &self.cursor, self.sources.classes.now()))?;
        }
        if std::mem::take(&mut self.pong_due) {
            self.send(start::cursor_frame(Kind::Pong, &self.cursor))?;
        }
        if std::mem::take(&mut self.mark_due) {
            self.send(start::clock_frame(Kind::Mark, &self.cursor, self.sources.classes.now()))?;
        }
        Ok(())
    }

    /// Sends a page of the table: the cursor lies before what is in memory.
    async fn read_page(&mut self, floor: i64) -> Result<(), Close> {
        let (pages, classes) = (self.sources.pages.clone(), Arc::clone(&self.classes));
        let (after, gulp) = (self.cursor.clone(), self.gulp);
        // Boxed: it is larger than all else of a session, and most never read a page.
        let rows = gulp / PAGE_EVENT_BYTES;
        let page = Box::pin(async move {
            page::read_page(&pages, &classes, &after, floor, rows, 2 * gulp).await
        });
        let page = self.attend(page).await?;
        if page.is_ok() {
            self.waiting = None;
        }
        match page {
            // The tail finds the same, and then the log says so: that path resets.
            Ok(page) if page.header.epoch != self.cursor.epoch => {
                self.sources.tail.ring();
                self.attend(tokio::time::sleep(PAGE_RETRY)).await
            }
            Ok(page) if page.header.pruned > self.cursor.id => {
                self.reset(ResetReason::Expired, self.sources.log.position())
            }
            Ok(page) if page.through > self.cursor.id => {
                self.send_frames(page.frames, page.through)
            }
            // Nothing to go on with, and the log is further: the table lost its end a moment ago,
            // and the tail is to find it.
            Ok(_) => {
                self.sources.tail.ring();
                self.attend(tokio::time::sleep(PAGE_RETRY)).await
            }
            Err(error) => {
                self.waiting.get_or_insert_with(|| UNREAD.wait());
                if let Some(due) = UNREAD.met(&error.to_string()) {
                    let waiting = UNREAD.waiting();
                    tracing::warn!(
                        waiting,
                        "subscribers wait, since history cannot be read{due}: {error}"
                    );
                }
                self.attend(tokio::time::sleep(PAGE_RETRY.mul_f64(0.5 + fastrand::f64()))).await
            }
        }
    }

    /// Waits until something of the classes comes, or something is due.
    async fn wait(&mut self, subscription: &Subscription) -> Result<(), Close> {
        let mut woken = pin!(subscription.woken());
        poll_fn(|cx| {
            self.poll_peer(cx)?;
            if self.pong_due || self.mark_due {
                return Poll::Ready(Ok(()));
            }
            woken.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Waits for `work`, the peer attended to meanwhile.
    async fn attend<F: Future>(&mut self, work: F) -> Result<F::Output, Close> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.poll_peer(cx)?;
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Waits until the peer has taken what was sent. If it stalls, what can be said again is
    /// forgotten, and the answer is no: it is to be said again.
    async fn flush(&mut self) -> Result<bool, Close> {
        if let Ok(flushed) = timeout(STALL, self.flushed()).await {
            return flushed.map(|()| true);
        }
        let shed = self.transport.shed();
        self.cursor = shed.cursor.unwrap_or_else(|| self.start.clone());
        self.live_said &= !shed.live;
        self.mark_due |= shed.mark;
        self.pong_due |= shed.pong;
        self.gulp = MIN_GULP;
        self.flushed().await.map(|()| false)
    }

    async fn flushed(&mut self) -> Result<(), Close> {
        poll_fn(|cx| {
            self.poll_peer(cx)?;
            Pin::new(&mut self.transport).poll_flush(cx)
        })
        .await
    }

    /// Attends to everything but the log: the peer's words, the clock, the drain. Registers to be
    /// woken by each.
    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Result<(), Close> {
        while let Poll::Ready(said) = Pin::new(&mut self.transport).poll_next(cx) {
            match said {
                Some(Incoming::Ping) => self.pong_due = true,
                Some(Incoming::Close(close)) => return Err(close),
                None => return Err(Close::Gone),
            }
        }
        while self.ticks.poll_tick(cx).is_ready() {
            if self.life.idle() >= PEER_TIMEOUT {
                return Err(Close::Silent);
            }
            self.mark_due |= !std::mem::take(&mut self.sent_since_tick);
            self.tick = self.tick.wrapping_add(1);
            if self.tick.is_multiple_of(TICKS_PER_PING) {
                Pin::new(&mut self.transport).start_send(Outgoing::Ping)?;
            }
        }
        self.leaving.poll(cx)?;
        // Answers to the peer's control frames go out whatever else is waited for.
        if let Poll::Ready(Err(close)) = Pin::new(&mut self.transport).poll_flush(cx) {
            return Err(close);
        }
        Ok(())
    }
}

impl Leaving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), Close> {
        let drain = &self.drain;
        let leave = match &mut self.leave {
            Some(leave) => leave,
            None if self.closing.as_mut().poll(cx).is_pending() => return Ok(()),
            None => self.leave.insert(Box::pin(tokio::time::sleep(drain.stay()))),
        };
        if leave.as_mut().poll(cx).is_ready() { Err(Close::GoingAway) } else { Ok(()) }
    }
}
