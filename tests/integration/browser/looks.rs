//! The page in its looks: what stands there can be read, is whole, and has a name; and a projector
//! shows nothing that is not for the class.

use serde_json::json;

use crate::support::browser::scenes::{self, ASSISTED, OUTLINE, OWN_IDS, UNCONFIGURED};
use crate::support::browser::{Chrome, Page, page_of};
use crate::support::{Database, Relay};

/// Texts whose contrast with what is behind them is less than WCAG's 4.5, with their contrast.
/// Colours may be mixed in other spaces: a canvas knows what they are on a screen.
const UNREADABLE: &str = r#"(() => {
  const dot = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    dot.clearRect(0, 0, 1, 1);
    dot.fillStyle = colour;
    dot.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = dot.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (front, back) =>
    [0, 1, 2].map((at) => front[at] * front[3] + back[at] * (1 - front[3]));
  const ground = (element) => {
    if (element === null) return [255, 255, 255];
    const own = read(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const isText = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim() !== "");
    const isShown = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!isText || !isShown || element.closest("[aria-disabled=true], option")) continue;
    const back = ground(element);
    const both = [light(over(read(getComputedStyle(element).color), back)), light(back)];
    const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (contrast < 4.5) found.add(`${element.className} ${contrast.toFixed(2)}`);
  }
  return [...found].join("; ");
})()"#;

/// Things that can be pressed or filled in and have no name.
const NAMELESS: &str = r#"[...document.querySelectorAll("button, a, select, input, summary")]
  .filter((element) => element.checkVisibility() && !element.ariaLabel && !element.title
    && !element.labels?.length && element.textContent.trim() === "")
  .map((element) => element.outerHTML).join("; ")"#;

/// Parts of the page of which something is beside what is in sight.
const CUT: &str = r#"[document.documentElement, ...document.querySelectorAll(
    ".page-header, .card-header, .status-tile, #cells .scroll-area, .stuck-chips, .help-item")]
  .filter((element) => element.checkVisibility() && element.scrollWidth > element.clientWidth + 1)
  .map((element) => element.className || "the page").join("; ")"#;

/// How wide the choice of the class is, in pixels.
const PICKER: &str = "document.querySelector('#class-picker').getBoundingClientRect().width";

async fn blank(chrome: &Chrome, (width, height): (u32, u32), chosen: &str) -> Page {
    let page = chrome.blank().await;
    page.size(width, height, 1.0).await;
    // A hand that has just gone up is lit for a moment.
    let features = json!([
        { "name": "prefers-color-scheme", "value": "light" },
        { "name": "prefers-reduced-motion", "value": "reduce" },
    ]);
    page.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    let script = format!("localStorage.setItem('progress-relay', {})", json!(chosen));
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    page
}

async fn show(page: &Page, url: &str) {
    page.go(url).await;
    page.until("document.querySelector('#grid .card-count')?.textContent > 0").await;
    page.until("document.querySelector('.own-name')?.hidden === false").await;
}

/// Two other instructors, one of whom looks at a student whose hand is up, as an event says.
fn others() -> String {
    let bodies = json!([
        { "by": "Maximiliane Schulz-Oberhausen" },
        { "by": "Sato", "student": crate::support::browser::classroom::student(4) },
    ]);
    format!(
        "Promise.all({bodies}.map((body) => fetch('api/class/viewing?class={ASSISTED}', {{ \
           method: 'POST', headers: {{ 'content-type': 'application/json' }}, \
           body: JSON.stringify(body) }})))"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_look_can_be_read() {
    let database = Database::migrated().await;
    scenes::fill(&database).await;
    let relay = Relay::start(&database, &[]).await;
    scenes::act(&relay).await;
    let chrome = Chrome::start().await;
    for (size, chosen) in [
        ((1280, 2000), r#"{"ownName":"Ito"}"#),
        ((1280, 2000), r#"{"ownName":"Ito","theme":"dark"}"#),
        ((1280, 2000), r#"{"ownName":"Ito","projector":true}"#),
        ((390, 3000), r#"{"ownName":"Ito","language":"ja"}"#),
    ] {
        let page = blank(&chrome, size, chosen).await;
        for class in [OUTLINE, UNCONFIGURED, OWN_IDS] {
            show(&page, &page_of(&relay, class)).await;
            page.until("document.querySelector('#cells tbody tr') !== null").await;
            for what in [UNREADABLE, NAMELESS, CUT] {
                assert_eq!(page.value(what).await, "", "{class}: {size:?} {chosen}");
            }
        }
        page.close().await;
    }
    // The class is read in every width, whoever else is here.
    let page = blank(&chrome, (1280, 800), r#"{"ownName":"Ito"}"#).await;
    show(&page, &page_of(&relay, ASSISTED)).await;
    page.value(&others()).await;
    page.until("document.querySelectorAll('.presence li').length === 2").await;
    for (width, least) in [(1280, 160), (1024, 160), (900, 160), (760, 160), (390, 120), (320, 90)]
    {
        page.size(width, 800, 1.0).await;
        page.until(&format!("innerWidth === {width}")).await;
        let picker = page.value(PICKER).await.as_f64().expect("a width");
        assert!(picker >= f64::from(least), "{picker} at {width}");
        assert_eq!(page.value(CUT).await, "", "{width}");
    }
    page.value("document.querySelector('.class-menu').open = true").await;
    assert_eq!(page.value(CUT).await, "", "the menu of a phone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_shows_nobody_before_it_is_asked() {
    let database = Database::migrated().await;
    scenes::fill(&database).await;
    let relay = Relay::start(&database, &[]).await;
    scenes::act(&relay).await;
    let chrome = Chrome::start().await;
    let chosen = r#"{"ownName":"Ito","projector":true}"#;
    let page = blank(&chrome, (1280, 720), chosen).await;
    show(&page, &page_of(&relay, ASSISTED)).await;
    page.value(&others()).await;
    let looked_at = "document.querySelector('#help .viewers:not([hidden])')";
    page.until(&format!("{looked_at} !== null")).await;
    assert_eq!(page.value(&format!("{looked_at}.checkVisibility()")).await, false);
    page.until("document.querySelector('#cells tbody button') !== null").await;
    page.click("#cells tbody button").await;
    page.until("document.querySelector('.answer-group') !== null").await;
    let names = "document.querySelector('.answer-names')";
    assert_eq!(page.value(&format!("{names}.checkVisibility()")).await, false);
    page.click(".one-cell .checkbox input").await;
    page.until(&format!("{names}.checkVisibility() && {names}.textContent !== ''")).await;
    assert_eq!(page.complaints(), [""; 0]);
}
