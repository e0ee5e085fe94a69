//! A class's events, for the command that folds all of them.

use futures::{Stream, TryStreamExt};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Transaction};

use super::log::{event, local_settings};
use crate::event::{ClassId, EventId, StoredEvent};

/// A row of [`class_events`].
#[derive(Debug)]
pub(crate) struct EventRow(Row);

impl EventRow {
    /// The event in the row.
    ///
    /// # Errors
    /// If the columns are of other types.
    pub(crate) fn event(&self) -> Result<StoredEvent<'_>, Error> {
        event(&self.0, 0)
    }
}

/// A class's events after `after` and up to `through`, in order, as they arrive.
///
/// # Errors
/// If the table cannot be read.
pub(crate) async fn class_events(
    transaction: &Transaction<'_>,
    class: &ClassId,
    after: EventId,
    through: EventId,
) -> Result<impl Stream<Item = Result<EventRow, Error>>, Error> {
    const EVENTS: &str = "SELECT id, class_id, student_id, received_at, body FROM progress_event \
         WHERE (class_id, id) > ($1, $2) AND (class_id, id) <= ($1, $3) ORDER BY class_id, id";
    transaction.batch_execute(&local_settings()).await?;
    let statement = transaction.prepare(EVENTS).await?;
    let class = class.as_str();
    let parameters: [&(dyn ToSql + Sync); 3] = [&class, &after, &through];
    Ok(transaction.query_raw(&statement, parameters).await?.map_ok(EventRow))
}
