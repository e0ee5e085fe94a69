//! The audit: who signed in, opened a class or a student, exported or acted, and whom the relay
//! refused.
//!
//! Students' progress is personal data, so an operator must be able to say who has seen it. A relay
//! without a source of callers records nothing: there, everyone is the same caller, and the page
//! that lists them would tell of none.
//!
//! A request never waits for the audit and never fails because of it. Its entry waits in memory and
//! is written a moment later; if the database is away, entries wait until `queue::MAX_WAITING` of
//! them do, and further ones are dropped, counted and logged. A dashboard asks for its class again
//! and again, and a wrong token comes with every request of a client that has one; so the same
//! entry is recorded once in a while only, and refusals of all kinds have a limit.
//!
//! No entry has a token, a cookie or a link's code: [`Entry`] takes names and fixed words alone.

mod action;
mod entry;
mod queue;

pub(crate) use action::Action;
pub(crate) use entry::Entry;
pub(crate) use queue::Audit;
