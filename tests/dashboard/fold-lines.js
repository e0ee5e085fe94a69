// The page's fold, for a program that has the relay's: each line of the input is a class's events
// and a time, `{"now": …, "cut": …, "events": […]}`, and each line of the output is the summary of
// it. `again` says in which members the summary differs if the page took a summary after `cut`
// events, and folded the others onto that.

import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

import { ClassState } from "../../src/dashboard/js/fold.js";
import { renderSummary, restoreState } from "../../src/dashboard/js/summary.js";
import { parseTime } from "../../src/dashboard/js/time.js";

/** Folds a class's events; after a change of the settings the lesson's again. */
function folded(events) {
  const state = new ClassState();
  for (const [at, event] of events.entries()) {
    if (!state.fold(event)?.refold) continue;
    state.beginRefold();
    const lesson = events.slice(0, at + 1).filter(({ id }) => id >= state.lesson.first);
    for (const again of lesson) state.fold(again);
  }
  return state;
}

/** Folds events onto a summary; after a change of the settings onto another one, as a page does. */
function resumed(events, cut, now) {
  const taken = (count) => restoreState(sent(folded(events.slice(0, count)), now));
  let state = taken(cut);
  for (let at = cut; at < events.length; at += 1) {
    if (state.fold(events[at])?.event.kind === "settings_changed") state = taken(at + 1);
  }
  return state;
}

/** A summary as a page gets it. */
function sent(state, now) {
  const { settings, settingsEvent } = state;
  const members = { settings: settings.written, settingsVersion: String(settingsEvent) };
  return JSON.parse(JSON.stringify({ ...members, ...renderSummary(state, now) }));
}

/** With a roster, a summary has no names of others who are not here. */
function withoutNames({ students, absent, ...members }) {
  const unnamed = ({ userName: _, teamName: __, ...student }) => student;
  return { ...members, students: students.map(unnamed), absent: absent.map(unnamed) };
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { now: text, cut, events } = JSON.parse(line);
  const now = parseTime(text);
  const summary = renderSummary(folded(events), now);
  const [whole, again] = [summary, renderSummary(resumed(events, cut, now), now)].map(withoutNames);
  const differs = Object.keys(whole).filter((name) => !isDeepStrictEqual(whole[name], again[name]));
  console.log(JSON.stringify({ summary, again: differs }));
}
