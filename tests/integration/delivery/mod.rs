//! The promise of the relay: every event once, in order, or a reset that announces the gap.

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
// Subscribers that do not read cost little, delay no others, and get everything afterwards.
mod slow;
// Acknowledged events are stored, stored events are delivered, and lost ones are announced.
mod truth;
