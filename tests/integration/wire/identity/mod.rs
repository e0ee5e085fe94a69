//! Who calls: tokens, how they travel, and what ends with them.

// No log has a token; roles and classes are the claims'.
mod claims;
// The commands that make tokens and look at them.
mod command;
// A student follows its own events.
mod followed;
// What SIGHUP reads again: revocations, the secret.
mod live;
// Every route, by every caller, by every way on which a credential travels.
mod matrix;
// A student reads its own events and state.
mod own;
// Keys at a URL: rotation, and services that are slow, lost or hostile.
mod remote;
// A sign-out ends the session, for every copy of the cookie.
mod sign_out;
