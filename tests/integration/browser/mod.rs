//! The dashboard in Chromium.

// What a client's page sends from another origin arrives, even when its tab is closed.
mod beacon;
// The page folds events and summaries exactly as the relay does.
mod fold;
// What an instructor sees and does.
mod page;
// What an open page does when the relay, or its log, is replaced.
mod recovery;
// The screenshots of the documentation: `make pictures`.
mod screenshots;
