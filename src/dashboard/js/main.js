// The page: the class that it shows, the views that it is made of, and when each is updated.

import { Alerts } from "./alerts.js";
import { addChanges, newChanges } from "./changes.js";
import { api } from "./api.js";
import { Clock } from "./clock.js";
import { Connection, LOADING } from "./connection.js";
import { h, moveFocus, show } from "./dom.js";
import { Focus } from "./focus.js";
import { speak } from "./i18n.js";
import { Me, leave } from "./me.js";
import { Preferences } from "./preferences.js";
import { Presence } from "./presence.js";
import { Rejections } from "./rejections.js";
import { Schedule } from "./schedule.js";
import { Store } from "./store.js";
import { parseTime } from "./time.js";
import { ownName } from "./views/own-name.js";
import { newGridChoice } from "./views/grid-choice.js";
import { makers } from "./views/list.js";

/** @import { Page, Slot, View } from "./views/list.js" */

const DEFAULT_CLASS = "default";

const schedule = new Schedule(() => draw(store.takeChanges()), drawCalmly);
const clock = new Clock();
const store = new Store(clock, () => schedule.request());
const rejections = new Rejections(() => store.note("rejections"));
const me = new Me(
  () => store.note("me"),
  (news) => {
    if (news === "signed-in") connection?.lookForSignIn();
    else leave();
  },
);
const preferences = new Preferences((name) => {
  if (name === "language") {
    page.t = speak(preferences.get("language"));
    buildAgain();
  }
  if (name === "theme" || name === "projector") restyle();
  if (name === "ownName") {
    presence.tell();
    store.note("presence");
  }
});
const presence = new Presence({
  name: () => ownName({ me, preferences }),
  now: () => clock.now(),
  hasBegun: () => store.state.lesson !== null,
  send: (looksAt) => api.view(page.classId, looksAt),
  changed: () => store.note("presence"),
});

const alerts = new Alerts(preferences, () => document.getElementById("help")?.focus());

/** @type {Page} */
const page = {
  store,
  clock,
  preferences,
  alerts,
  rejections,
  me,
  presence,
  t: speak(preferences.get("language")),
  classId: DEFAULT_CLASS,
  lessonId: null,
  studentId: null,
  cell: null,
  status: null,
  grid: newGridChoice(),
  focus: new Focus(),
  connection: LOADING,
  retry: () => connection?.retry(),
  open: (studentId, place) => {
    for (const view of views) view.open?.(studentId, place);
  },
  openCell: (place) => {
    for (const view of views) view.openCell?.(place);
  },
  opened: (studentId) => {
    page.studentId = studentId;
    keepAddress();
    presence.look(studentId);
  },
  openedCell: (place) => {
    page.cell = place;
  },
  filter: (status) => {
    page.status = status;
    store.note("filter");
  },
  limit: (choice) => {
    page.focus.set(choice);
    const { team, minutes } = page.focus;
    preferences.setFocus(page.classId, { team, minutes });
    keepAddress();
    store.note("filter");
  },
  choose: (classId) => {
    history.pushState(null, "", addressOf({ classId }));
    enter();
  },
  showLesson: (lessonId, isCorrection = false) => {
    const url = addressOf({ classId: page.classId, lessonId });
    // An address that was wrong stays in the history no longer: the way back would end at it.
    if (isCorrection) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    enter();
  },
};

/** @type {Connection | null} */
let connection = null;
/** @type {View[]} */
let views = [];
/** Holds the views of the slots `urgent` and `board`. It is hidden if no student is known. */
let board = h("div");
/** The changes that the calm views have not shown yet. */
let pending = newChanges();

/** What the page shows, as the address named it last. */
let shown = "";

/** The class, the lesson and the student that the address names. */
function address() {
  const query = new URLSearchParams(location.search);
  return {
    classId: query.get("class") || DEFAULT_CLASS,
    lessonId: query.get("lesson") || null,
    studentId: query.get("student") || null,
    limits: { team: query.get("team") ?? undefined, minutes: query.get("minutes") ?? undefined },
  };
}

/** @param {{ classId: string, lessonId?: string | null, studentId?: string | null }} shown */
function addressOf({ classId, lessonId = null, studentId = null }) {
  const url = new URL(location.href);
  url.search = "";
  if (classId !== DEFAULT_CLASS) url.searchParams.set("class", classId);
  if (lessonId !== null) url.searchParams.set("lesson", lessonId);
  if (studentId !== null) url.searchParams.set("student", studentId);
  // Another class has other teams.
  const { team, minutes } = page.classId === classId ? page.focus : new Focus();
  if (team !== null) url.searchParams.set("team", team);
  if (minutes > 0) url.searchParams.set("minutes", String(minutes));
  return url;
}

/** Writes into the address what is shown, without a step in the history. */
function keepAddress() {
  history.replaceState(null, "", addressOf(page));
  shown = location.search;
}

/** The address is another one. A link within the page leads elsewhere on what is shown. */
function moved() {
  if (location.search !== shown) enter();
}

/** Shows the class that the address names. The page stays, and reads everything again. */
function enter() {
  connection?.close();
  shown = location.search;
  const { classId, lessonId, studentId, limits } = address();
  const focus = new Focus();
  focus.set(preferences.focusOf(classId));
  focus.set(limits);
  Object.assign(page, { classId, lessonId, studentId, focus, connection: LOADING });
  Object.assign(page, { cell: null, status: null, grid: newGridChoice() });
  // Whoever copies the address copies what it shows.
  if (!focus.isWhole) keepAddress();
  clock.hold(null);
  store.clear();
  presence.clear();
  build();
  /** @type {import("./connection.js").Listener} */
  const listener = {
    summary: (summary, asked) => {
      if (lessonId !== null) clock.hold(parseTime(summary.now));
      store.load(summary, asked);
      // The empty page was drawn a moment ago: the class does not wait for half a second after it.
      schedule.requestAll();
    },
    events: (events) => store.fold(events),
    now: (now) => clock.hear(now),
    state: (state) => {
      const wasLive = page.connection.name === "live";
      page.connection = state;
      document.documentElement.dataset.connection = state.name;
      store.note("connection");
      askRejections();
      // After a sign-in it may be somebody else.
      if (state.name === "live" && !wasLive) me.ask().then(() => presence.begin(page.studentId));
      if (state.name === "earlier") me.ask();
      // Without the list the page says that it may not show this class.
      if (state.name === "forbidden") enterAny().catch(() => {});
    },
  };
  connection = new Connection(classId, listener, lessonId);
}

/** Shows a class that the caller may see, if the address names none. */
async function enterAny() {
  if (new URLSearchParams(location.search).has("class")) return;
  const { classes } = await api.classes();
  const [first] = classes.filter(({ classId }) => classId !== DEFAULT_CLASS);
  // Another class may have been chosen meanwhile.
  if (first === undefined || page.connection.name !== "forbidden") return;
  history.replaceState(null, "", addressOf(first));
  enter();
}

function askRejections() {
  if (page.connection.name === "live") rejections.ask(page.classId);
}

/** Makes the whole page in the chosen language. The page's state of the class stays. */
function build() {
  for (const view of views) view.end?.();
  views = makers.map((make) => make(page));
  /** @param {Slot} slot */
  const slot = (slot) => views.filter((view) => view.slot === slot).map((view) => view.element);
  board = h(
    "div",
    { class: "board" },
    h("div", { class: "board-urgent" }, slot("urgent")),
    slot("board"),
  );
  document.body.replaceChildren(
    h("a", { class: "skip-link", href: "#help" }, page.t.skip),
    ...slot("top"),
    h("main", { id: "main" }, slot("main"), board),
    ...slot("side"),
  );
  draw({ ...store.takeChanges(), all: true });
  schedule.requestAll();
  // A student may be looked at over a cell of all students, and not the other way round.
  const { cell, studentId } = page;
  if (cell !== null) page.openCell(cell);
  if (studentId !== null) page.open(studentId);
}

/** Makes the page again, in another language. The focus stays where that was chosen. */
function buildAgain() {
  build();
  moveFocus(document.querySelector(`.language-control [lang="${preferences.get("language")}"]`));
}

/** @param {import("./changes.js").Changes} changes */
function draw(changes) {
  // Who limits the page to a team is told of no other hands.
  const { focus } = page;
  const hands =
    focus.team === null ? store.counts.help : focus.ofTeam(store.withStatus("help")).length;
  // Nobody waits any more in a lesson that is over.
  document.title = page.t.title(page.lessonId === null ? hands : 0, page.classId);
  show(board, store.loaded && store.isKnown);
  for (const view of views) view.update?.(changes);
  if (page.connection.name === "live") {
    const raised = focus.ofTeam(changes.raised);
    alerts.tell(raised, clock.now(), (names) => page.t.help.raised(names.join(", ")));
  }
  addChanges(pending, changes);
}

function drawCalmly() {
  const changes = pending;
  pending = newChanges();
  for (const view of views) view.updateCalmly?.(changes);
}

/** Tells the views that the page looks different. */
function restyle() {
  // The new style is applied in the next frame.
  requestAnimationFrame(() => {
    for (const view of views) view.restyle?.();
  });
}

window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
window.addEventListener("popstate", moved);
document.addEventListener("visibilitychange", () => presence.tell());
// A browser would show a file that is dropped beside its place, instead of the page.
for (const type of /** @type {const} */ (["dragover", "drop"])) {
  document.addEventListener(type, (event) => {
    const { dataTransfer } = event;
    if (!dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const files = [...dataTransfer.files];
    if (type === "drop") for (const view of views) view.drop?.(files);
  });
}
store.watch({ event: (delivered) => presence.hear(delivered), reloaded: () => {} });
// A page that the browser had put aside may show a class to somebody who has signed out.
window.addEventListener("pageshow", (event) => event.persisted && enter());
// A browser that is too old shows a sentence instead: too-old.js.
if (!("tooOld" in document.documentElement.dataset)) {
  setInterval(() => {
    store.tick();
    presence.tick();
    askRejections();
  }, 1000);
  enter();
}
