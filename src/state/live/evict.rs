//! Evicting classes from memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::class_table::ClassTable;
use super::live_class::LiveClass;
use super::slot::{Slot, drop_on_another_thread};
use crate::event::ClassId;

/// A class that was not asked for in this long is evicted.
pub(super) const IDLE: Duration = Duration::from_secs(600);
/// How often classes are evicted, unless memory is full sooner, and how often then.
const SWEEP_TICK: Duration = Duration::from_secs(10);
const FULL_TICK: Duration = Duration::from_millis(100);

/// Evicts classes now and then, and as soon as they take up too much memory. Never ends.
pub(super) async fn evict_forever(table: &ClassTable) {
    loop {
        let _ = tokio::time::timeout(SWEEP_TICK, table.memory().full.notified()).await;
        sweep(table);
        tokio::time::sleep(FULL_TICK).await;
    }
}

/// Evicts the classes that were not asked for in [`IDLE`], and more of them while they take up too
/// much memory. A class that the leader has to write yet is not evicted.
pub(super) fn sweep(table: &ClassTable) {
    let is_leader = table.tracks_changes();
    let mut evictable: Vec<(Instant, ClassId, Arc<Slot>)> = Vec::new();
    for (class, slot) in table.slots() {
        let look = |live: &mut LiveClass| {
            let rendered = live.take_rendered();
            slot.set_weight(live.weight());
            (rendered, is_leader && live.is_unsaved())
        };
        if let Some((_, false)) = slot.live(look) {
            evictable.push((slot.used(), class, slot));
        }
    }
    evictable.sort_unstable_by_key(|&(used, ..)| used);
    let mut evicted = Vec::new();
    for (used, class, slot) in evictable {
        if used.elapsed() < IDLE && !table.memory().is_full() {
            break;
        }
        // First the slot is removed: a request from now on loads the class again. An event that is
        // folded until the slot is closed has marked the class as dirty.
        table.remove(&class, &slot);
        evicted.push(slot.close());
        tracing::debug!(%class, "the class is evicted");
    }
    drop_on_another_thread(evicted);
}
