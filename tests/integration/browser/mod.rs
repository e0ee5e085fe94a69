//! The dashboard in Chromium.

// Events of a client's page from another origin arrive, even when its tab is closed.
mod beacon;
// Extensions of other projects post from a real JupyterLab.
mod extensions;
// The page folds events and summaries exactly as the relay does.
mod fold;
// The page under an instructor's hands: views, drawer, grid, languages.
mod page;
// An open page when the relay, or its log, is replaced.
mod recovery;
// The screenshots of the documentation: `make pictures`.
mod screenshots;
// A browser signs in and out, by a token or a one-time link, and what others try with it.
mod sign_in;
