// What the page is limited to: a team, and a span of time. Both are kept in the address, so that a
// projector or an assistant can have a page for each team.

import { segmentedControl } from "../components/buttons.js";
import { SPANS } from "../focus.js";
import { h, show } from "../dom.js";

/**
 * @import { Page, View } from "./list.js"
 */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function limits(page) {
  const { store, t, focus } = page;
  const order = new Intl.Collator(t.locale, { numeric: true });
  const change = () => page.limit({ team: JSON.parse(select.value) });
  const select = h("select", { on: { change } });
  const team = h("label", { class: "limit" }, h("span", {}, t.limits.team), select);
  const options = SPANS.map((minutes) => ({
    value: minutes,
    text: minutes === 0 ? t.limits.lesson : t.minutes(minutes),
    name: minutes === 0 ? t.limits.everything : t.limits.lastly(minutes),
  }));
  const spans = segmentedControl(t.limits.span, options, (minutes) => page.limit({ minutes }));
  const span = h("div", { class: "limit" }, h("span", {}, t.limits.span), spans.element);
  const group = { class: "limits", role: "group", "aria-label": t.limits.label };
  const element = h("div", group, team, span);
  let listed = "";

  function draw() {
    const names = new Set([...store.rows.values()].map(({ student }) => student.teamName ?? ""));
    // A team that was chosen, and of which nobody is here.
    if (focus.team !== null) names.add(focus.team);
    const teams = [...names].sort(
      (a, b) => Number(a === "") - Number(b === "") || order.compare(a, b),
    );
    const written = JSON.stringify(teams);
    // Replacing a list that someone chooses from would close it.
    if (written !== listed && document.activeElement !== select) {
      listed = written;
      select.replaceChildren(
        h("option", { value: "null" }, t.limits.all),
        ...teams.map((name) =>
          h("option", { value: JSON.stringify(name) }, name === "" ? t.teams.none : name),
        ),
      );
    }
    select.value = JSON.stringify(focus.team);
    select.classList.toggle("is-limited", focus.team !== null);
    spans.update(focus.minutes);
    show(
      team,
      teams.some((name) => name !== ""),
    );
    show(element, store.isKnown);
  }

  return {
    element,
    slot: "main",
    update(changes) {
      if (changes.all || changes.filter) draw();
    },
    updateCalmly(changes) {
      if (changes.statuses || changes.students.size > 0) draw();
    },
  };
}
