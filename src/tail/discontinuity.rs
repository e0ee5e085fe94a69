//! The cases in which the log does not simply go on behind its head: ids were reassigned, the
//! sequence was set back, events were deleted. Each is announced to the subscribers that it
//! concerns.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::follower::{Follower, Lost, READ_DEADLINE, READ_STALL};
use crate::database::{Header, LogReader, deleted_classes, explain, mend_sequence};
use crate::event::{Cursor, Epoch};

/// A sequence that is behind again within this time is not raised again: something sets it back.
const MEND_INTERVAL: Duration = Duration::from_secs(60);

impl Follower {
    /// Ids were reassigned, or this is the first read: the events in memory are void, and every
    /// subscriber is reset.
    pub(super) async fn renew(&mut self, reader: &LogReader, before: &Epoch) -> Result<(), Lost> {
        let (header, end) = end_of_log(reader).await?;
        if self.parts.agreement.epoch().is_some() {
            tracing::warn!(
                %before,
                now = %header.epoch,
                "the log's epoch has changed: every subscriber is reset"
            );
        }
        self.deletions = Some(header.deletions);
        self.parts.classes.reset(&end, header.deletions);
        // The writer learns of the epoch before the subscribers do. A POST that follows a reset is
        // then written on a connection of the new epoch, and not sent twice.
        self.parts.agreement.note_tail_read(&header.epoch);
        self.parts.log.reset(end);
        Ok(())
    }

    /// The table has ids that the sequence has not given out: it was set back, or never raised.
    pub(super) async fn mend(
        &mut self,
        reader: &LogReader,
        header: &Header,
        from: &Cursor,
        last: i64,
    ) -> Result<(), Lost> {
        let sequence = header.sequence;
        if self.mended.is_some_and(|mended| mended.elapsed() < MEND_INTERVAL) {
            return Err(Lost::Failed(format!(
                "the sequence of ids is at {sequence}, behind the log's end at {last}, although \
                 the tail raised it less than {} s ago: something sets it back. Find out what, \
                 and raise the sequence with setval",
                MEND_INTERVAL.as_secs()
            )));
        }
        tracing::warn!(
            sequence,
            cursor = from.id,
            last,
            "the table has ids that the sequence has not given out: a restored database, perhaps. \
             The tail raises the sequence, and every cursor is void"
        );
        self.mended = Some(Instant::now());
        let mending = timeout(READ_DEADLINE, mend_sequence(&reader.session, &from.epoch)).await;
        let mended =
            mending.map_err(|_| Lost::Stalled("raising the sequence took too long".to_owned()))?;
        mended.map_err(|error| Lost::Failed(explain(&error)))
    }

    /// Events behind the log's head were pruned before the tail read them: the gap is announced to
    /// every subscriber.
    pub(super) async fn expire_all(
        &mut self,
        reader: &LogReader,
        header: &Header,
        from: &Cursor,
    ) -> Result<(), Lost> {
        let (now, end) = end_of_log(reader).await?;
        if now.epoch != from.epoch {
            // The next read renews the log.
            return Ok(());
        }
        tracing::warn!(
            head = from.id,
            pruned = header.pruned,
            "events were deleted before the tail read them: every subscriber is reset"
        );
        self.deletions = Some(now.deletions);
        self.parts.classes.reset(&end, now.deletions);
        self.parts.log.expire_all(end);
        Ok(())
    }

    /// Events were deleted by SQL: the state of their classes is loaded again, and their
    /// subscribers are reset.
    pub(super) async fn follow_deletions(
        &mut self,
        reader: &LogReader,
        header: &Header,
        known: Option<i64>,
    ) -> Result<(), Lost> {
        let now = header.deletions;
        let looking =
            timeout(READ_DEADLINE, deleted_classes(&reader.session, known.unwrap_or(0), now)).await;
        let classes =
            looking.map_err(|_| Lost::Stalled("reading the deletions took too long".to_owned()))?;
        let classes = classes.map_err(|error| Lost::Failed(explain(&error)))?;
        match &classes {
            Some(classes) => tracing::warn!(
                ?classes,
                "events were deleted by SQL: the state of these classes is loaded again"
            ),
            None => tracing::warn!(
                "events were deleted by SQL: the state of all classes is loaded again"
            ),
        }
        self.deletions = Some(now);
        self.parts.classes.drop_classes(classes.as_deref(), now);
        self.parts.log.expire(classes.as_deref());
        Ok(())
    }
}

/// The log's header, and the position of a log that begins now.
async fn end_of_log(reader: &LogReader) -> Result<(Header, Cursor), Lost> {
    let end = timeout(READ_STALL, reader.end()).await;
    let header =
        end.map_err(|_| Lost::Stalled("reading the log's end took too long".to_owned()))?;
    let header = header.map_err(|error| Lost::Failed(error.to_string()))?;
    let id = header.newest.unwrap_or(0).max(header.pruned);
    let cursor = Cursor { epoch: header.epoch.clone(), id };
    Ok((header, cursor))
}
