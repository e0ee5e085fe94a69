// The teams: the statuses of their students, and how many of their runs fail.

import { setPressed } from "../components/buttons.js";
import { card, emptyState } from "../components/card.js";
import { countByStatus, statusBar } from "../components/status.js";
import { List, bdi, h, setAttribute, setText, show } from "../dom.js";

/**
 * @import { Row, Store } from "../store.js"
 * @import { Page, View } from "./list.js"
 */

/**
 * @typedef {{ key: string, name: string | null, rows: Row[], runs: number, errors: number }} Team
 */

/**
 * @param {Page} page
 * @returns {View}
 */
export default function teams(page) {
  const { store, t } = page;
  const view = card("teams", t.teams.heading);
  const empty = emptyState(t.teams.empty);
  const body = h("tbody");
  const heads = [t.teams.team, t.teams.state, t.teams.runs, t.teams.failing];
  const head = heads.map((text) => h("th", { scope: "col" }, text));
  const labelled = { "aria-labelledby": "teams-heading" };
  const table = h("table", labelled, h("thead", {}, h("tr", {}, head)), body);
  view.body.append(empty.element, h("div", { class: "scroll-area" }, table));

  /** @type {List<Team, TeamRow>} */
  const list = new List(body, {
    key: (team) => team.key,
    create: () => new TeamRow(page),
    update: (row, team) => row.update(team),
  });
  const order = new Intl.Collator(t.locale, { numeric: true });
  /**
   * Students without a team come last.
   *
   * @param {Team} a
   * @param {Team} b
   */
  const byName = (a, b) =>
    Number(a.name === null) - Number(b.name === null) || order.compare(a.name ?? "", b.name ?? "");

  function draw() {
    const all = teamsOf(store).sort(byName);
    const named = all.filter((team) => team.name !== null).length;
    list.show(named > 0 ? all : []);
    setText(view.count, named);
    show(empty.element, named === 0);
    show(table, named > 0);
  }

  return {
    element: view.element,
    slot: "board",
    updateCalmly(changes) {
      if (changes.all || changes.filter || changes.statuses || changes.students.size > 0) draw();
    },
  };
}

/** @param {Store} store */
function teamsOf(store) {
  /** @type {Map<string, Team>} */
  const teams = new Map();
  for (const row of store.rows.values()) {
    const { teamName, cellsExecuted, errorCount } = row.student;
    // A team's name is free text: it may be the same as the key of those without a team.
    const key = teamName === null ? "none" : `team:${teamName}`;
    const team = teams.get(key) ?? { key, name: teamName, rows: [], runs: 0, errors: 0 };
    team.rows.push(row);
    team.runs += cellsExecuted;
    team.errors += errorCount;
    teams.set(key, team);
  }
  return [...teams.values()];
}

class TeamRow {
  element;
  #t;
  #name = bdi("", { class: "team-name" });
  #choose;
  #page;
  #team = "";
  #bar;
  #size = h("span", { class: "number" });
  #runs = h("span");
  #failing = h("span");

  /** @param {Page} page */
  constructor(page) {
    const { t } = page;
    this.#page = page;
    this.#t = t;
    const click = () => page.limit({ team: page.focus.team === this.#team ? null : this.#team });
    this.#choose = h("button", { type: "button", class: "team-choose", on: { click } }, this.#name);
    this.#bar = statusBar(t);
    this.element = h(
      "tr",
      {},
      h("th", { scope: "row" }, this.#choose),
      h("td", {}, h("div", { class: "team-statuses" }, this.#bar.element, this.#size)),
      h("td", { class: "number" }, this.#runs),
      h("td", { class: "number" }, this.#failing),
    );
  }

  /** @param {Team} team */
  update({ name, rows, runs, errors }) {
    const t = this.#t;
    this.#team = name ?? "";
    setPressed(this.#choose, this.#page.focus.team === this.#team);
    setText(this.#name, name ?? t.teams.none);
    setAttribute(this.#name, "title", name);
    this.#bar.update(countByStatus(rows), rows.length);
    setText(this.#size, t.number(rows.length));
    setText(this.#runs, t.number(runs));
    setText(this.#failing, runs > 0 ? t.percent(errors / runs) : "–");
  }
}
