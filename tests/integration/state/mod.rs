//! The state of a class: the same on every replica, in the snapshots and at a dashboard.

// Every replica, every snapshot and every dashboard agrees on the state of a class.
mod agreement;
// A snapshot always equals the fold of its events, and one elected replica writes it.
mod snapshots;
