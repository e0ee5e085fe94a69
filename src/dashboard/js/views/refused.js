// What the relay rejected: a quiet line, since a client whose events are all rejected looks like a class in which nobody
// does anything.

import { bdi, h, setText, show } from "../dom.js";
import { MINUTE, parseTime } from "../time.js";

/** What was rejected before an earlier lesson's end is of no use now. */
const RECENT = 6 * 60 * MINUTE;
/** Causes named; the rest is in the number. */
const MOST = 8;

export function refusedNotice({ t }) {
  const text = h("summary");
  const list = h("ul");
  const element = h("details", { class: "refused", hidden: true }, text, h("p", {}, t.refused.hint), list);
  return {
    element,
    /** `answer`: of `/api/class/refused`, or `null` while that is not known. */
    update(answer) {
      const now = parseTime(answer?.now);
      const recent = (answer?.refused ?? []).filter((cause) => now - parseTime(cause.lastAt) < RECENT);
      show(element, recent.length > 0);
      if (recent.length === 0) return;
      const total = recent.reduce((sum, { count }) => sum + count, 0);
      const since = Math.min(...recent.map(({ firstAt }) => parseTime(firstAt)));
      setText(text, t.refused.summary(total, now - since < 24 * 60 * MINUTE ? t.clockMinute(since) : t.dateTime(since)));
      recent.sort((a, b) => b.count - a.count);
      list.replaceChildren(...recent.slice(0, MOST).map((cause) => item(cause, t)));
    },
  };
}

function item({ field, reason, count }, t) {
  // The relay's own words: names of fields, and what is wrong with them.
  return h("li", {}, h("code", {}, field), " ", bdi(reason, { lang: "en" }), ` · ${t.refused.times(count)}`);
}
