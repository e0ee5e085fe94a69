// A sentence across the page while an earlier lesson is shown, and the way back to the current one.

import { api } from "../api.js";
import { bdi, h, setText, show } from "../dom.js";
import { lessonTimes } from "./lessons.js";

/** @import { Page, View } from "./list.js" */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function earlierLesson(page) {
  const { classId, lessonId, t } = page;
  const text = h("span");
  const title = bdi("", { class: "lesson-title" });
  const back = () => page.showLesson(null);
  const properties = { type: "button", class: "primary-button", on: { click: back } };
  const element = h(
    "div",
    { class: "earlier-lesson", role: "status", hidden: lessonId === null },
    h("p", {}, text, " ", title),
    h("button", properties, t.lessons.back),
  );

  async function describe() {
    const { lessons } = await api.lessons(classId);
    if (page.classId !== classId || page.lessonId !== lessonId) return;
    const lesson = lessons.find(({ id }) => id === lessonId);
    // A link to a lesson that still goes on.
    if (lesson?.current === true) page.showLesson(null, true);
    else if (lesson === undefined) setText(text, t.lessons.noSuch);
    else setText(text, t.lessons.banner(lessonTimes(lesson, t)));
    setText(title, lesson?.title ?? "");
  }

  setText(text, t.lessons.badge);
  // Without the list the lesson is shown all the same.
  if (lessonId !== null) describe().catch(() => {});
  return {
    element,
    slot: "top",
    update(changes) {
      if (changes.all) show(element, page.lessonId !== null);
      if (page.connection.name === "refused") setText(text, t.lessons.noSuch);
    },
  };
}
