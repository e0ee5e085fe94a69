//! A class's settings, its lessons and its instructors, on two pages of two replicas.

use serde_json::{Value, json};

use crate::support::browser::{Chrome, Page, choose_file, counts, event, page_of, run, says};
use crate::support::{Database, Relay};

/// Opens the dialog of the settings and waits until they are there.
async fn open_settings(page: &Page) {
    page.click(".open-settings").await;
    page.until("document.querySelector('.settings-parts')?.hidden === false").await;
}

/// Saves the settings; the dialog closes.
async fn save(page: &Page) {
    page.click(".settings-dialog .primary-button").await;
    page.until("!document.querySelector('.settings-dialog').open").await;
}

/// A page of an instructor who has given this name.
async fn open_as(chrome: &Chrome, relay: &Relay, class: &str, name: &str) -> Page {
    let page = chrome.blank().await;
    let chosen = json!(json!({ "ownName": name }).to_string());
    let script = format!("localStorage.setItem('progress-relay', {chosen})");
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    page.go(&page_of(relay, class)).await;
    page.until("document.documentElement.dataset.connection === 'live'").await;
    page
}

/// Runs of ten cells by five students whose notebooks have cell ids of their own.
fn runs_without_common_ids(class: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for student in 0..5 {
        for cell in 0..10 {
            let mut event = run(class, &format!("s{student}"), cell, None);
            event["cellId"] = format!("own-{student}-{cell}").into();
            events.push(event);
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_for_every_page() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&json!(runs_without_common_ids("c"))).await;
    let chrome = Chrome::start().await;
    let here = chrome.open(&page_of(&relays[0], "c")).await;
    let there = chrome.open(&page_of(&relays[1], "c")).await;
    for page in [&here, &there] {
        page.until(&says("#grid .card-count", "5")).await;
        page.until(&counts("#place .place-item", 5)).await;
        page.until("!document.querySelector('.suggestion').hidden").await;
    }
    // What the page suggests is done by one press, and seen on the other page.
    here.click(".suggestion .primary-button").await;
    for page in [&here, &there] {
        page.until(&counts("#place .place-item", 1)).await;
        page.until("document.querySelector('.suggestion').hidden").await;
    }
    // The dialog shows it, and changes it back; thresholds too.
    open_settings(&there).await;
    there.until("document.querySelector('[name=cellsBy][value=position]').checked").await;
    there.click("[name=cellsBy][value=id]").await;
    there.value("document.querySelector('#stuck-after').value = 2").await;
    // Meanwhile somebody else changes them, and nothing of that is lost.
    open_settings(&here).await;
    here.value("document.querySelector('#idle-after').value = 300").await;
    save(&here).await;
    there.click(".settings-dialog .primary-button").await;
    there.until("!document.querySelector('.take-theirs').hidden").await;
    there.click(".take-theirs").await;
    there.until("document.querySelector('#idle-after').value === '300'").await;
    there.click("[name=cellsBy][value=id]").await;
    save(&there).await;
    for page in [&here, &there] {
        page.until(&counts("#place .place-item", 5)).await;
    }
    assert_eq!(here.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_and_an_outline_are_taken_from_files() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&json!([run("c", "s1", 1, None), run("c", "s2", 1, None)])).await;
    let chrome = Chrome::start().await;
    let here = chrome.open(&page_of(&relays[0], "c")).await;
    let there = chrome.open(&page_of(&relays[1], "c")).await;
    open_settings(&here).await;
    // While a file has errors, nothing is saved.
    choose_file(&here, ".roster-drop input", "roster.csv", "id,name\ns1,Ann\ns1,Bob\n").await;
    here.until(&says(".roster-errors li", "Line 3: The id was there before, in line 2.")).await;
    here.click(".settings-dialog .primary-button").await;
    let told = "Nothing was saved: mend first what is marked above.";
    here.until(&says(".settings-footer .dialog-error", told)).await;
    assert_eq!(here.value("document.querySelector('.settings-dialog').open").await, true);
    let roster = "氏名;学籍番号;班\r\nAnn;s1;A\r\nBob;s2;B\r\nCara;s3;B\r\n";
    choose_file(&here, ".roster-drop input", "roster.csv", roster).await;
    here.until(&counts(".roster-errors li", 0)).await;
    here.until(&counts(".roster-preview tbody tr", 3)).await;
    let notebook = json!({ "nbformat": 4, "nbformat_minor": 5, "cells": [
        { "cell_type": "markdown", "source": "# Part 1" },
        { "cell_type": "code", "source": "x = 1", "id": "cell-1", "metadata": {} },
        { "cell_type": "code", "source": "y = 2", "id": "cell-2",
          "metadata": { "tags": ["exercise"] } },
    ] });
    choose_file(&here, ".outline-drop input", "lesson1.ipynb", &notebook.to_string()).await;
    here.click(".outline-cells summary").await;
    here.until(&counts(".outline-cells input", 2)).await;
    here.click(".outline-cells input").await;
    save(&here).await;
    for page in [&here, &there] {
        page.until(&says(".attendance", "2 of 3 here")).await;
        page.until("document.querySelector('#absent').textContent.includes('Cara')").await;
    }
    // What was saved is there when the dialog is opened again, elsewhere.
    open_settings(&there).await;
    there.until(&counts(".roster-preview tbody tr", 3)).await;
    there
        .until(
            "document.querySelector('.outline-item .hint').textContent === '2 cells, 2 exercises'",
        )
        .await;
    there.click(".roster-part .text-button").await;
    save(&there).await;
    here.until("document.querySelector('.attendance').hidden").await;
    // What the relay has against a member stands beside it.
    open_settings(&here).await;
    let long = "x".repeat(1100);
    here.value(&format!(
        "{{ const path = document.querySelector('.outline-item > input'); path.value = '{long}'; \
         path.dispatchEvent(new Event('change')); }}"
    ))
    .await;
    here.click(".settings-dialog .primary-button").await;
    here.until(
        "document.querySelector('.outline-part .dialog-error').textContent\
         .startsWith('outline[0].notebook: must be')",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_begins_and_the_one_before_is_looked_at() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let help = event("c", "s2", "help", &json!({ "until": "help_stop" }));
    relays[0].post(&json!([run("c", "s1", 1, None), run("c", "s2", 1, Some("E")), help])).await;
    let chrome = Chrome::start().await;
    let here = chrome.open(&page_of(&relays[0], "c")).await;
    let there = chrome.open(&page_of(&relays[1], "c")).await;
    for page in [&here, &there] {
        page.until(&says("#grid .card-count", "2")).await;
    }
    here.click(".open-new-lesson").await;
    here.value("document.querySelector('#lesson-title').value = 'Loops'").await;
    here.click(".new-lesson-dialog .primary-button").await;
    here.until("!document.querySelector('.new-lesson-dialog').open").await;
    for page in [&here, &there] {
        page.until(&says(".attendance", "0 of 2 here")).await;
    }
    relays[0].post(&json!([run("c", "s3", 2, None)])).await;
    here.until(&says("#grid .card-count", "1")).await;

    here.click(".open-lessons").await;
    here.until(&counts(".lesson-item", 2)).await;
    here.until(&says(".lesson-item .lesson-title", "Loops")).await;
    here.value("document.querySelectorAll('.lesson-item')[1].click()").await;
    here.until("document.documentElement.dataset.connection === 'earlier'").await;
    here.until(&says("#grid .card-count", "2")).await;
    // A link to it shows it again. Nothing can be done in it.
    let link = here.value("location.href").await;
    there.go(link.as_str().expect("a link")).await;
    for page in [&here, &there] {
        page.until("document.documentElement.dataset.connection === 'earlier'").await;
        page.until(&counts("#help .help-item", 1)).await;
        page.until("!document.querySelector('.earlier-lesson').hidden").await;
        assert_eq!(page.value("document.querySelector('.help-actions').hidden").await, true);
        assert_eq!(page.value("document.querySelector('.open-settings')").await, json!(null));
    }
    here.click("#help .student-name").await;
    here.until("document.querySelectorAll('.timeline li').length === 2").await;
    here.value("document.querySelector('.drawer').close()").await;
    // Its download holds its events and no others.
    here.value("document.querySelector('.downloads').open = true").await;
    here.until("document.querySelector('.downloads a').href.includes('lesson=')").await;
    let download = "fetch(document.querySelectorAll('.downloads a')[2].href).then((r) => r.text())";
    let events = here.value(download).await;
    let events = events.as_str().expect("events");
    assert!(events.contains("\"s1\"") && !events.contains("\"s3\""), "{events}");
    // An event of now does not show up in it.
    relays[0].post(&json!([run("c", "s4", 2, None)])).await;
    here.click(".earlier-lesson .primary-button").await;
    here.until("document.documentElement.dataset.connection === 'live'").await;
    here.until(&says("#grid .card-count", "2")).await;
    assert_eq!(there.value(says("#grid .card-count", "2").as_str()).await, true);
    here.value("history.back()").await;
    here.until("document.documentElement.dataset.connection === 'earlier'").await;
    assert_eq!(here.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn instructors_see_where_the_others_look() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let help = event("c", "s1", "help", &json!({ "until": "help_stop" }));
    relays[0].post(&json!([run("c", "s1", 1, None), help])).await;
    let chrome = Chrome::start().await;
    let ito = open_as(&chrome, &relays[0], "c", "Ito").await;
    let sato = open_as(&chrome, &relays[1], "c", "Sato").await;
    ito.until(&says(".presence", "Sato")).await;
    sato.until(&says(".presence", "Ito")).await;
    ito.click("#help .student-name").await;
    sato.until(&says("#help .viewers", "Ito is looking at this student")).await;
    sato.click("#help .student-name").await;
    sato.until(&says(".drawer .viewers", "Ito is looking at this student")).await;
    ito.value("document.querySelector('.drawer').close()").await;
    sato.until("document.querySelector('.drawer .viewers').hidden").await;
    sato.until(&says(".presence", "Ito")).await;
    for page in [&ito, &sato] {
        assert_eq!(page.complaints(), [""; 0]);
    }
}
