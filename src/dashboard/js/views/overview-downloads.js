// The class's events as files: for spreadsheets, for programs, for a learning record store.

import { h } from "../dom.js";

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
export function downloads({ t, classId }) {
  const list = h(
    "ul",
    { class: "downloads-list" },
    DOWNLOADS.map(([name, parameters]) => {
      // Spreadsheets read no zone: the times are those of this clock, and the column says so.
      const query = new URLSearchParams({
        class: classId,
        ...parameters,
        utcOffset: utcOffset(new Date()),
      });
      const href = `api/class/export?${query}`;
      return h("li", {}, h("a", { href, download: "" }, t.overview.downloads[name]));
    }),
  );
  const element = h("details", { class: "downloads" }, h("summary", {}, t.overview.download), list);
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
  list.addEventListener("click", () => {
    element.open = false;
  });
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
