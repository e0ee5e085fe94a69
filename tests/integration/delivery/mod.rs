//! The promise of the relay: every event once, in order, or a reset that announces the gap.

// Deleted, pruned and restored events are announced by one reset.
mod announced;
// Where a subscription starts, where it resumes, and when it is reset.
mod cursors;
// A promoted standby and a restored dump give ids to other events, and every subscriber is told.
mod epochs;
// Many writers and several relays: every subscriber gets every event once and in order.
mod fan_out;
// The doorbell rings once for each commit, and a relay that misses it still finds the events.
mod listening;
// The order of ids is the order of commits, because of the ordering lock.
mod ordering;
// An event that the database refuses for its own reasons is answered 503: clients send it again.
mod refused;
// Subscribers that do not read cost little, delay no others, and get everything afterwards.
mod slow;
// An acknowledged event is stored, and a stored event is delivered once.
mod truth;
