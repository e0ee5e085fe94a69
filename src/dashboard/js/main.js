// The page: which class it is about, what it is made of, and when each part is written.

import { api } from "./api.js";
import { Clock } from "./clock.js";
import { Connection } from "./connection.js";
import { h, show } from "./dom.js";
import { Schedule } from "./schedule.js";
import { speak } from "./i18n.js";
import { Preferences } from "./preferences.js";
import { Store } from "./store.js";
import { activity } from "./views/activity.js";
import { failingCells } from "./views/cells.js";
import { connectionBadge, connectionBanner } from "./views/connection.js";
import { drawer } from "./views/drawer.js";
import { grid } from "./views/grid.js";
import { emptyClass, header } from "./views/header.js";
import { helpQueue } from "./views/help.js";
import { overview } from "./views/overview.js";
import { classPlace } from "./views/place.js";
import { refusedNotice } from "./views/refused.js";
import { silent } from "./views/silent.js";
import { stuckList } from "./views/stuck.js";
import { teams } from "./views/teams.js";

/** How often the relay is asked what it rejected, in milliseconds. */
const REFUSED_EVERY = 60_000;

const clock = new Clock();
const schedule = new Schedule(draw, drawCalmly);
const store = new Store(clock, () => schedule.request());
const preferences = new Preferences((name) => {
  if (name === "language") build();
  if (name === "theme" || name === "projector") restyle();
});

let classId = null;
let connection = null;
let state = { name: "loading", since: null, retryAt: null, reason: null };
/** What the parts share. */
let page = null;
/** The parts, as they are on the page now. */
let views = null;
/** What the calm parts have not been told yet. */
let pending = null;
/** What the relay rejected of this class, and when it may be asked again. */
let refused = null;
let askRefusedAt = 0;

/** What the address says. */
function address() {
  const query = new URLSearchParams(location.search);
  return { classId: query.get("class") || "default", studentId: query.get("student") };
}

function addressOf(id, studentId) {
  const url = new URL(location.href);
  url.search = "";
  if (id !== "default") url.searchParams.set("class", id);
  if (studentId !== null) url.searchParams.set("student", studentId);
  return url;
}

/** Another class: the page stays, what it shows is read anew. */
function enter(id) {
  connection?.close();
  classId = id;
  state = { name: "loading", since: null, retryAt: null, reason: null };
  store.clear();
  refused = null;
  askRefusedAt = 0;
  build();
  const { studentId } = address();
  if (studentId !== null) page.open(studentId);
  connection = new Connection(id, {
    summary: (summary, asked) => store.load(summary, asked),
    events: (events) => store.fold(events),
    state: (next) => {
      state = next;
      views.badge.update(state);
      views.banner.update(state);
      document.documentElement.dataset.connection = state.name;
      schedule.request();
      askRefused();
    },
  });
}

/** Asks what was rejected, while someone looks and the relay is there; it is no event, so it does not come by itself. */
function askRefused() {
  if (state.name !== "live" || document.hidden || performance.now() < askRefusedAt) return;
  askRefusedAt = performance.now() + REFUSED_EVERY;
  const asked = classId;
  api.refused(asked).then(
    (answer) => {
      if (asked !== classId) return;
      refused = answer;
      views.refused.update(refused);
    },
    // What was known before stays; it is asked again in a minute.
    () => {},
  );
}

/** The whole page in the language that was chosen; what it knows stays. */
function build() {
  const open = views?.drawer.studentId ?? null;
  views?.drawer.end();
  const t = speak(preferences.language);
  page = {
    store,
    clock,
    t,
    preferences,
    classId,
    status: null,
    retry: () => connection.retry(),
    open: (studentId) => views.drawer.open(studentId),
    addressed: (studentId) => history.replaceState(null, "", addressOf(classId, studentId)),
    filter: (status) => {
      page.status = status;
      views.overview.update({ all: true });
      views.grid.redraw();
    },
    choose: (id) => {
      history.pushState(null, "", addressOf(id, null));
      enter(id);
    },
  };
  const badge = connectionBadge(page);
  const banner = connectionBanner(page);
  const notice = refusedNotice(page);
  const parts = {
    overview: overview(page),
    help: helpQueue(page),
    stuck: stuckList(page),
    grid: grid(page),
    cells: failingCells(page),
    place: classPlace(page),
    activity: activity(page),
    teams: teams(page),
    silent: silent(page),
    drawer: drawer(page),
  };
  const element = (name) => parts[name].element;
  const loading = h("p", { class: "loading", role: "status" }, t.loading);
  const empty = emptyClass(page);
  const board = h(
    "div",
    { class: "board" },
    h("div", { class: "urgent" }, element("help"), element("stuck")),
    ["grid", "cells", "place", "activity", "teams", "silent"].map(element),
  );
  const main = h("main", { id: "main" }, loading, empty, element("overview"), board);
  const skip = h("a", { class: "skip", href: "#help" }, t.skip);
  document.body.replaceChildren(skip, header(page, badge), banner.element, notice.element, main, element("drawer"));
  views = { ...parts, badge, banner, refused: notice, loading, empty, board };
  badge.update(state);
  banner.update(state);
  notice.update(refused);
  draw({ ...store.takeChanges(), all: true });
  schedule.requestAll();
  if (open !== null) page.open(open);
}

function draw(changes = store.takeChanges()) {
  const some = store.rows.size > 0;
  show(views.loading, !store.loaded && state.name !== "refused");
  show(views.empty, store.loaded && !some);
  show(views.board, store.loaded && some);
  document.title = page.t.title(store.counts.help, classId);
  for (const name of ["overview", "help", "stuck", "grid", "drawer"]) views[name].update(changes);
  if (changes.tick) views.banner.tick(state);
  if (pending === null) {
    pending = changes;
  } else {
    for (const name of ["all", "minutes", "statuses", "tick"]) pending[name] ||= changes[name];
    for (const row of changes.students) pending.students.add(row);
    for (const cell of changes.cells) pending.cells.add(cell);
  }
}

function drawCalmly() {
  if (pending === null) return;
  const changes = pending;
  pending = null;
  views.grid.calmly(changes);
  for (const name of ["cells", "place", "activity", "teams", "silent"]) views[name].update(changes);
}

function restyle() {
  // After the new style has been applied.
  requestAnimationFrame(() => views.grid.restyle());
}

window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
window.addEventListener("popstate", () => enter(address().classId));
setInterval(() => {
  store.tick();
  askRefused();
}, 1000);
enter(address().classId);
