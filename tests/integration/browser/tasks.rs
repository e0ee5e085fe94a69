//! What a new instructor does first: each thing is found by its role and its name, as it is seen
//! and as a screen reader tells it, and is clicked on with the mouse. And the way of the keyboard.

use serde_json::json;

use crate::support::browser::scenes::{self, ASSISTED, OUTLINE};
use crate::support::browser::{
    Chrome, Page, choose_file, classroom, counts, event, page_of, run, says,
};
use crate::support::{Database, Relay};

/// More presses of Tab than a dialog of these tests has things that take the focus.
const TABS: usize = 12;

/// Presses Tab until the focus has been everywhere, and checks that it never gets behind a dialog.
async fn stays_within(page: &Page, dialog: &str) {
    for _ in 0..TABS {
        page.press("Tab").await;
        let where_is_it = format!(
            "document.activeElement === document.body || \
             document.querySelector({}).contains(document.activeElement)",
            json!(dialog)
        );
        assert_eq!(page.value(&where_is_it).await, true, "{dialog}");
    }
}

/// Who needs help first, what most fail at, and the way of one student.
#[tokio::test(flavor = "multi_thread")]
async fn who_needs_help_and_what_most_fail_at() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let hand = event("c", "s2", "help", &json!({ "until": "help_stop" }));
    let later = event("c", "s3", "help", &json!({ "until": "help_stop" }));
    let error = Some("NameError: x");
    relay
        .post(&json!([
            run("c", "s1", 1, None),
            run("c", "s2", 1, error),
            run("c", "s3", 1, error),
            run("c", "s4", 2, Some("TypeError: y")),
            hand,
            later
        ]))
        .await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    // The first in the queue has waited longest; a click on the name shows the student's way.
    page.until(&says("#help .student-name", "Name of s2")).await;
    page.choose("button", "Name of s2").await;
    page.until(&says("#drawer-name", "Name of s2")).await;
    page.until("document.querySelectorAll('.timeline li').length === 2").await;
    page.choose("button", "Close").await;
    // The first of the cells that fail is the one at which most do.
    page.until(&says("#cells tbody button", "Cell 2")).await;
    page.choose("button", "Cell 2").await;
    page.until("document.querySelector('.one-cell').open").await;
    page.until(
        "document.querySelector('.answer-group .answer-count').textContent === '2 students'",
    )
    .await;
    // The focus stays in what lies over the page, and comes back from there.
    stays_within(&page, ".one-cell").await;
    page.press("Escape").await;
    page.until("document.activeElement.textContent === 'Cell 2'").await;
    assert_eq!(page.complaints(), [""; 0]);
}

/// Tomorrow's lesson, from the empty class of today.
#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_is_prepared() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.choose("DisclosureTriangle", "Lessons and settings").await;
    page.choose("button", "Roster, notebooks, settings").await;
    page.until("document.querySelector('.settings-parts')?.hidden === false").await;
    stays_within(&page, ".settings-dialog").await;
    choose_file(&page, ".roster-drop input", "class.csv", "id,name\ns1,Ann\ns2,Bob\n").await;
    let notebook = json!({ "nbformat": 4, "nbformat_minor": 5, "cells": [
        { "cell_type": "markdown", "source": "# Loops" },
        { "cell_type": "code", "source": "x = 1", "id": "cell-1", "metadata": {} },
    ] });
    choose_file(&page, ".outline-drop input", "lesson1.ipynb", &notebook.to_string()).await;
    page.until(&counts(".roster-preview tbody tr", 2)).await;
    page.until(&counts(".outline-item", 1)).await;
    page.choose("button", "Save").await;
    page.until("!document.querySelector('.settings-dialog').open").await;
    page.until(&says("#grid .empty-state p", "No student is here yet. The outline has 1 cell."))
        .await;
    // The first student of tomorrow is known, and so are the cell and who is missing.
    relay.post(&json!([run("c", "s1", 1, None)])).await;
    page.until(&says(".attendance", "1 of 2 here")).await;
    page.choose("button", "As a table").await;
    page.until(&says(".grid-table .student-name", "Ann")).await;
    page.until(&says(".column-progress", "100% (1/1)")).await;
    assert_eq!(page.complaints(), [""; 0]);
}

/// One instructor goes to a hand, and leaves it to the assistant.
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_is_handed_over() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let hand = event("c", "s1", "help", &json!({ "until": "help_stop" }));
    relays[0].post(&json!([run("c", "s1", 1, None), hand])).await;
    let chrome = Chrome::start().await;
    let claimed = |page: &Page, who: &str| {
        let wanted = format!(
            "document.querySelector('.help-claimed').textContent.startsWith({})",
            json!(who)
        );
        let page = page.clone();
        async move { page.until(&wanted).await }
    };
    let here = chrome.open(&page_of(&relays[0], "c")).await;
    here.choose("button", "I am going to Name of s1").await;
    here.until("document.activeElement.id === 'own-name'").await;
    here.write("Ito").await;
    stays_within(&here, ".page-dialog[open]").await;
    here.choose("button", "I am going").await;
    claimed(&here, "You are going").await;
    here.choose("button", "I am not going to Name of s1 after all").await;
    // This browser knows the name of the first instructor; the assistant's does not.
    let there = chrome.blank().await;
    let script = json!({ "source": "localStorage.clear()" });
    there.call("Page.addScriptToEvaluateOnNewDocument", script).await;
    there.go(&page_of(&relays[1], "c")).await;
    there.until(&super::is("live")).await;
    there.choose("button", "I am going to Name of s1").await;
    there.until("document.activeElement.id === 'own-name'").await;
    there.write("Sato").await;
    there.press("Enter").await;
    claimed(&there, "You are going").await;
    claimed(&here, "Sato is going").await;
    there.choose("button", "Resolve the hand of Name of s1").await;
    here.until(&counts("#help .help-item", 0)).await;
    assert_eq!(here.complaints(), [""; 0]);
}

/// Names are read in every look of the page: in the queue, where they have a line of their own, and
/// in the grid, where they have twelve em. And the page is nowhere wider than its window.
#[tokio::test(flavor = "multi_thread")]
async fn names_have_room_in_every_look() {
    let database = Database::migrated().await;
    scenes::fill(&database).await;
    let relay = Relay::start(&database, &[]).await;
    scenes::act(&relay).await;
    let chrome = Chrome::start().await;
    for (width, height, projector) in [(1280, 800, false), (1280, 720, true), (390, 844, false)] {
        let page = chrome.blank().await;
        page.size(width, height, 1.0).await;
        let chosen = json!(json!({ "projector": projector, "ownName": "Ito" }).to_string());
        let script = format!("localStorage.setItem('progress-relay', {chosen})");
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
        for class in [ASSISTED, OUTLINE] {
            page.go(&page_of(&relay, class)).await;
            page.until("document.querySelector('#grid .card-count')?.textContent > 0").await;
            let wide = "document.documentElement.scrollWidth - window.innerWidth";
            assert!(page.value(wide).await.as_i64() <= Some(0), "{class} at {width}");
            page.click("#grid .card-controls .icon-button:last-child").await;
            page.until("document.querySelector('.grid-table tbody tr') !== null").await;
            assert!(page.value(wide).await.as_i64() <= Some(0), "{class}'s table at {width}");
        }
        let name = json!(classroom::name(9));
        page.go(&page_of(&relay, ASSISTED)).await;
        page.until("document.querySelectorAll('#help .help-item').length > 2").await;
        let room = format!(
            "(() => {{ const name = [...document.querySelectorAll('#help .student-name')]
                 .find((button) => button.textContent === {name});
               const em = parseFloat(getComputedStyle(name).fontSize);
               const isCut = name.scrollWidth > name.clientWidth;
               return isCut ? 0 : name.closest('.student-line').clientWidth / em; }})()"
        );
        let room = page.value(&room).await.as_f64().expect("a number");
        assert!(room >= 12.0, "{room} em at {width}");
        page.close().await;
    }
}
