// The help queue: whose hand is up, the longest waiting first, and how long each has waited.

import { api } from "../api.js";
import { List, bdi, h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { placeLabel, studentName } from "../names.js";
import { MINUTE } from "../time.js";
import { card, concerns, emptyState, nameButton, partsOf, remember } from "./common.js";

/** A wait that is said to be long. */
const LONG_WAIT = 5 * MINUTE;

export function helpQueue(page) {
  const { store, clock, t } = page;
  const view = card("help", t.help.heading);
  const empty = emptyState(t.help.empty, t.help.emptyHint, true);
  const list = h("ol", { class: "queue" });
  // Said to screen readers: the queue itself would be read anew at every tick.
  const announcer = h("p", { class: "sr", "aria-live": "polite" });
  view.body.append(empty, list, announcer);
  view.element.tabIndex = -1;

  const items = new List(list, {
    key: (row) => row.student.studentId,
    create: (row) => create(page, row),
    update: (element, row) => update(page, element, row),
  });

  return {
    element: view.element,
    update(changes) {
      const names = changes.raised.map((row) => studentName(row.student));
      if (names.length > 0) setText(announcer, t.help.raised(names.join(", ")));
      if (concerns(changes, "help")) {
        const queue = store.withStatus("help").sort((a, b) => a.student.helpSince - b.student.helpSince);
        items.show(queue);
        setText(view.count, queue.length);
        show(empty, queue.length === 0);
        show(list, queue.length > 0);
        view.element.classList.toggle("calling", queue.length > 0);
      } else if (changes.tick) {
        for (const element of list.children) tick(page, element, clock.now());
      }
    },
  };
}

function create(page, row) {
  const { t } = page;
  const wait = h("time", { class: "wait" });
  const name = nameButton(page, row);
  const team = bdi("", { class: "team" });
  const place = h("span", { class: "spot" });
  const streak = h("span", { class: "streak", title: t.status.stuck });
  const failed = h("p", { class: "failed", role: "alert", hidden: true }, t.help.failed);
  const resolve = h("button", { type: "button", class: "action" }, t.help.resolve);
  resolve.addEventListener("click", () => act(page, element, partsOf(element).row));
  const long = h("span", { class: "long", title: t.help.long }, icon("warning"), h("span", { class: "sr" }, t.help.long));
  const element = h(
    "li",
    { class: "queue-item" },
    h("div", { class: "wait-box" }, wait, long),
    h("div", { class: "who" }, h("div", { class: "line" }, name.button, team), h("div", { class: "line sub" }, place, streak), failed),
    resolve,
  );
  return remember(element, { wait, long, name, team, place, streak, failed, resolve, row, pending: null });
}

function update(page, element, row) {
  const { store, clock, t } = page;
  const part = partsOf(element);
  const { student } = row;
  // Raised again: an earlier answer says nothing about this hand.
  if (part.since !== student.helpSince) settle(page, part);
  part.row = row;
  part.since = student.helpSince;
  part.name.update(student);
  setText(part.team, student.teamName ?? "");
  show(part.team, student.teamName !== null);
  setText(part.place, placeLabel(student, store, t));
  setText(part.streak, t.stuck.times(student.consecutiveErrors));
  show(part.streak, student.consecutiveErrors > 1);
  setAttribute(part.resolve, "aria-label", t.help.resolveName(studentName(student)));
  tick(page, element, clock.now());
}

function tick({ t }, element, now) {
  const part = partsOf(element);
  const waited = now - part.since;
  setText(part.wait, t.wait(waited));
  setAttribute(part.wait, "aria-label", t.help.waiting(t.span(waited)));
  show(part.long, waited >= LONG_WAIT);
  element.classList.toggle("long-wait", waited >= LONG_WAIT);
}

/** The hand goes down when the relay says so, by the same events as everywhere else. */
async function act(page, element, row) {
  const part = partsOf(element);
  const { t } = page;
  show(part.failed, false);
  setAttribute(part.resolve, "aria-disabled", "true");
  setText(part.resolve, t.help.resolving);
  const { since } = part;
  try {
    await api.resolve(page.classId, row.student.studentId);
  } catch (error) {
    if (part.since !== since) return;
    settle(page, part);
    show(part.failed, true);
  }
}

function settle({ t }, part) {
  setAttribute(part.resolve, "aria-disabled", null);
  setText(part.resolve, t.help.resolve);
  show(part.failed, false);
}
