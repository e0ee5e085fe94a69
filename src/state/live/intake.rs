//! Gives the events of one read of the tail's to their classes.

use std::sync::Arc;

use super::class_table::ClassTable;
use super::slot::Slot;
use crate::event::{ClassId, EventId, StoredEvent};

/// Takes the events of one read, in order.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    table: &'a ClassTable,
    current: Option<Current>,
}

/// The class of the previous event: events of one class often follow each other. Its slot is used
/// within one read only. A class that begins to join during this read gets this read's events from
/// the database, and the next read's events from its `JoinBuffer`.
#[derive(Debug)]
struct Current {
    class: ClassId,
    /// `None` if the class is not in memory.
    slot: Option<Arc<Slot>>,
    last: EventId,
}

impl<'a> Intake<'a> {
    pub(super) fn new(table: &'a ClassTable) -> Self {
        Self { table, current: None }
    }

    /// Gives the next event to its class.
    pub(crate) fn event(&mut self, event: &StoredEvent<'_>) {
        let id = EventId(event.id);
        match &mut self.current {
            Some(current) if current.class.as_str() == event.class => current.last = id,
            _ => {
                self.mark_dirty();
                let class = ClassId::stored(event.class);
                let slot = self.table.slot(&class);
                self.current = Some(Current { class, slot, last: id });
            }
        }
        if let Some(Current { class, slot, .. }) = &mut self.current
            && let Some(folding) = slot.as_ref()
            && folding.fold(event)
        {
            self.table.remove(class, folding);
            *slot = None;
        }
    }

    /// Every event up to `id` was given to its class.
    pub(crate) fn through(&mut self, id: EventId) {
        self.mark_dirty();
        self.table.advance(id);
    }

    fn mark_dirty(&mut self) {
        if let Some(Current { class, last, .. }) = self.current.take() {
            self.table.mark_dirty(class, last);
        }
    }
}
