// The dialogs about a class's lessons: to begin one, and to look at an earlier one.

import { api } from "../api.js";
import { bdi, h, setAttribute, setText, show } from "../dom.js";
import { parseTime } from "../time.js";
import { ownName } from "./own-name.js";

/**
 * @import { ListedLesson } from "../api.js"
 * @import { Text } from "../i18n.js"
 * @import { Page } from "./list.js"
 */

/** The longest title, in characters: the relay takes 200 bytes. */
const MAX_TITLE = 60;

/**
 * The days and times of a lesson.
 *
 * @param {Pick<ListedLesson, "startedAt" | "endedAt">} lesson
 * @param {Text} t
 */
export function lessonTimes({ startedAt, endedAt }, t) {
  const from = parseTime(startedAt) ?? 0;
  const begin = `${t.dayOfYear(from)}, ${t.clockMinute(from)}`;
  if (endedAt === undefined) return begin;
  const to = parseTime(endedAt) ?? 0;
  const isSameDay = t.dayOfYear(from) === t.dayOfYear(to);
  const end = isSameDay ? t.clockMinute(to) : `${t.dayOfYear(to)}, ${t.clockMinute(to)}`;
  return t.lessons.span(begin, end);
}

/** @param {Page} page */
export function newLessonDialog(page) {
  const { classId, t } = page;
  const title = h("input", { type: "text", id: "lesson-title", maxlength: MAX_TITLE });
  const failed = h("p", { class: "dialog-error", role: "alert", hidden: true });
  setText(failed, t.lessons.beginFailed);
  const begin = h("button", { class: "primary-button" }, t.lessons.begin);
  const cancel = { type: "button", class: "text-button", on: { click: () => element.close() } };
  const form = h(
    "form",
    {},
    h("h2", {}, t.lessons.newHeading),
    h("p", {}, t.lessons.newText),
    h("label", { class: "field", for: "lesson-title" }, t.lessons.title, title),
    failed,
    h("div", { class: "dialog-buttons" }, begin, h("button", cancel, t.lessons.cancel)),
  );
  const dialog = { class: "page-dialog new-lesson-dialog", "aria-label": t.lessons.newHeading };
  const element = h("dialog", dialog, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (begin.ariaDisabled === "true") return;
    setAttribute(begin, "aria-disabled", "true");
    show(failed, false);
    try {
      await api.beginLesson(classId, { title: title.value.trim(), by: ownName(page) });
      element.close();
    } catch {
      show(failed, true);
    }
    setAttribute(begin, "aria-disabled", null);
  });
  return {
    element,
    open() {
      title.value = "";
      show(failed, false);
      element.showModal();
    },
  };
}

/** @param {Page} page */
export function lessonsDialog(page) {
  const { t } = page;
  const list = h("ol", { class: "lesson-list" });
  const note = h("p", { class: "hint", role: "status" });
  const close = { type: "button", class: "text-button", on: { click: () => element.close() } };
  const element = h(
    "dialog",
    { class: "page-dialog lessons-dialog", "aria-label": t.lessons.heading },
    h("h2", {}, t.lessons.heading),
    list,
    note,
    h("div", { class: "dialog-buttons" }, h("button", close, t.lessons.close)),
  );
  return {
    element,
    async open() {
      list.replaceChildren();
      setText(note, t.lessons.loading);
      element.showModal();
      try {
        const { lessons } = await api.lessons(page.classId);
        setText(note, lessons.length === 0 ? t.lessons.none : "");
        list.replaceChildren(...lessons.map((lesson) => lessonItem(page, lesson)));
      } catch {
        setText(note, t.lessons.failed);
      }
      show(note, note.textContent !== "");
    },
  };
}

/**
 * @param {Page} page
 * @param {ListedLesson} lesson
 */
function lessonItem(page, lesson) {
  const { t } = page;
  const isCurrent = lesson.current === true;
  const isShown = isCurrent ? page.lessonId === null : page.lessonId === lesson.id;
  const numbers = t.lessons.numbers(t.students(lesson.students), t.runs(lesson.runs));
  const click = () => page.showLesson(isCurrent ? null : lesson.id);
  const properties = { type: "button", class: "lesson-item", "aria-current": isShown || null };
  const current = h("span", { class: "chip" }, t.lessons.current);
  const button = h(
    "button",
    { ...properties, on: { click } },
    h("span", { class: "lesson-when" }, lessonTimes(lesson, t), isCurrent ? current : null),
    lesson.title === undefined ? null : bdi(lesson.title, { class: "lesson-title" }),
    h("span", { class: "hint" }, numbers),
  );
  return h("li", {}, button);
}
