// One student: what they are doing, the latest code and what came of it, and what went before.

import { bdi, h, setAttribute, setText, show } from "../dom.js";
import { icon } from "../icons.js";
import { cellLabel, placeLabel, studentName } from "../names.js";
import { nameMark, latestRun } from "./drawer-run.js";
import { Timeline } from "./drawer-timeline.js";
import { outcome, outcomeText } from "./grid-model.js";

/** The extension's own default: whoever did not configure it shares this address. */
const DEFAULT_ADDRESS = "student001@example.com";
/** Below this width the drawer is the page. */
const NARROW = window.matchMedia("(max-width: 45rem)");

export function drawer(page) {
  const { store, clock, t } = page;
  const dialog = h("dialog", { class: "drawer", "aria-labelledby": "drawer-name" });
  let studentId = null;
  let opener = null;
  let parts = null;

  function open(id) {
    if (!dialog.open) opener = document.activeElement;
    if (id !== studentId) {
      studentId = id;
      build();
    }
    if (!dialog.open) {
      if (NARROW.matches) dialog.showModal();
      else dialog.show();
      page.addressed(id);
    }
    parts.name.focus({ preventScroll: true });
  }

  function close() {
    if (dialog.open) dialog.close();
  }

  dialog.addEventListener("close", () => {
    parts?.timeline.close();
    studentId = null;
    parts = null;
    page.addressed(null);
    if (opener?.isConnected) opener.focus({ preventScroll: true });
    opener = null;
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  });

  function build() {
    parts?.timeline.close();
    const name = h("h2", { id: "drawer-name", tabindex: "-1" }, bdi());
    const status = h("span", { class: "drawer-status" });
    const facts = Object.fromEntries(["id", "team", "lastHeard", "executed", "errors"].map((fact) => [fact, bdi()]));
    const shut = h("button", { type: "button", class: "icon-button close", "aria-label": t.drawer.close, title: t.drawer.close, on: { click: close } }, icon("close"));
    const run = latestRun(page);
    const timeline = new Timeline(page, studentId, (event) => run.update(event));
    const cells = h("div", { class: "cell-strip", role: "list", "aria-label": t.drawer.cells });
    const list = Object.entries(facts).map(([fact, value]) => h("div", {}, h("dt", {}, t.drawer[fact]), h("dd", {}, value)));
    const shared = h("p", { class: "caution", hidden: studentId !== DEFAULT_ADDRESS }, icon("warning"), t.drawer.shared);
    dialog.replaceChildren(
      h("header", { class: "drawer-head" }, h("div", {}, name, status), shut),
      h(
        "div",
        { class: "drawer-body" },
        shared,
        h("dl", { class: "facts" }, list),
        cells,
        run.element,
        timeline.element,
      ),
    );
    parts = { name, status, facts, cells, timeline, run };
    dialog.scrollTop = 0;
    update();
  }

  function update() {
    const row = store.rows.get(studentId);
    if (row === undefined) {
      setText(parts.name.firstChild, studentId);
      return;
    }
    const { student } = row;
    const { facts } = parts;
    setText(parts.name.firstChild, studentName(student));
    nameMark(parts.status, row, placeLabel(student, store, t), t);
    setText(facts.team, student.teamName ?? "–");
    setText(facts.id, student.studentId);
    setText(facts.executed, t.number(student.cellsExecuted));
    const streak = student.consecutiveErrors;
    setText(facts.errors, [t.number(student.errorCount), streak > 1 ? t.drawer.inARow(streak) : ""].filter(Boolean).join(" · "));
    drawCells(parts.cells, student);
    tick();
  }

  function drawCells(strip, student) {
    const cells = store.state.orderedCells().filter((cell) => cell.notebookPath === student.notebookPath && cell.students.has(student));
    show(strip, cells.length > 0);
    cells.forEach((cell, at) => {
      const runs = student.cells.get(`${cell.notebookPath ?? ""}\0${cell.cellId}`);
      const square = strip.children[at] ?? strip.appendChild(h("span", { role: "listitem" }, h("span", { "aria-hidden": "true" })));
      const text = `${cellLabel(cell, t)}: ${outcomeText(runs, t)}`;
      setAttribute(square, "class", `square ${outcome(runs)}${cell.cellId === student.cellId ? " here" : ""}`);
      setText(square.firstChild, cell.cellIndex ?? "·");
      setAttribute(square, "title", text);
      setAttribute(square, "aria-label", text);
    });
    while (strip.children.length > cells.length) strip.lastElementChild.remove();
  }

  function tick() {
    const row = store.rows.get(studentId);
    if (row !== undefined) setText(parts.facts.lastHeard, t.age(clock.now() - row.student.lastReceivedAt));
  }

  return {
    element: dialog,
    open,
    close,
    get studentId() {
      return studentId;
    },
    update(changes) {
      if (parts === null) return;
      const row = store.rows.get(studentId);
      if (changes.all || changes.students.has(row)) update();
      else if (changes.tick) tick();
      if (changes.tick) parts.timeline.tick();
    },
    /** Lets go of what it listens to. */
    end() {
      parts?.timeline.close();
    },
  };
}
