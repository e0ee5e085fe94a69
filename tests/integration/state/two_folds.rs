//! The relay's fold and the page's make the same of whatever a table may hold.
//!
//! The shared vectors hold each rule. Here both folds get random events, most of them of no form
//! that a client sends: any writer of SQL may store those. `RELAY_TEST_FOLDS` says how many classes
//! are tried, and `RELAY_TEST_SEED` where the random numbers begin.

use fastrand::Rng;
use progress_relay::event::Micros;
use progress_relay::state::ClassState;
use serde_json::Value;

use super::hostile_events::{DAY, Hostile, NINE, Row};
use crate::support::class::summary_of;
use crate::support::page_fold::PageFold;

/// The rows as they are delivered.
fn delivered(rows: &[Row]) -> Vec<String> {
    let written = |row: &Row| {
        let mut text = String::new();
        row.stored().write(&mut text);
        text
    };
    rows.iter().map(written).collect()
}

/// What the relay makes of the rows.
fn relay_fold(rows: &[Row], now: i64) -> Value {
    let mut state = ClassState::default();
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        state.fold(&row.stored());
        at += 1;
        if state.needs_refold() {
            let after = state.begin_refold().0;
            at = rows.partition_point(|row| row.id <= after);
        }
    }
    summary_of(&mut state, Micros(now))
}

/// The members of the summaries that differ.
fn differences(page: &mut PageFold, rows: &[Row], now: i64, cut: usize) -> Vec<String> {
    let (found, again) = page.fold(&delivered(rows), Micros(now), cut);
    let expected = relay_fold(rows, now);
    let names = ["lesson", "metrics", "students", "absent", "cells", "grid", "activity"];
    let differs = names.iter().filter(|&&name| found[name] != expected[name]);
    let resumed = again.as_array().into_iter().flatten().map(|name| format!("resumed: {name}"));
    differs
        .map(|name| format!("{name}: {} and {}", found[name], expected[name]))
        .chain(resumed)
        .collect()
}

/// As few of the rows as still make a difference.
fn shortened(page: &mut PageFold, rows: &[Row], now: i64, cut: usize) -> (Vec<Row>, usize) {
    let (mut rows, mut cut, mut at) = (rows.to_vec(), cut, 0);
    while at < rows.len() {
        let mut fewer = rows.clone();
        fewer.remove(at);
        let fewer_cut = cut - usize::from(at < cut);
        if differences(page, &fewer, now, fewer_cut).is_empty() {
            at += 1;
        } else {
            (rows, cut) = (fewer, fewer_cut);
        }
    }
    (rows, cut)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn the_relay_and_the_page_fold_anything_alike() {
    let (seed, count) = (number("RELAY_TEST_SEED", 1), number("RELAY_TEST_FOLDS", 400));
    let mut page = PageFold::start();
    for seed in seed..seed + count {
        let mut hostile = Hostile(Rng::with_seed(seed));
        let rows = hostile.rows();
        let last = rows.iter().map(|row| row.received_at).max().unwrap_or(NINE);
        let now = last.clamp(NINE, NINE + 400 * DAY) + hostile.step().abs();
        let cut = hostile.0.usize(..=rows.len());
        if differences(&mut page, &rows, now, cut).is_empty() {
            continue;
        }
        let (rows, cut) = shortened(&mut page, &rows, now, cut);
        let shown = delivered(&rows).join("\n");
        let differences = differences(&mut page, &rows, now, cut).join("\n");
        panic!("seed {seed}, cut {cut}, now {}:\n{shown}\n{differences}", Micros(now).to_rfc3339());
    }
    page.end();
}
