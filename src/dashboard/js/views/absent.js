// Those who are known and not here yet: of the roster, or of earlier lessons.

import { card } from "../components/card.js";
import { moreButton } from "../components/more.js";
import { studentButton } from "../components/student-button.js";
import { List, bdi, h, setAttribute, setText, show } from "../dom.js";
import { compareTexts } from "../fields.js";
import { studentName } from "../names.js";

/**
 * @import { Absent } from "../fold.js"
 * @import { Page, View } from "./list.js"
 */

/** So many students are named until more are asked for. */
const FEW = 60;
/** More than so many are sorted without a language's rules, which take a tenth of a second. */
const MANY = 1_000;

/**
 * @param {Page} page
 * @returns {View}
 */
export default function absentList(page) {
  const { store, t } = page;
  const view = card("absent", t.absent.heading);
  view.element.tabIndex = -1;
  const list = h("ul", { class: "absent-list" });
  const more = moreButton(t, { few: FEW, more: t.stuck.more }, draw);
  view.body.append(list, ...more.elements);
  const order = new Intl.Collator(t.locale, { numeric: true });

  /** @type {List<Absent, ReturnType<typeof absentItem>>} */
  const items = new List(list, {
    key: ({ studentId }) => studentId,
    create: ({ studentId }) => absentItem(page, studentId),
    update: (item, absent) => item.update(absent),
  });

  function draw() {
    const absent = store.absent().filter((student) => page.focus.hasTeam(student));
    const compare = absent.length > MANY ? compareTexts : order.compare;
    absent.sort(
      (a, b) => compare(studentName(a), studentName(b)) || (a.studentId < b.studentId ? -1 : 1),
    );
    items.show(more.of(absent));
    setText(view.count, absent.length);
    show(view.element, absent.length > 0);
  }

  return {
    element: view.element,
    slot: "board",
    updateCalmly(changes) {
      if (changes.all || changes.filter || changes.statuses) draw();
    },
  };
}

/**
 * @param {Page} page
 * @param {string} studentId
 */
function absentItem(page, studentId) {
  const { t } = page;
  const name = studentButton(page, studentId);
  const team = bdi("", { class: "student-team" });
  const seen = h("span", { class: "absent-since" });
  const line = h("div", { class: "student-line" }, name.element, team);
  return {
    element: h("li", {}, line, seen),
    /** @param {Absent} absent */
    update(absent) {
      const { teamName, lastReceivedAt } = absent;
      name.update(absent);
      setText(team, teamName ?? "");
      setAttribute(team, "title", teamName);
      const never = lastReceivedAt === null;
      setText(seen, never ? t.absent.never : t.absent.seen(t.day(lastReceivedAt)));
      setAttribute(seen, "title", never ? null : t.dateTime(lastReceivedAt));
    },
  };
}
