//! What the tail brings, into the classes in use.

use std::sync::Arc;

use super::classes::Classes;
use super::slot::Slot;
use crate::event::{ClassId, StoredEvent};

/// Classes of which it is remembered that something came, until a snapshot holds it. Of more, the
/// leader scans the table.
pub(super) const MAX_HEARD: usize = 50_000;

/// Takes one read's events.
#[derive(Debug)]
pub struct Intake<'a> {
    classes: &'a Classes,
    /// The class of the event before, its place if it has one, and the event's id. Not beyond one
    /// read: a class that has come in since this read began would be missed, while what the read
    /// brings was committed before.
    current: Option<(ClassId, Option<Arc<Slot>>, i64)>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(classes: &'a Classes) -> Self {
        Self { classes, current: None }
    }

    /// Folds the next event of all.
    pub fn event(&mut self, event: &StoredEvent<'_>) {
        match &mut self.current {
            Some((class, _, last)) if class.as_str() == event.class => *last = event.id,
            _ => {
                self.note();
                let class = ClassId::stored(event.class);
                let slot = self.classes.lock().classes.get(&class).cloned();
                self.current = Some((class, slot, event.id));
            }
        }
        if let Some((_, Some(slot), _)) = &self.current {
            slot.fold(event);
        }
    }

    /// Everything up to `id` has been taken.
    pub fn through(&mut self, id: i64) {
        self.note();
        let mut inner = self.classes.lock();
        inner.head = inner.head.max(id);
    }

    fn note(&mut self) {
        let Some((class, _, last)) = self.current.take() else { return };
        self.classes.lock().hear(class, last);
    }
}
