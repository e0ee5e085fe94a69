// Teams: who is in what state, which team needs someone.

import { List, bdi, h, setText, show } from "../dom.js";
import { card, countByStatus, emptyState, partsOf, remember, statusBar } from "./common.js";

export function teams(page) {
  const { store, t } = page;
  const view = card("teams", t.teams.heading);
  const empty = emptyState(t.teams.empty);
  const rows = h("tbody");
  const heads = [t.teams.team, t.teams.state, t.teams.runs, t.teams.failing].map((text) => h("th", { scope: "col" }, text));
  const table = h("table", { "aria-labelledby": "teams-heading" }, h("thead", {}, h("tr", {}, heads)), rows);
  view.body.append(empty, h("div", { class: "scroll" }, table));

  const list = new List(rows, {
    key: (team) => team.key,
    create: () => {
      const name = bdi();
      const bar = statusBar(t);
      const [size, runs, failing] = ["number", "number", "number"].map((name) => h("span", { class: name }));
      const element = h(
        "tr",
        {},
        h("th", { scope: "row" }, name),
        h("td", {}, h("div", { class: "team-state" }, bar.element, size)),
        h("td", { class: "numeric" }, runs),
        h("td", { class: "numeric" }, failing),
      );
      return remember(element, { name, bar, size, runs, failing });
    },
    update: (element, team) => {
      const part = partsOf(element);
      const counts = countByStatus(team.rows);
      setText(part.name, team.name ?? t.teams.none);
      part.bar.update(counts, team.rows.length);
      setText(part.size, t.number(team.rows.length));
      setText(part.runs, t.number(team.runs));
      setText(part.failing, team.runs > 0 ? t.percent(team.errors / team.runs) : "–");
    },
  });

  function draw() {
    const teams = new Map();
    for (const row of store.rows.values()) {
      const { teamName, cellsExecuted, errorCount } = row.student;
      // A name of someone's choosing cannot be the key of those without one.
      const key = teamName === null ? "none" : `team:${teamName}`;
      const team = teams.get(key) ?? { key, name: teamName, rows: [], runs: 0, errors: 0 };
      team.rows.push(row);
      team.runs += cellsExecuted;
      team.errors += errorCount;
      teams.set(key, team);
    }
    const named = [...teams.values()].filter((team) => team.name !== null);
    const order = new Intl.Collator(t.locale, { numeric: true });
    const shown = [...teams.values()].sort(
      (a, b) => (a.name === null) - (b.name === null) || order.compare(a.name ?? "", b.name ?? ""),
    );
    list.show(named.length > 0 ? shown : []);
    setText(view.count, named.length);
    show(empty, named.length === 0);
    show(table, named.length > 0);
  }

  return {
    element: view.element,
    calm: true,
    update(changes) {
      if (changes.all || changes.statuses || changes.students.size > 0) draw();
    },
  };
}
