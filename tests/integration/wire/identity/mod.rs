//! Who calls: tokens, how they travel, and what ends with them.

// The commands that make tokens and look at them.
mod command;
// Sockets and streams end when their token does.
mod live;
// A student reads its own events and state.
mod own;
// Every kind of wrong token, by every way on which a token travels.
mod refused;
// Keys at a URL: rotation, and services that are slow, lost or hostile.
mod remote;
