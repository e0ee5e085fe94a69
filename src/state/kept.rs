//! A bounded collection by key that lets go of what was touched longest ago, remembers what has
//! changed, and knows how many bytes it takes up.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;

/// Bytes that a value holds beside its own.
pub(super) trait Heap {
    fn heap(&self) -> usize;
}

/// What the allocator adds to a block on average: its header, and rounding.
const BLOCK: usize = 16;

/// The bytes of a text in a block of its own.
pub(super) fn text_bytes(text: &str) -> usize {
    if text.is_empty() { 0 } else { text.len() + BLOCK }
}

impl Heap for Arc<str> {
    fn heap(&self) -> usize {
        // Two counters stand before the text.
        2 * size_of::<usize>() + self.len() + BLOCK
    }
}

/// Who asks what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// The class's snapshot in the database.
    Snapshot,
    /// The rows that summaries are made of.
    Drawing,
}

const ASKERS: usize = 2;

/// A value, and the event that touched it last.
#[derive(Debug)]
pub(super) struct Entry<K, V> {
    key: K,
    pub(super) value: V,
    pub(super) last_event: i64,
    /// Bytes of the value as they are counted.
    heap: usize,
    /// By asker, the generation of its list in which this stands; 0 for none.
    changed: [u32; ASKERS],
}

/// Keys whose entry was made, changed or removed since an asker last took them.
#[derive(Debug)]
struct Changed<K> {
    /// `None` while nobody asks.
    keys: Option<Vec<K>>,
    /// Another for each list, so that a new one begins without a walk through all entries.
    generation: u32,
}

impl<K> Changed<K> {
    const fn new() -> Self {
        Self { keys: None, generation: 0 }
    }

    /// Begins another list, or none; returns the one before.
    fn begin(&mut self, keys: Option<Vec<K>>) -> Option<Vec<K>> {
        self.generation = self.generation.wrapping_add(1).max(1);
        std::mem::replace(&mut self.keys, keys)
    }
}

/// What gave way, and its key.
pub(super) type Evicted<K, V> = (K, V);

/// At most so many values. Which one gives way depends on the events alone, never on when or where
/// they are folded: the one whose last event has the smallest id.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    max: usize,
    entries: HashMap<K, Entry<K, V>>,
    /// Last event to key: an event touches one entry at most. Made when something first has to give
    /// way: most classes never come there, and it would be a quarter of the fold's work.
    order: Option<BTreeMap<i64, K>>,
    /// By asker.
    changed: [Changed<K>; ASKERS],
    /// Bytes that the keys and the values hold beside their own.
    heap: usize,
}

impl<K: Clone + Eq + Hash + Ord + Heap, V: Heap> Kept<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            entries: HashMap::new(),
            order: None,
            changed: [const { Changed::new() }; ASKERS],
            heap: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that it takes up, all in all. The collections are counted by their capacity: a hash
    /// map keeps a bucket of eight free, and a byte for each; the nodes of a tree that grows at its
    /// end are about half full.
    pub(super) fn bytes(&self) -> usize {
        let buckets = self.entries.capacity() * 8 / 7;
        let order = self.order.as_ref().map_or(0, |order| order.len() * 2 * size_of::<(i64, K)>());
        let changed: usize =
            self.changed.iter().filter_map(|list| list.keys.as_ref()).map(Vec::capacity).sum();
        self.heap + buckets * (size_of::<(K, Entry<K, V>)>() + 1) + order + changed * size_of::<K>()
    }

    /// Bytes that the keys and the values hold beside their own.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.heap
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(super) fn entry<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&K, &Entry<K, V>)> {
        self.entries.iter()
    }

    /// Changes an entry without its being touched: its age stays.
    pub(super) fn change<Q: Hash + Eq + ?Sized, R>(
        &mut self,
        key: &Q,
        with: impl FnOnce(&mut V) -> Option<R>,
    ) -> Option<R>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        let answer = with(&mut entry.value)?;
        recount(&mut self.heap, entry);
        note(&mut self.changed, self.max, entry);
        Some(answer)
    }

    /// The key as it is kept, to be shared.
    pub(super) fn key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<K>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| entry.key.clone())
    }

    /// A change that no asker is told of, and that takes up no bytes which are counted here.
    pub(super) fn peek_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Runs `with` on the entry that `event` is about, made if it is not there, and on whether it
    /// was made. Where `with` gives `None` the event is none of the entry's after all. Returns also
    /// what had to give way for a new one.
    pub(super) fn touch<Q: Hash + Eq + ?Sized, R>(
        &mut self,
        key: &Q,
        event: i64,
        make: impl FnOnce() -> V,
        with: impl FnOnce(&mut V, bool) -> Option<R>,
    ) -> Option<(R, Option<Evicted<K, V>>)>
    where
        K: Borrow<Q> + for<'a> From<&'a Q>,
    {
        // One look-up for an entry that is there: this is most of what a fold does.
        if let Some(entry) = self.entries.get_mut(key) {
            let answer = with(&mut entry.value, false)?;
            if let Some(order) = &mut self.order {
                order.remove(&entry.last_event);
                order.insert(event, entry.key.clone());
            }
            entry.last_event = event;
            recount(&mut self.heap, entry);
            note(&mut self.changed, self.max, entry);
            return Some((answer, None));
        }
        let mut value = make();
        let answer = with(&mut value, true)?;
        let evicted = if self.entries.len() >= self.max { self.remove_oldest() } else { None };
        let key = K::from(key);
        let mut entry = self.counted(key.clone(), event, value);
        note(&mut self.changed, self.max, &mut entry);
        if let Some(order) = &mut self.order {
            order.insert(event, key.clone());
        }
        self.entries.insert(key, entry);
        Some((answer, evicted))
    }

    /// A new entry, its bytes counted.
    fn counted(&mut self, key: K, last_event: i64, value: V) -> Entry<K, V> {
        let heap = value.heap();
        self.heap += key.heap() + heap;
        Entry { key, value, last_event, heap, changed: [0; ASKERS] }
    }

    fn remove_oldest(&mut self) -> Option<Evicted<K, V>> {
        let in_order =
            || self.entries.iter().map(|(key, entry)| (entry.last_event, key.clone())).collect();
        let order = self.order.get_or_insert_with(in_order);
        let key = order.first_key_value().map(|(_, key)| key.clone())?;
        self.remove(&key).map(|value| (key, value))
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut entry = self.entries.remove(key)?;
        self.heap -= entry.key.heap() + entry.heap;
        if let Some(order) = &mut self.order {
            order.remove(&entry.last_event);
        }
        note(&mut self.changed, self.max, &mut entry);
        Some(entry.value)
    }

    /// Puts back what a snapshot holds.
    pub(super) fn restore(&mut self, key: K, last_event: i64, value: V) {
        let entry = self.counted(key.clone(), last_event, value);
        if let Some(before) = self.entries.insert(key, entry) {
            self.heap -= before.key.heap() + before.heap;
        }
        self.order = None;
    }

    /// From now on changes are remembered for an asker, or not.
    pub(super) fn remember(&mut self, asker: Asker, on: bool) {
        self.changed[asker as usize].begin(on.then(Vec::new));
    }

    /// The same for an asker that knows nothing yet: everything has changed.
    pub(super) fn remember_all(&mut self, asker: Asker) {
        let list = &mut self.changed[asker as usize];
        list.begin(Some(Vec::with_capacity(self.entries.len())));
        for (key, entry) in &mut self.entries {
            entry.changed[asker as usize] = list.generation;
            if let Some(keys) = &mut list.keys {
                keys.push(key.clone());
            }
        }
    }

    /// Whether changes are remembered for an asker, and not too many of them.
    pub(super) fn remembers(&self, asker: Asker) -> bool {
        self.changed[asker as usize].keys.is_some()
    }

    /// The keys that have changed since they were last taken, each once.
    pub(super) fn take_changed(&mut self, asker: Asker) -> Vec<K> {
        let list = &mut self.changed[asker as usize];
        let next = list.keys.is_some().then(Vec::new);
        let mut keys = list.begin(next).unwrap_or_default();
        // What was removed and made anew in between stands there twice.
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// One of the keys that have changed. What was removed and made anew in between may come twice.
    pub(super) fn next_changed(&mut self, asker: Asker) -> Option<K> {
        let key = self.changed[asker as usize].keys.as_mut()?.pop()?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.changed[asker as usize] = 0;
        }
        Some(key)
    }
}

/// Counts an entry's bytes once more.
fn recount<K, V: Heap>(total: &mut usize, entry: &mut Entry<K, V>) {
    let heap = entry.value.heap();
    if heap != entry.heap {
        *total = *total + heap - entry.heap;
        entry.heap = heap;
    }
}

/// Puts an entry among the changed, unless it is there. The drawing is not always asked for: when
/// what was removed fills the list beyond every entry that there can be, it is given up, and the
/// drawing begins anew.
fn note<K: Clone, V>(changed: &mut [Changed<K>; ASKERS], max: usize, entry: &mut Entry<K, V>) {
    for (asker, list) in changed.iter_mut().enumerate() {
        let Some(keys) = list.keys.as_mut().filter(|_| entry.changed[asker] != list.generation)
        else {
            continue;
        };
        entry.changed[asker] = list.generation;
        keys.push(entry.key.clone());
        if asker == Asker::Drawing as usize && keys.len() > 2 * max {
            list.begin(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Heap for i64 {
        fn heap(&self) -> usize {
            0
        }
    }

    fn touch(
        kept: &mut Kept<Arc<str>, i64>,
        name: &str,
        event: i64,
    ) -> (bool, Option<Evicted<Arc<str>, i64>>) {
        kept.touch(name, event, || event, |_, is_new| Some(is_new)).expect("touched")
    }

    #[test]
    fn the_longest_untouched_gives_way() {
        let mut kept: Kept<Arc<str>, i64> = Kept::new(2);
        kept.remember(Asker::Snapshot, true);
        for (event, name, is_new) in [(1, "a", true), (2, "b", true), (3, "a", false)] {
            assert_eq!(touch(&mut kept, name, event), (is_new, None));
        }
        assert_eq!(kept.touch("b", 4, || 0, |_, _| None::<()>), None, "that was none of its");
        let gives_way = |name: &str, value| (true, Some((Arc::from(name), value)));
        assert_eq!(touch(&mut kept, "c", 4), gives_way("b", 2));
        assert_eq!(touch(&mut kept, "d", 5), gives_way("a", 1));
        assert_eq!(touch(&mut kept, "c", 6), (false, None));
        assert_eq!(touch(&mut kept, "a", 7), gives_way("d", 5));
        assert_eq!(kept.entry("c").map(|entry| entry.last_event), Some(6));
        assert_eq!(kept.take_changed(Asker::Snapshot), ["a", "b", "c", "d"].map(Arc::from));
        assert!(kept.take_changed(Asker::Snapshot).is_empty());
        kept.change("c", |_| Some(()));
        touch(&mut kept, "a", 8);
        assert_eq!(kept.take_changed(Asker::Snapshot), ["a", "c"].map(Arc::from));
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn bytes_are_those_of_what_is_there() {
        let mut kept: Kept<Arc<str>, Box<[u8]>> = Kept::new(2);
        let empty = kept.bytes();
        for (event, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "b")] {
            let make = || vec![0; 1_000].into_boxed_slice();
            kept.touch(name, event, make, |value, _| {
                *value = vec![0; 1_000 * event as usize].into_boxed_slice();
                Some(())
            });
        }
        assert!((7_000..8_000).contains(&(kept.bytes() - empty)), "{}", kept.bytes() - empty);
        kept.remove("b");
        kept.change("c", |value| {
            *value = Box::default();
            Some(())
        });
        kept.remove("c");
        assert_eq!(kept.heap, 0);
    }

    impl Heap for Box<[u8]> {
        fn heap(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn a_drawing_that_nobody_asks_for_is_given_up() {
        let mut kept: Kept<Arc<str>, i64> = Kept::new(2);
        kept.remember_all(Asker::Drawing);
        touch(&mut kept, "a", 1);
        assert_eq!(kept.next_changed(Asker::Drawing).as_deref(), Some("a"));
        for event in 2..10 {
            touch(&mut kept, &event.to_string(), event);
        }
        assert!(!kept.remembers(Asker::Drawing));
    }
}
