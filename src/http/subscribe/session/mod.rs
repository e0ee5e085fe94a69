//! A session: one subscriber's cursor over the log, and over the table's pages behind it.
//!
//! **The loop.** Live, resume, replay and catching up are one loop, [`SubscriberSession::run`]:
//! take the events that follow the cursor, hand them to the transport, wait until the peer has
//! taken them, and only then look for more. If nothing follows the cursor, wait until the log has
//! something of these classes. If the cursor lies before what the log holds in memory, read a page
//! of the table instead. Nothing is ever pushed into a subscriber's queue, so a slow socket is
//! merely behind, and there is no second path for recovery that could fail differently.
//!
//! **While it waits.** Every wait of the loop also attends to the peer
//! ([`SubscriberSession::poll_peer`]): it reads the peer's messages, follows the clock, notices the
//! drain, and writes the answers to the peer's control frames. A wait that did not would leave
//! pings unanswered for as long as a page of the table takes.
//!
//! **How much at once.** The read budget says how many bytes the loop takes from the log at once.
//! It doubles while the socket takes all it is given, up to [`MAX_READ_BUDGET`], and falls back to
//! [`MIN_READ_BUDGET`] when the session is up to date or the socket stalls. So a fast subscriber
//! catches up in large steps, and a stalled one holds little.
//!
//! It knows a [`Transport`], a stream of the peer's messages and a sink of frames, not a socket.

mod cut;
mod frames;
mod heartbeat;
mod json_prefix;
pub(super) mod leave;
pub(in crate::http) mod messages;
pub(super) mod outbox;
mod pages;
pub(super) mod start;
#[cfg(test)]
mod tests;
pub(super) mod trim;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};
use tokio::time::timeout;

use self::heartbeat::Heartbeat;
use self::leave::Leave;
use self::messages::{Close, FrameKind, Incoming, Outgoing};
use self::outbox::Dropped;
use self::start::{ResetReason, Start};
use self::trim::Trim;
use crate::database::Pages;
use crate::event::{ClassId, Cursor, Micros};
use crate::http::measures::HttpMetrics;
use crate::http::server::timeouts::LastActivity;
use crate::log::{EncodedFrame, Log, Read, Subscription};
use crate::repeated::{Repeated, Waiting};
use crate::state::Classes;
use crate::tail::Tail;

/// The read budget at first, in bytes: what a session that stalls may hold.
const MIN_READ_BUDGET: usize = 32 * 1024;
/// The read budget of a session whose socket takes all it is given, in bytes.
const MAX_READ_BUDGET: usize = 256 * 1024;
/// The bytes that an event is assumed to have when a page's rows are counted from the read budget.
/// Where events are larger, the page is broken off at twice the budget, which costs its connection.
/// Known clients' events have about this size.
const PAGE_EVENT_BYTES: usize = 512;
/// After a socket has taken nothing for this long, frames of which it has taken no byte are
/// dropped, and read once more when it goes on. So a subscriber that stalls costs its cursor and
/// one frame.
const STALL: Duration = Duration::from_secs(2);
/// How long to wait after a page could not be read.
const PAGE_RETRY: Duration = Duration::from_millis(500);
/// Sessions that cannot read a page; in an outage all of them try again several times a second.
static UNREAD: Repeated = Repeated::new();

/// A session's way to its peer: a stream of the peer's messages, a sink of frames. It takes any
/// number of frames; the session flushes it before it goes on.
pub(super) trait Transport:
    Stream<Item = Incoming> + Sink<Outgoing, Error = Close> + Unpin
{
    /// Drops the frames that the peer has not begun to take and that can be sent once more.
    fn drop_unsent(&mut self) -> Dropped;
}

/// The parts of the relay that all sessions share.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) log: Arc<Log>,
    pub(super) pages: Pages,
    pub(super) tail: Tail,
    /// Know the database's clock.
    pub(super) classes: Classes,
    pub(super) metrics: HttpMetrics,
}

/// One subscriber.
pub(super) struct SubscriberSession<T> {
    sources: Sources,
    classes: Arc<[ClassId]>,
    /// What the subscriber may not have or does not want; most are sent everything.
    trim: Option<Box<Trim>>,
    transport: T,
    heartbeat: Heartbeat,
    cursor: Cursor,
    /// The peer's cursor until it is given the first frame.
    start: Cursor,
    /// Why it did not start where the subscriber wished; told at the beginning.
    start_reset: Option<ResetReason>,
    /// Once the cursor is here the subscriber is told, once, that it is live.
    live_at: i64,
    /// The log's count of deletions of which the subscriber knows.
    expiry: u64,
    live_sent: bool,
    read_budget: usize,
    /// Whether the session reads events that are old because the subscriber was away or slow.
    is_catching_up: bool,
    /// When the first event was stored that is on its way to the peer and counts as new.
    on_its_way: Option<Micros>,
    /// Held from the first page that could not be read until one could.
    waiting: Option<Waiting<'static>>,
    leave: Leave,
}

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushed {
    /// The peer has taken every frame.
    All,
    /// The peer stalled: unsent frames were dropped, and the cursor was set back before them.
    DroppedUnsent,
}

impl<T: Transport> SubscriberSession<T> {
    pub(super) fn new(
        sources: Sources,
        classes: Vec<ClassId>,
        start: Start,
        trim: Option<Trim>,
        transport: T,
        activity: LastActivity,
        leave: Leave,
    ) -> Self {
        Self {
            sources,
            classes: classes.into(),
            trim: trim.map(Box::new),
            transport,
            heartbeat: Heartbeat::new(activity),
            start: start.cursor.clone(),
            start_reset: start.reset,
            cursor: start.cursor,
            live_at: start.live_at,
            expiry: start.expiry,
            live_sent: false,
            read_budget: MIN_READ_BUDGET,
            is_catching_up: false,
            on_its_way: None,
            waiting: None,
            leave,
        }
    }

    /// Serves the subscriber to its end. Returns the transport, for the closing handshake, and why
    /// the session is over.
    pub(super) async fn run(mut self) -> (T, Close) {
        let Err(close) = self.serve().await;
        (self.transport, close)
    }

    async fn serve(&mut self) -> Result<Infallible, Close> {
        // Subscribes before the first read, so that an event that is appended between a read and a
        // wait wakes the session.
        let subscription = self.sources.log.subscribe(&self.classes);
        if let Some(reason) = self.start_reset {
            self.sources.metrics.resets.inc(reason.name());
            self.send(frames::reset(reason, &self.cursor))?;
        }
        loop {
            let (log, budget) = (&self.sources.log, self.read_budget);
            match log.read(&self.cursor, self.expiry, &self.classes, budget) {
                Read::Frames(frames, through) => {
                    let frames = self.trimmed(frames);
                    if self.live_sent && !self.is_catching_up {
                        self.on_its_way = frames.first().map(|frame| frame.received_at);
                    }
                    self.send_frames(frames, through)?;
                }
                Read::Behind(floor) => self.read_page(floor).await?,
                Read::OtherEpoch(position) => self.reset(ResetReason::Epoch, position)?,
                Read::Expired(position) => self.reset(ResetReason::Expired, position)?,
                Read::UpToDate(through) => {
                    // The log ends below the cursor when another replica, which gave the cursor
                    // out, is ahead of this one.
                    self.cursor.id = self.cursor.id.max(through);
                    self.send_due()?;
                    if self.flush().await? == Flushed::All {
                        self.read_budget = MIN_READ_BUDGET;
                        self.is_catching_up = false;
                        self.wait(&subscription).await?;
                    }
                    continue;
                }
            }
            self.send_due()?;
            if self.flush().await? == Flushed::All {
                self.read_budget = (2 * self.read_budget).min(MAX_READ_BUDGET);
            }
        }
    }

    fn send(&mut self, frame: Outgoing) -> Result<(), Close> {
        self.heartbeat.note_sent();
        Pin::new(&mut self.transport).start_send(frame)
    }

    /// The part of these frames that is the subscriber's: maybe nothing.
    fn trimmed(&self, frames: Vec<EncodedFrame>) -> Vec<EncodedFrame> {
        match &self.trim {
            Some(trim) => trim.frames(&frames, &self.cursor.epoch),
            None => frames,
        }
    }

    fn send_frames(&mut self, frames: Vec<EncodedFrame>, through: i64) -> Result<(), Close> {
        for frame in frames {
            let cursor = Cursor { epoch: self.cursor.epoch.clone(), id: frame.last };
            self.send(Outgoing::Text { text: frame.text, cursor, kind: FrameKind::Events })?;
        }
        self.cursor.id = through;
        Ok(())
    }

    /// The session goes on from `position`, and the subscriber is told why.
    fn reset(&mut self, reason: ResetReason, position: Cursor) -> Result<(), Close> {
        self.live_at = position.id;
        self.expiry = self.sources.log.expiry();
        self.live_sent = false;
        self.cursor = position;
        self.sources.metrics.resets.inc(reason.name());
        self.send(frames::reset(reason, &self.cursor))
    }

    /// Sends the frames that are due beside events; each has the subscriber's cursor.
    fn send_due(&mut self) -> Result<(), Close> {
        if !self.live_sent && self.live_at <= self.cursor.id {
            self.live_sent = true;
            self.send(frames::live(&self.cursor, self.sources.classes.now()))?;
        }
        if self.heartbeat.take_pong() {
            self.send(frames::pong(&self.cursor))?;
        }
        if self.heartbeat.take_mark() {
            self.send(frames::mark(&self.cursor, self.sources.classes.now()))?;
        }
        Ok(())
    }

    /// Sends a page of the table: the cursor lies before the log in memory.
    async fn read_page(&mut self, floor: i64) -> Result<(), Close> {
        self.is_catching_up = true;
        let (pages, classes) = (self.sources.pages.clone(), Arc::clone(&self.classes));
        let (after, budget) = (self.cursor.clone(), self.read_budget);
        // Boxed: the future is larger than all else of a session, and most never read a page.
        let rows = budget / PAGE_EVENT_BYTES;
        let page = Box::pin(async move {
            pages::read_page(&pages, &classes, &after, floor, rows, 2 * budget).await
        });
        let page = self.attend(page).await?;
        if page.is_ok() {
            self.waiting = None;
        }
        match page {
            // The tail will find the new epoch and reset the log; the loop then takes the
            // OtherEpoch arm. Ask the tail to look now.
            Ok(page) if page.header.epoch != self.cursor.epoch => {
                self.sources.tail.ring();
                self.attend(tokio::time::sleep(PAGE_RETRY)).await
            }
            Ok(page) if page.header.pruned > self.cursor.id => {
                self.reset(ResetReason::Expired, self.sources.log.position())
            }
            Ok(page) if page.through > self.cursor.id => {
                self.send_frames(self.trimmed(page.frames), page.through)
            }
            // The page is empty although the log's head is greater: the newest rows were deleted a
            // moment ago. Ask the tail to look now.
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

    /// Waits until an event of the classes comes, or a frame is due.
    async fn wait(&mut self, subscription: &Subscription) -> Result<(), Close> {
        let mut woken = pin!(subscription.woken());
        poll_fn(|cx| {
            self.poll_peer(cx)?;
            if self.heartbeat.is_due() {
                return Poll::Ready(Ok(()));
            }
            woken.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Waits for `work`, and attends to the peer meanwhile.
    async fn attend<F: Future>(&mut self, work: F) -> Result<F::Output, Close> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.poll_peer(cx)?;
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Waits until the peer has taken every frame. If it stalls, the frames that can be sent once
    /// more are dropped.
    async fn flush(&mut self) -> Result<Flushed, Close> {
        if let Ok(flushed) = timeout(STALL, self.flushed()).await {
            flushed?;
            self.note_taken();
            return Ok(Flushed::All);
        }
        self.is_catching_up = true;
        self.on_its_way = None;
        let dropped = self.transport.drop_unsent();
        self.live_sent &= !dropped.live;
        self.heartbeat.repeat(&dropped);
        self.cursor = dropped.cursor.unwrap_or_else(|| self.start.clone());
        self.read_budget = MIN_READ_BUDGET;
        self.flushed().await.map(|()| Flushed::DroppedUnsent)
    }

    /// Measures how long the first of the new events that the peer has now taken was on its way.
    fn note_taken(&mut self) {
        let Some(stored) = self.on_its_way.take() else { return };
        let age = self.sources.classes.now().0.saturating_sub(stored.0);
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        self.sources.metrics.commit_to_socket.observe(age);
    }

    async fn flushed(&mut self) -> Result<(), Close> {
        poll_fn(|cx| {
            self.poll_peer(cx)?;
            Pin::new(&mut self.transport).poll_flush(cx)
        })
        .await
    }

    /// Attends to everything but the log: the peer's messages, the clock, the drain, the end of its
    /// credential. Registers to be woken by each.
    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Result<(), Close> {
        while let Poll::Ready(message) = Pin::new(&mut self.transport).poll_next(cx) {
            match message {
                Some(Incoming::Ping) => self.heartbeat.request_pong(),
                // The handshake, or an earlier message, has told who the peer is.
                Some(Incoming::Auth(_)) => {}
                Some(Incoming::Close(close)) => return Err(close),
                None => return Err(Close::Gone),
            }
        }
        if self.heartbeat.poll(cx)? {
            Pin::new(&mut self.transport).start_send(Outgoing::Ping)?;
        }
        self.leave.poll(cx)?;
        // Answers to the peer's control frames go out during every wait.
        if let Poll::Ready(Err(close)) = Pin::new(&mut self.transport).poll_flush(cx) {
            return Err(close);
        }
        Ok(())
    }
}
