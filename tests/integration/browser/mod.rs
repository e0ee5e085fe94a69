//! The dashboard in Chromium.

// Events of a client's page from another origin arrive, even when its tab is closed.
mod beacon;
// Extensions of other projects post from a real JupyterLab.
mod extensions;
// Pages of other sites, and what they try with the relay.
mod foreign_pages;
// The page folds events and summaries exactly as the relay does.
mod fold;
// What a raised hand says, and the name of who goes there.
mod hands;
// A lesson as an instructor reads it: one cell of all students, any run, an outline, a team.
mod lesson;
// Lessons that begin, settings that change, hands that are claimed.
mod lessons;
// What stands there can be read in every look, and a projector shows nobody unasked.
mod looks;
// What an instructor does not lose: the page, the focus, what was typed, the way back.
mod page_stays;
// The page under an instructor's hands: views, drawer, grid, languages.
mod page;
// An open page when the relay, or its log, is replaced.
mod recovery;
// Classes as they are met in a school, in every look: `make pictures`.
mod pictures;
// A lesson that real clients sent, with a notebook that fails as a whole.
mod run_all;
// The screenshots of the documentation: `make pictures`.
mod screenshots;
// A class's settings, its earlier lessons, and who looks at what.
mod settings;
// What a new instructor does first, by the names of what is seen; and the way of the keyboard.
mod tasks;
// A browser signs in and out, by a token or a one-time link, and what others try with it.
mod sign_in;

use serde_json::json;

use crate::support::browser::Page;

/// Whether the connection of the page is in this state.
fn is(state: &str) -> String {
    format!("document.documentElement.dataset.connection === {}", json!(state))
}

/// Fills in the form of the sign-in page and sends it.
async fn give(page: &Page, token: &str) {
    page.until("document.querySelector('.sign-in #token') !== null").await;
    page.value(&format!("document.querySelector('#token').value = {}", json!(token))).await;
    page.click(".sign-in button").await;
}
