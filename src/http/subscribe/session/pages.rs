//! Pages of the table as frames, for a session whose cursor lies before the log in memory.

use std::ops::ControlFlow;

use crate::database::{Header, LogRow, PageError, Pages};
use crate::event::{ClassId, Cursor};
use crate::log::{ChunkBuilder, EncodedFrame};

/// The events that follow a cursor, read from the table.
pub(super) struct HistoryPage {
    pub(super) frames: Vec<EncodedFrame>,
    /// The frames are complete up to this id.
    pub(super) through: i64,
    /// The log's header in the same snapshot.
    pub(super) header: Header,
}

/// Reads the events of `classes` after `after`: at most `max_rows`, of about `max_bytes`; one at
/// least, if there is one. Every event up to `floor` had been committed before.
pub(super) async fn read_page(
    pages: &Pages,
    classes: &[ClassId],
    after: &Cursor,
    floor: i64,
    max_rows: usize,
    max_bytes: usize,
) -> Result<HistoryPage, PageError> {
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
    let frames: Vec<EncodedFrame> = builder.finish().iter().map(crate::log::Chunk::frame).collect();
    // The page goes to the end of the snapshot: these classes have no further event up to the
    // newest event of all, or up to `floor` if the newest has been deleted since.
    let whole = !extent.broken_off && extent.events < max_rows;
    let through = if whole {
        extent.last.max(extent.header.newest.unwrap_or(0)).max(floor)
    } else {
        extent.last
    };
    Ok(HistoryPage { frames, through, header: extent.header })
}
