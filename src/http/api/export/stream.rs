//! An export under way: pages of events are read and written as fast as the client takes them.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, Stream};
use tokio::time::Instant;

use super::form::Form;
use super::student_rows::NoRoom;
use crate::database::{IdRange, LogRow, PageError, Pages};
use crate::event::{ClassId, Epoch};
use crate::http::budget::AnswerBudget;
use crate::http::problem::Problem;
use crate::repeated::Repeated;

/// Events read at a time.
const PAGE_ROWS: usize = 500;
/// Bytes after which a page ends early: one event may hold megabytes.
const PAGE_BYTES: usize = 4 << 20;
/// How long an export waits for its part of the budget, and how often it looks.
const ROOM_PATIENCE: Duration = Duration::from_secs(60);
const ROOM_RETRY: Duration = Duration::from_millis(100);
/// Exports that ended early; in an outage each one under way does.
static BROKEN_OFF: Repeated = Repeated::new();

/// Why an export ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    /// The events cannot be read.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The counts of all students do not fit.
    #[error(
        "there is no room for the counts of so many students and cells (--answer-bytes); ask for \
         a shorter time by from= and to="
    )]
    Counts,
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Page(error) => error.into(),
            ExportError::Counts => crate::http::budget::full(),
        }
    }
}

/// An export under way.
pub(super) struct Export {
    pages: Pages,
    answers: AnswerBudget,
    class: ClassId,
    form: Form,
    /// Whether nothing of an event was written yet.
    is_first: bool,
    after: i64,
    /// The newest id when it began: later events are left out, or it might never end.
    until: i64,
    /// The first page's epoch; in another, ids mean other events.
    epoch: Option<Epoch>,
}

/// A page's text with its part of the budget, and whether there is more.
type Page = (Bytes, bool);

impl Export {
    /// An export of the events of `class` whose ids are in `range`.
    pub(super) fn new(
        pages: Pages,
        answers: AnswerBudget,
        class: ClassId,
        range: IdRange,
        form: Form,
    ) -> Self {
        let IdRange { first, end, epoch } = range;
        let (after, until) = (first.saturating_sub(1), end.saturating_sub(1));
        Self { pages, answers, class, form, is_first: true, after, until, epoch }
    }

    /// The export, `first` included. An error breaks the body off, so that the client notices that
    /// rows are missing.
    pub(super) fn stream(
        mut self,
        first: Page,
    ) -> impl Stream<Item = Result<Bytes, ExportError>> + Send + Sync {
        // A page waits here while the client takes the one before: no more than two are held.
        let (mut sender, receiver) = mpsc::channel(0);
        tokio::spawn(async move {
            let error = match self.send(first, &mut sender).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if let Some(due) = BROKEN_OFF.met(&error.to_string()) {
                tracing::warn!(class = %self.class, "an export was broken off{due}: {error}");
            }
            let _ = sender.send(Err(error)).await;
        });
        receiver
    }

    /// Sends all of it, as long as the client takes it.
    async fn send(
        &mut self,
        first: Page,
        sender: &mut mpsc::Sender<Result<Bytes, ExportError>>,
    ) -> Result<(), ExportError> {
        let mut heading = String::new();
        self.form.begin(&mut heading);
        if !heading.is_empty() && sender.send(Ok(heading.into())).await.is_err() {
            return Ok(());
        }
        let (mut text, mut more) = first;
        loop {
            // Once the client has gone nothing can be sent.
            if sender.is_closed()
                || (!text.is_empty() && sender.send(Ok(std::mem::take(&mut text))).await.is_err())
            {
                return Ok(());
            }
            if !more {
                break;
            }
            (text, more) = self.page().await?;
        }
        let mut is_ended = false;
        while let Some(piece) = self.form.end(&mut is_ended, self.is_first) {
            if sender.send(Ok(piece.into())).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next page, once there is room for something of it.
    pub(super) async fn page(&mut self) -> Result<Page, ExportError> {
        let deadline = Instant::now() + ROOM_PATIENCE;
        loop {
            let before = self.after;
            let (text, more) = self.try_page().await?;
            if self.after > before || !more {
                return Ok((text, more));
            }
            if Instant::now() >= deadline {
                return Err(PageError::Busy.into());
            }
            tokio::time::sleep(ROOM_RETRY).await;
        }
    }

    /// A page, as large as there is room for; empty if there is none.
    async fn try_page(&mut self) -> Result<Page, ExportError> {
        let (mut out, mut until, mut last) = (String::new(), self.until, self.after);
        let (mut room, mut epoch) = (self.answers.begin(), self.epoch.clone());
        let (form, is_first) = (&mut self.form, &mut self.is_first);
        let mut counted = Ok(());
        let extent = self
            .pages
            .read(std::slice::from_ref(&self.class), self.after, PAGE_ROWS, |row| {
                let event = match row {
                    LogRow::Header(header) => {
                        until = until.min(header.newest.unwrap_or(i64::MAX));
                        let expected = epoch.get_or_insert_with(|| header.epoch.clone());
                        if *expected != header.epoch {
                            return ControlFlow::Break(());
                        }
                        return ControlFlow::Continue(());
                    }
                    LogRow::Event(event) => event,
                };
                if event.id > until
                    || out.len() > PAGE_BYTES
                    || !room.grow(out.len() + form.most_bytes(event.body))
                {
                    return ControlFlow::Break(());
                }
                counted = form.event(event, is_first, &mut out);
                if counted.is_err() {
                    return ControlFlow::Break(());
                }
                last = event.id;
                ControlFlow::Continue(())
            })
            .await?;
        if epoch.as_ref() != Some(&extent.header.epoch) {
            return Err(PageError::OtherEpoch.into());
        }
        if counted == Err(NoRoom) {
            return Err(ExportError::Counts);
        }
        (self.until, self.after, self.epoch) = (until, last, epoch);
        let more = extent.events == PAGE_ROWS || (extent.broken_off && extent.last <= until);
        Ok((room.hold(out.into()), more))
    }
}
