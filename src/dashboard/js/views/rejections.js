// The events of the class that the relay rejected. The notice is quiet, but it is needed: a client
// whose events are all rejected looks like a class in which nothing happens.

import { bdi, h, setText, show } from "../dom.js";
import { MINUTE, parseTime } from "../time.js";

/**
 * @import { Rejection } from "../api.js"
 * @import { Text } from "../i18n.js"
 * @import { Page, View } from "./list.js"
 */

/** Older rejections belong to a lesson that is over. */
const RECENT = 6 * 60 * MINUTE;
const DAY = 24 * 60 * MINUTE;
/** The most causes that are named. The others are in the number alone. */
const MAX_CAUSES = 8;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function rejectionsNotice({ rejections, t }) {
  const text = h("summary");
  const list = h("ul");
  const hint = h("p", {}, t.rejections.hint);
  const element = h("details", { class: "notice rejections", hidden: true }, text, hint, list);

  function draw() {
    const { answer } = rejections;
    const now = parseTime(answer?.now) ?? 0;
    const all = answer?.refused ?? [];
    const recent = all.filter((cause) => now - (parseTime(cause.lastAt) ?? now) < RECENT);
    show(element, recent.length > 0);
    if (recent.length === 0) return;
    const total = recent.reduce((sum, { count }) => sum + count, 0);
    const since = Math.min(...recent.map(({ firstAt }) => parseTime(firstAt) ?? now));
    const time = now - since < DAY ? t.clockMinute(since) : t.dateTime(since);
    setText(text, t.rejections.summary(total, time));
    recent.sort((a, b) => b.count - a.count);
    list.replaceChildren(...recent.slice(0, MAX_CAUSES).map((cause) => item(cause, t)));
  }

  return {
    element,
    slot: "top",
    update(changes) {
      if (changes.all || changes.rejections) draw();
    },
  };
}

/**
 * @param {Rejection} rejection
 * @param {Text} t
 */
function item({ field, reason, count }, t) {
  // The relay names fields and their faults in English.
  const words = bdi(reason, { lang: "en" });
  return h("li", {}, h("code", {}, field), " ", words, ` · ${t.rejections.times(count)}`);
}
