// The class's events as files: for spreadsheets, for programs, for a learning record store.

import { h, setAttribute } from "../dom.js";
import { formatTime } from "../time.js";

/** @import { Page } from "./list.js" */

/** @typedef {"csv" | "students" | "ndjson" | "xapi"} Download */

/** @type {[Download, Record<string, string>][]} */
const DOWNLOADS = [
  ["csv", { format: "csv" }],
  ["students", { format: "csv", rows: "students" }],
  ["ndjson", { format: "ndjson" }],
  ["xapi", { format: "xapi" }],
];

/** @param {Page} page */
export function downloads({ t, classId, lessonId, store }) {
  const only = h("input", { type: "checkbox", checked: lessonId !== null, on: { change: draw } });
  const links = DOWNLOADS.map(([name]) => h("a", { download: "" }, t.overview.downloads[name]));
  const list = h(
    "ul",
    { class: "downloads-list" },
    h("li", { class: "downloads-lesson" }, h("label", { class: "checkbox" }, only, t.lessons.only)),
    links.map((link) => h("li", {}, link)),
  );

  function draw() {
    DOWNLOADS.forEach(([, parameters], at) => {
      // Spreadsheets read no zone: the times are those of this clock, and the column says so.
      const query = new URLSearchParams({
        class: classId,
        ...parameters,
        utcOffset: utcOffset(new Date()),
        ...(only.checked && spanOf()),
      });
      setAttribute(links[at], "href", `api/class/export?${query}`);
    });
  }

  /** When the events of the lesson that is shown were received. */
  function spanOf() {
    const { lesson, lastReceivedAt } = store.state;
    if (lesson === null) return {};
    // The end is not part of a span.
    const to = lessonId === null ? {} : { to: formatTime(lastReceivedAt + 1) };
    return { from: formatTime(lesson.startedAt), ...to };
  }

  draw();
  const element = h("details", { class: "downloads" }, h("summary", {}, t.overview.download), list);
  // The lesson is not known before the class was read, and another one may begin.
  element.addEventListener("toggle", draw);
  // A menu closes by Escape, and when something else is chosen.
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !element.open) return;
    element.open = false;
    element.querySelector("summary")?.focus();
    event.stopPropagation();
  });
  element.addEventListener("focusout", (event) => {
    const next = event.relatedTarget;
    if (next instanceof Node && !element.contains(next)) element.open = false;
  });
  for (const link of links) link.addEventListener("click", () => (element.open = false));
  return element;
}

/**
 * The offset of this machine's zone from UTC, as `+09:00`.
 *
 * @param {Date} now
 */
export function utcOffset(now) {
  const minutes = -now.getTimezoneOffset();
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
