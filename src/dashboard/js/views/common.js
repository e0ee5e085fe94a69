// What several views are made of.

import { bdi, h, setAttribute, setText, setVariable, show } from "../dom.js";
import { icon } from "../icons.js";
import { studentName } from "../names.js";
import { STATUSES } from "../student.js";

/** A card with a heading, a count beside it, and room for controls. */
export function card(name, heading, ...tools) {
  const count = h("span", { class: "count" });
  const body = h("div", { class: "card-body" });
  const element = h(
    "section",
    { class: `card ${name}`, id: name, "aria-labelledby": `${name}-heading` },
    h("header", { class: "card-head" }, h("h2", { id: `${name}-heading` }, heading), count, h("div", { class: "tools" }, tools)),
    body,
  );
  return { element, body, count };
}

/** What a card says when it has nothing to show; good news looks like good news. */
export function emptyState(text, hint = null, good = false) {
  return h(
    "div",
    { class: good ? "empty good" : "empty" },
    good ? icon("active") : null,
    h("p", {}, text),
    hint === null ? null : h("p", { class: "hint" }, hint),
  );
}

/** A status as a mark: its shape says as much as its colour. */
export function statusMark(status, t) {
  return h("span", { class: `mark ${status}`, title: t.status[status] }, icon(status), h("span", { class: "sr" }, t.status[status]));
}

/** A student's name as a button that opens the drawer. */
export function nameButton(page, row) {
  const name = bdi();
  const open = () => page.open(row.student.studentId);
  const button = h("button", { type: "button", class: "name", on: { click: open } }, name);
  return { button, update: (student) => setText(name, studentName(student)) };
}

/** Whether a list of the students of a status may be another. */
export function concerns(changes, status) {
  if (changes.all || changes.statuses) return true;
  for (const row of changes.students) if (row.status === status) return true;
  return false;
}

/** Children that are found again when they are to be written. */
const parts = new WeakMap();

export function remember(element, found) {
  parts.set(element, found);
  return element;
}

export function partsOf(element) {
  return parts.get(element);
}

/** A bar of students by status, each part as wide as its share. */
export function statusBar(t) {
  const segments = STATUSES.map((status) => h("span", { class: `segment ${status}` }));
  const element = h("div", { class: "status-bar", role: "img" }, segments);
  return {
    element,
    /** `counts` by status; `of`: what fills the whole bar. */
    update(counts, of, label = null) {
      segments.forEach((segment, at) => {
        const count = counts[STATUSES[at]];
        show(segment, count > 0);
        setVariable(segment, "--share", of > 0 ? count / of : 0);
      });
      setAttribute(element, "aria-label", label ?? describe(counts, t));
    },
  };
}

/** Counts by status in words. */
export function describe(counts, t) {
  return STATUSES.filter((status) => counts[status] > 0)
    .map((status) => `${t.status[status]} ${t.number(counts[status])}`)
    .join(", ");
}

export function countByStatus(rows) {
  const counts = Object.fromEntries(STATUSES.map((status) => [status, 0]));
  for (const row of rows) counts[row.status] += 1;
  return counts;
}
