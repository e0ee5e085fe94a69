//! How the bytes that a class takes up in memory are counted.

use std::mem::size_of;
use std::sync::Arc;

/// The bytes that a value holds on the heap, beside its own.
pub(in crate::state) trait Heap {
    fn heap(&self) -> usize;
}

/// The bytes that the allocator adds to a block on average: its header, and rounding.
const BLOCK: usize = 16;

/// The bytes of a text in a block that holds nothing else.
pub(in crate::state) fn text_bytes(text: &str) -> usize {
    if text.is_empty() { 0 } else { text.len() + BLOCK }
}

impl Heap for Arc<str> {
    fn heap(&self) -> usize {
        // Two counters stand before the text.
        2 * size_of::<usize>() + self.len() + BLOCK
    }
}
