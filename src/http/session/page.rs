//! A page of the table as frames, for a session whose cursor lies before what is in memory.

use std::ops::ControlFlow;

use crate::event::{ClassId, Cursor};
use crate::log::{ChunkBuilder, Frame};
use crate::store::{Header, LogRow, PageError, Pages};

/// What follows a cursor.
pub(super) struct Page {
    pub(super) frames: Vec<Frame>,
    /// Complete up to here.
    pub(super) through: i64,
    /// Of the same snapshot.
    pub(super) header: Header,
}

/// Reads what follows `after` in `classes`: at most `max_rows` events, of about `max_bytes`; one at
/// least, if there is one. Everything up to `floor` had been committed before.
pub(super) async fn read_page(
    pages: &Pages,
    classes: &[ClassId],
    after: &Cursor,
    floor: i64,
    max_rows: usize,
    max_bytes: usize,
) -> Result<Page, PageError> {
    let mut builder = ChunkBuilder::new(after.epoch.clone());
    let extent = pages
        .read(classes, after.id, max_rows, |row| {
            match row {
                LogRow::Header(header)
                    if header.epoch != after.epoch || header.pruned > after.id =>
                {
                    return ControlFlow::Break(());
                }
                LogRow::Header(_) => {}
                LogRow::Event(event) => builder.push(event),
            }
            if builder.bytes() >= max_bytes {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await?;
    let frames: Vec<Frame> = builder.finish().iter().map(crate::log::Chunk::frame).collect();
    // To the end of the snapshot: there is nothing more of these classes up to the newest event of
    // all, or the newest that ever was, if that has been deleted since.
    let whole = !extent.broken_off && extent.events < max_rows;
    let through = if whole {
        extent.last.max(extent.header.newest.unwrap_or(0)).max(floor)
    } else {
        extent.last
    };
    Ok(Page { frames, through, header: extent.header })
}
