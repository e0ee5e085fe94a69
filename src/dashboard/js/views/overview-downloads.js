// The class's events as files: for spreadsheets, for programs, for a learning record store.

import { closeAsMenu } from "../components/menu.js";
import { h, setAttribute } from "../dom.js";

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
export function downloads({ t, classId, store }) {
  // What is downloaded is what is shown, until more is asked for.
  const only = h("input", { type: "checkbox", checked: true, on: { change: draw } });
  const links = DOWNLOADS.map(([name]) => h("a", { download: "" }, t.overview.downloads[name]));
  const list = h(
    "ul",
    { class: "downloads-list" },
    h("li", { class: "downloads-lesson" }, h("label", { class: "checkbox" }, only, t.lessons.only)),
    links.map((link) => h("li", {}, link)),
  );

  function draw() {
    const { lesson } = store.state;
    DOWNLOADS.forEach(([, parameters], at) => {
      // Spreadsheets read no zone: the times are those of this clock, and the column says so.
      const query = new URLSearchParams({
        class: classId,
        ...parameters,
        utcOffset: utcOffset(new Date()),
        ...(only.checked && lesson !== null && { lesson: String(lesson.first) }),
      });
      setAttribute(links[at], "href", `api/class/export?${query}`);
    });
  }

  draw();
  const element = h("details", { class: "downloads" }, h("summary", {}, t.overview.download), list);
  // The lesson is not known before the class was read, and another one may begin.
  element.addEventListener("toggle", draw);
  closeAsMenu(element);
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
