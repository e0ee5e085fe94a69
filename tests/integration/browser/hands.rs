//! A raised hand: what the student wrote with it, and the name under which an instructor goes
//! there.

use serde_json::{Value, json};

use crate::support::browser::classroom::{self, Past};
use crate::support::browser::{Chrome, class_of_one, counts, event, page_of, run, says};
use crate::support::{Database, Relay};

fn hand(student: &str, message: &str) -> Value {
    event("c", student, "help", &json!({ "message": message, "until": "help_stop" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hand_says_is_read_before_walking_over() {
    const MARKUP: &str = "<img src=x onerror=\"window.hacked = true\"> question 3?\nand 4";
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&json!([run("c", "s1", 1, None), hand("s1", MARKUP)])).await;
    let chrome = Chrome::start().await;
    // By the summary, and by the event that is relayed.
    let here = chrome.open(&page_of(&relays[0], "c")).await;
    here.until(&says("#help .help-message", MARKUP)).await;
    let there = chrome.open(&page_of(&relays[1], "c")).await;
    there.until(&says("#help .help-message", MARKUP)).await;
    let title = "document.querySelector('#help .help-message').title";
    assert_eq!(here.value(title).await, MARKUP);
    here.click("#help .student-name").await;
    here.until(&says(".drawer-body > .help-message", MARKUP)).await;
    here.until(&says(".timeline [data-event=help] .help-message", MARKUP)).await;
    // A repeat that says something else. The whole of a long text is in the timeline.
    let long = format!("{}end", "long ".repeat(80));
    relays[1].post(&json!([hand("s1", &long)])).await;
    let cut: String = long.chars().take(200).collect();
    for page in [&here, &there] {
        page.until(&says("#help .help-message", &cut)).await;
    }
    here.until(&counts(".timeline [data-event=help]", 2)).await;
    let whole = "document.querySelector('.timeline [data-event=help] .help-message').title";
    assert_eq!(here.value(whole).await, long);
    assert_eq!(here.value("document.querySelectorAll('img').length").await, 0);
    assert_eq!(here.value("window.hacked === undefined").await, true);
    // On a projector nobody reads it.
    let visible = "document.querySelector('#help .help-message').checkVisibility()";
    assert_eq!(there.value(visible).await, true);
    there.value("document.documentElement.dataset.projector = ''").await;
    assert_eq!(there.value(visible).await, false);
    // It goes with the hand, and the next hand has words of its own.
    there.click("#help .help-actions .primary-button").await;
    here.until(&counts("#help .help-item", 0)).await;
    here.until("document.querySelector('.drawer-body > .help-message').hidden").await;
    let stop = event("c", "s1", "help_stop", &json!({}));
    relays[0].post(&json!([stop, event("c", "s1", "help", &json!({}))])).await;
    here.until(&counts("#help .help-item", 1)).await;
    assert_eq!(here.value("document.querySelector('#help .help-message').hidden").await, true);
    for page in [&here, &there] {
        assert_eq!(page.complaints(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instructor_has_a_name_where_nobody_signs_in() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let here = chrome.open(&page_of(&relay, "c")).await;
    let there = chrome.open(&page_of(&relay, "c")).await;
    let own = ".page-header > .own-name > .text-button";
    let save = ".page-header > .own-name .primary-button";
    for page in [&here, &there] {
        page.until(&says(own, "Your name …")).await;
        assert_eq!(page.value("document.querySelector('dialog:modal')").await, Value::Null);
    }
    here.click(own).await;
    here.until("document.activeElement?.id === 'own-name'").await;
    here.value("document.activeElement.value = 'Ito'").await;
    here.click(save).await;
    here.until(&says(own, "You: Ito")).await;
    there.until(&says(".presence", "Ito")).await;
    // It is kept, in this browser, and is not asked for again.
    here.go(&page_of(&relay, "c")).await;
    here.until(&says(own, "You: Ito")).await;
    relay.post(&json!([hand("s1", "")])).await;
    here.click("#help .help-claim").await;
    there.until("document.querySelector('#help .help-claimed')?.textContent.includes('Ito')").await;
    // It can be changed, and is left as it was.
    here.click(own).await;
    here.until("document.activeElement?.id === 'own-name'").await;
    assert_eq!(here.value("document.activeElement.value").await, "Ito");
    here.click(".page-header > .own-name .dialog-buttons .text-button").await;
    here.until("document.activeElement?.matches('.page-header > .own-name > .text-button')").await;
    assert_eq!(here.value(&says(own, "You: Ito")).await, true);
    here.click(own).await;
    here.until("document.activeElement?.id === 'own-name'").await;
    here.value("document.activeElement.value = ' Sato '").await;
    here.click(save).await;
    here.until(&says(own, "You: Sato")).await;
    for page in [&here, &there] {
        assert_eq!(page.complaints(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_says_the_day() {
    const DAY: f64 = 24.0 * 3_600.0;
    let database = Database::migrated().await;
    let past = |days: f64, cell: u32| {
        let mut event = run("c", "s1", cell, None);
        event["emailAddress"] = "s1".into();
        Past { before: days * DAY, event }
    };
    classroom::fill(&database, "c", &[past(8.0, 1), past(8.0, 2), past(1.0, 3)]).await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 4, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.value("location.search += '&student=s1'").await;
    page.until(&counts(".timeline li:not(.timeline-day)", 4)).await;
    let day = |days: f64| {
        format!(
            "new Intl.DateTimeFormat('en', {{ dateStyle: 'medium' }})
               .format(Date.now() - {days} * 86_400_000)"
        )
    };
    let listed = "[...document.querySelectorAll('.timeline li')].map((li) =>
                    li.matches('.timeline-day') ? li.textContent : 'run')";
    let wanted = format!("['run', {}, 'run', {}, 'run', 'run']", day(1.0), day(8.0));
    assert_eq!(page.value(listed).await, page.value(&wanted).await);
    assert_eq!(page.complaints(), [""; 0]);
}
