//! The ids of a class's events that were received in a span of time.
//!
//! No index has `received_at`: it would cost every insert for a question that is asked seldom. But
//! `received_at` is set under the ordering lock, so it rises with the id, and the first event of a
//! time is found by halving the class's ids: about forty looks at one row of the class's index,
//! however long the history is.

use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::pages::{PageError, Pages};
use super::pooled_client::Leftover;
use super::readers::Object;
use super::types::PgMicros;
use crate::event::{ClassId, Epoch, Micros};

/// Ids of a class's events: from `first` up to, but not including, `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdRange {
    pub(crate) first: i64,
    pub(crate) end: i64,
    /// The epoch of the ids; `None` if they mean all events of any epoch.
    pub(crate) epoch: Option<Epoch>,
}

/// `$1` the class, `$2` the smallest id. The row comparison and the order by both columns leave
/// the planner the class's index alone.
pub(super) fn first_from() -> String {
    "SELECT id, received_at FROM progress_event WHERE (class_id, id) >= ($1, $2) AND (class_id, \
     id) <= ($1, 9223372036854775807) ORDER BY class_id, id LIMIT 1"
        .to_owned()
}

/// `$1` the class.
pub(super) fn newest() -> String {
    "SELECT id FROM progress_event WHERE (class_id, id) >= ($1, 0) AND (class_id, id) <= ($1, \
     9223372036854775807) ORDER BY class_id DESC, id DESC LIMIT 1"
        .to_owned()
}

impl Pages {
    /// The ids of the events of `class` that were received at `from` or later, and before `to`.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub(crate) async fn ids_received(
        &self,
        class: &ClassId,
        from: Option<Micros>,
        to: Option<Micros>,
    ) -> Result<IdRange, PageError> {
        if from.is_none() && to.is_none() {
            return Ok(IdRange { first: 0, end: i64::MAX, epoch: None });
        }
        self.run(async |client| {
            let epoch = self.check_epoch(client).await?;
            let statement = client.prepare_cached(&newest()).await?;
            let last = client.query_opt(&statement, &[&class.as_str()]).await?;
            let last: i64 = last.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
            let statement = client.prepare_cached(&first_from()).await?;
            let first = match from {
                Some(from) => first_received(client, &statement, class, 0, last, from).await?,
                None => 0,
            };
            let end = match to {
                Some(to) => first_received(client, &statement, class, first, last, to).await?,
                None => i64::MAX,
            };
            Ok((IdRange { first, end, epoch: Some(epoch) }, Leftover::Nothing))
        })
        .await
    }
}

/// The smallest id from `low` on that follows every event received before `moment`. `last` is the
/// class's newest id.
async fn first_received(
    client: &Object,
    statement: &Statement,
    class: &ClassId,
    mut low: i64,
    last: i64,
    moment: Micros,
) -> Result<i64, PageError> {
    let mut high = last.saturating_add(1).max(low);
    while low < high {
        let middle = low + (high - low) / 2;
        let parameters: [&(dyn ToSql + Sync); 2] = [&class.as_str(), &middle];
        match client.query_opt(statement, &parameters).await? {
            Some(row) if row.try_get::<_, PgMicros>(1)?.0 < moment => {
                low = row.try_get::<_, i64>(0)?.saturating_add(1);
            }
            _ => high = middle,
        }
    }
    Ok(low)
}
