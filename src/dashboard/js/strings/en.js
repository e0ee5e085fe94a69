// The page's texts in English, and the names and types of the texts of every language.

/**
 * @import { AnswerOrder } from "../answers.js"
 * @import { OrderName } from "../views/grid-model.js"
 * @import { Theme } from "../preferences.js"
 * @import { Status } from "../student.js"
 */

/** @typedef {"ok" | "mended" | "failed" | "none" | "here"} LegendName */

/**
 * The texts of one language. A function writes its values into the text.
 *
 * @typedef {object} Strings
 * @property {string} locale
 * @property {string} name
 * @property {string} product
 * @property {string} skip
 * @property {(hands: number, classId: string) => string} title
 * @property {(s: number) => string} seconds
 * @property {(m: number) => string} minutes
 * @property {(h: number, m: number) => string} hours
 * @property {(d: number) => string} days
 * @property {(age: string) => string} ago
 * @property {string} justNow
 * @property {(age: string) => string} for
 * @property {Record<Status, string>} status
 * @property {(status: Status, failures: number, idleAfter: string) => string} statusHint
 * @property {(count: number) => string} students
 * @property {(here: number, absent: number) => string} attendance
 * @property {(count: number) => string} runs
 * @property {(count: number) => string} failures
 * @property {(number: number) => string} cell
 * @property {(notebook: string, cell: string) => string} cellOf
 * @property {string} noCell
 * @property {string} noNotebook
 * @property {{ label: string, option: (id: string, students: string) => string, none: string }}
 *   picker
 * @property {{ label: string, theme: Record<Theme, string>, projector: string, language: string }}
 *   settings
 * @property {{ label: string, loading: string, connecting: string, catching: string, live: string,
 *   offline: (time: string | null) => string, resynchronising: string, signedOut: string,
 *   forbidden: string, refused: string, asOf: (time: string) => string, unreached: string,
 *   resync: string, bySettings: string, signedOutWhy: (time: string | null) => string,
 *   signIn: string, signInAway: string, forbiddenWhy: (classId: string) => string,
 *   refusedWhy: (reason: string) => string, byStream: string, retryIn: (seconds: number) => string,
 *   retrying: string, retry: string }} connection
 * @property {{ label: string, role: (role: string) => string, signOut: string,
 *   signOutFailed: string, link: string, making: string, hint: (minutes: number) => string,
 *   failed: string, copy: string, copied: string, close: string }} account
 * @property {{ summary: (count: number, since: string) => string, hint: string,
 *   times: (count: number) => string }} rejections
 * @property {{ label: string, sound: string, notification: string, tryOut: string,
 *   example: string, awake: string, missing: string, denied: string }} alerts
 * @property {{ summary: (count: number) => string, mark: string, tell: string, hint: string }}
 *   unconfigured
 * @property {{ heading: string, filter: (status: string, count: number) => string,
 *   download: string, downloads: Record<"csv" | "students" | "ndjson" | "xapi", string>,
 *   over: (day: string, time: string) => string }} overview
 * @property {{ heading: string, empty: string, emptyHint: string, resolve: string,
 *   resolving: string, resolveName: (name: string) => string, failed: string,
 *   raised: (names: string) => string, waiting: (wait: string) => string, word: string,
 *   long: string,
 *   claim: string, claimName: (name: string) => string, release: string,
 *   releaseName: (name: string) => string, going: (since: string) => string,
 *   isGoing: (who: string, since: string) => string, ownName: string, cancel: string }} help
 * @property {{ heading: string, empty: string, emptyHint: (failures: number) => string,
 *   times: (count: number) => string, word: Record<"one" | "other", string>,
 *   failed: (count: number) => string, noMessage: string, loading: string,
 *   more: (count: number) => string, fewer: string, at: (cell: string, students: string) => string,
 *   filter: string }} stuck
 * @property {{ heading: string, notebook: string, sort: string, sorts: Record<OrderName, string>,
 *   find: string, overview: string, table: string,
 *   label: (students: number, cells: number) => string, legend: Record<LegendName, string>,
 *   empty: string, noMatch: string, nobody: string, planned: (cells: number) => string,
 *   student: string,
 *   at: (name: string, cell: string, what: string) => string, cell: { none: string,
 *   ok: (runs: string) => string, mended: (runs: string, failures: string) => string,
 *   failed: (runs: string, failures: string) => string },
 *   pages: (from: number, to: number, of: number) => string, previous: string, next: string,
 *   filtered: (status: string) => string, added: (count: number) => string, hideAdded: string,
 *   rare: string }} grid
 * @property {{ heading: string, empty: string, cell: string, students: string, share: string,
 *   message: string, of: (count: number, total: number) => string,
 *   ofRuns: (count: number, total: number) => string, times: (count: number) => string,
 *   more: (count: number) => string, showMore: (count: number) => string }} cells
 * @property {{ heading: string, empty: string, quiet: string,
 *   here: (cell: string, students: string, parts: string) => string, median: string,
 *   recent: string, others: (count: number) => string }} place
 * @property {{ close: string, id: string, team: string, lastHeard: string,
 *   executed: string, errors: string, inARow: (count: number) => string, code: string,
 *   codeOfThen: string, latest: string, show: string,
 *   result: string, error: string, noRun: string, cells: string, timeline: string, older: string,
 *   loading: string, failed: string, retry: string, beginning: string,
 *   cut: (chars: number) => string, cutByRelay: string,
 *   execution: (count: number) => string, event: Record<string, string>,
 *   repeats: (count: number) => string }} drawer
 * @property {{ heading: string, span: (minutes: number) => string, spanLabel: string, runs: string,
 *   errors: string, help: string, perMinute: (count: number) => string,
 *   minute: (time: string, runs: string, errors: string, help: number) => string,
 *   summary: (runs: string, errors: string, hands: number, minutes: number) => string }} activity
 * @property {{ heading: string, empty: string, team: string, state: string, runs: string,
 *   failing: string, none: string }} teams
 * @property {{ heading: string, empty: string, since: string, more: (count: number) => string }}
 *   silent
 * @property {{ heading: string, seen: (day: string) => string, never: string }} absent
 * @property {{ heading: (classId: string) => string, text: string,
 *   prepare: (menu: string) => string, other: string }} empty
 * @property {{ order: string, orders: Record<AnswerOrder, string>, names: string,
 *   counts: (ran: number, here: number, failed: number) => string, succeeded: string,
 *   noCode: string, picture: string, cut: string, more: (count: number) => string,
 *   otherCodes: (count: number) => string, full: (count: number) => string,
 *   open: (cell: string) => string }} oneCell
 * @property {{ label: string, team: string, all: string, span: string,
 *   lastly: (minutes: number) => string, lesson: string, everything: string, whole: string }}
 *   limits
 * @property {{ exercises: string, exercise: string, share: string,
 *   counts: (done: number, here: number) => string,
 *   progress: (percent: string, done: number, here: number) => string,
 *   progressHint: (percent: string, done: number, here: number) => string,
 *   done: (done: number, exercises: number) => string, behind: string, ahead: string,
 *   doneHint: (done: number, exercises: number, median: number) => string,
 *   added: (count: number) => string, hideAdded: string }} outline
 * @property {string} loading
 */

const digits = new Intl.NumberFormat("en");

/** @param {number} count */
const n = (count) => digits.format(count);

/**
 * @param {number} count
 * @param {string} one
 * @param {string} other
 */
const many = (count, one, other) => (count === 1 ? one : other);

/** @type {Strings} */
export const en = {
  locale: "en",
  name: "English",
  product: "progress-relay",
  skip: "Skip to the help queue",
  title: (hands, classId) => `${hands > 0 ? `(${hands}) ` : ""}${classId} · progress-relay`,

  seconds: (s) => `${s} s`,
  minutes: (m) => `${m} min`,
  hours: (h, m) => `${h} h ${String(m).padStart(2, "0")} min`,
  days: (d) => `${d} d`,
  ago: (age) => `${age} ago`,
  justNow: "just now",
  for: (age) => `for ${age}`,

  status: { help: "Hand up", stuck: "Stuck", error: "Error", active: "Active", idle: "Idle" },
  statusHint: (status, failures, idleAfter) =>
    ({
      help: "asks for help",
      stuck: `${many(failures, "1 failure", `${n(failures)} failures in a row`)} on a cell`,
      error: "a cell failed in the last 5 minutes",
      active: `something in the last ${idleAfter}`,
      idle: `nothing for ${idleAfter}`,
    })[status],
  students: (count) => many(count, "1 student", `${n(count)} students`),
  attendance: (here, absent) =>
    absent > 0 ? `${n(here)} of ${n(here + absent)} here` : en.students(here),
  runs: (count) => many(count, "1 run", `${n(count)} runs`),
  failures: (count) => many(count, "1 failure", `${n(count)} failures`),
  cell: (number) => `Cell ${number}`,
  cellOf: (notebook, cell) => `${notebook} · ${cell}`,
  noCell: "no cell yet",
  noNotebook: "no notebook",

  picker: {
    label: "Class",
    option: (id, count) => `${id} — ${count}`,
    none: "other classes cannot be listed now",
  },
  settings: {
    label: "Display",
    theme: { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" },
    projector: "Large type for a projector",
    language: "Language",
  },
  connection: {
    label: "Connection",
    loading: "Loading",
    connecting: "Connecting",
    catching: "Catching up",
    live: "Live",
    offline: (time) => (time ? `Offline since ${time}` : "No connection"),
    resynchronising: "Resynchronising",
    signedOut: "Signed out",
    forbidden: "No right in this class",
    refused: "Not allowed",
    asOf: (time) =>
      `The relay cannot be reached. You see the class as it was at ${time}. ` +
      "What it has stored since then follows; what students’ extensions give up sending does not.",
    unreached: "The relay cannot be reached.",
    bySettings: "The class’s settings have changed: the lesson is being counted anew.",
    resync: "The relay’s log was replaced or pruned: the class is being read again.",
    signedOutWhy: (time) =>
      time
        ? `You are signed out. You see the class as it was at ${time}; ` +
          "once you have signed in, what is missing follows."
        : "Sign in to see the class.",
    signIn: "Sign in",
    signInAway:
      "The service that knows who you are cannot be reached. The relay itself works, and stores " +
      "what students’ extensions send.",
    forbiddenWhy: (classId) =>
      `You have no right in class “${classId}”. Choose one of your classes in the list above. If ` +
      "this one should be there, ask the person who runs the relay for the right.",
    refusedWhy: (reason) => `The relay does not serve this class to this page: ${reason}`,
    byStream:
      "This network lets no WebSockets through, so the page follows the class by an event " +
      "stream. It shows the same, perhaps a little later.",
    retryIn: (seconds) => `Next attempt in ${seconds} s.`,
    retrying: "Trying now …",
    retry: "Try now",
  },
  account: {
    label: "Who is signed in",
    role: (role) => role,
    signOut: "Sign out",
    signOutFailed: "You are still signed in: the relay did not answer. Try again.",
    link: "Link for a projector or phone",
    making: "Making the link …",
    hint: (minutes) =>
      `It signs one other browser in as you, once, within ${minutes} minutes. ` +
      "Give it to nobody who may not see what you see.",
    failed: "The link could not be made. Try again.",
    copy: "Copy",
    copied: "Copied.",
    close: "Close",
  },
  rejections: {
    summary: (count, since) =>
      `${many(count, "1 event was", `${n(count)} events were`)} not accepted since ${since}`,
    hint:
      "They are missing below. " +
      "The person who set up the students’ extension can see here what is wrong.",
    times: (count) => many(count, "once", `${n(count)} times`),
  },
  alerts: {
    label: "When a hand goes up",
    sound: "Play a sound",
    notification: "Show a notification while this page is not in front",
    tryOut: "Try it",
    example: "This is how a raised hand will be shown.",
    awake: "After the page was loaded, browsers play a sound only once you have clicked on it.",
    missing: "This browser shows no notifications here: they need HTTPS.",
    denied: "This browser forbids notifications here: allow them in its settings for this address.",
  },
  unconfigured: {
    summary: (count) =>
      `${many(count, "1 student has", `${n(count)} students have`)} not said who they are: ` +
      "what to tell them",
    mark: "The extension was not told whose it is",
    tell:
      "Tell the student: in JupyterLab, open Settings › Settings Editor › Cell Monitor, write " +
      "your own e-mail address and name in place of the example, and reload the page.",
    hint:
      "Until then they are told apart by their sessions: " +
      "whoever reloads the page comes back as another.",
  },

  overview: {
    heading: "The class now",
    filter: (status, count) => `${status}: ${count}. Show only these in the grid`,
    download: "Download",
    downloads: {
      csv: "A row for each event, for spreadsheets (CSV)",
      students: "A row for each student, for spreadsheets (CSV)",
      ndjson: "Events, for programs (NDJSON)",
      xapi: "Statements for a learning record store (xAPI)",
    },
    over: (day, time) =>
      `This is the last lesson, as it was at its end on ${day} at ${time}. ` +
      "The next one begins with the first event.",
  },
  help: {
    heading: "Help queue",
    empty: "No hand is up.",
    emptyHint: "Students who ask for help appear here, the longest waiting first.",
    resolve: "Resolve",
    resolving: "Resolving …",
    resolveName: (name) => `Resolve the hand of ${name}`,
    failed: "That did not reach the relay. Try again.",
    raised: (names) => `Hand raised: ${names}`,
    waiting: (wait) => `waiting ${wait}`,
    word: "waiting",
    long: "a long wait",
    claim: "I am going",
    claimName: (name) => `I am going to ${name}`,
    release: "Not going",
    releaseName: (name) => `I am not going to ${name} after all`,
    going: (since) => `You are going · ${since}`,
    isGoing: (who, since) => `${who} is going · ${since}`,
    ownName: "Your name, for the other instructors",
    cancel: "Cancel",
  },
  stuck: {
    heading: "Stuck",
    empty: "No student is stuck.",
    emptyHint: (failures) =>
      `${many(failures, "One failure", `${n(failures)} failures in a row`)} on one cell ` +
      `${many(failures, "brings", "bring")} a student here.`,
    times: (count) => n(count),
    word: { one: "failure", other: "failures" },
    failed: (count) => `failed ${n(count)} times in a row`,
    noMessage: "no error message",
    loading: "…",
    more: (count) => `Show ${n(count)} more`,
    fewer: "Show fewer",
    at: (cell, students) => `${cell}: ${students}`,
    filter: "By cell",
  },
  grid: {
    heading: "Students × cells",
    notebook: "Notebook",
    sort: "Order",
    sorts: { attention: "who needs you first", name: "name", team: "team", progress: "progress" },
    find: "Find a student",
    overview: "Everyone at once",
    table: "As a table",
    label: (students, cells) =>
      `Grid of ${n(students)} students and ${n(cells)} cells. ` +
      "Arrow keys move, Enter opens the student's run, Shift with Enter the cell of all students.",
    legend: {
      ok: "succeeded",
      mended: "succeeded after failures",
      failed: "last run failed",
      none: "not run",
      here: "is here now",
    },
    empty: "No cell has been run yet.",
    noMatch: "No student matches.",
    nobody: "No student is here yet.",
    planned: (cells) => `The outline has ${many(cells, "1 cell", `${n(cells)} cells`)}.`,
    student: "Student",
    at: (name, cell, what) => `${name}, ${cell}: ${what}`,
    cell: {
      none: "not run",
      ok: (runs) => `succeeded, ${runs}`,
      mended: (runs, failures) => `succeeded, ${runs}, ${failures}`,
      failed: (runs, failures) => `failed, ${runs}, ${failures}`,
    },
    pages: (from, to, of) => `${n(from)}–${n(to)} of ${n(of)}`,
    previous: "Previous",
    next: "Next",
    filtered: (status) => `only: ${status}`,
    added: (count) =>
      `+ ${many(count, "1 cell that few have run", `${n(count)} cells that few have run`)}`,
    hideAdded: "hide cells that few have run",
    rare: "Cells that students have added, or that only the fastest have reached",
  },
  cells: {
    heading: "Cells that fail",
    empty: "No run has failed.",
    cell: "Cell",
    students: "Students who failed there",
    share: "Failing runs",
    message: "Most common error",
    of: (count, total) => `${n(count)} of ${n(total)}`,
    ofRuns: (count, total) => `${n(count)} of ${many(total, "1 run", `${n(total)} runs`)}`,
    times: (count) => `${n(count)}×`,
    more: (count) => `+ ${many(count, "1 other message", `${n(count)} other messages`)}`,
    showMore: (count) => `Show ${many(count, "1 more cell", `${n(count)} more cells`)}`,
  },
  place: {
    heading: "Where the class is",
    quiet: "Nobody was heard from in the last 10 minutes.",
    empty: "No student has reached a cell yet.",
    here: (cell, count, parts) => `${cell}: ${count}. ${parts}`,
    median: "half the class is at or beyond this cell",
    recent: "students heard from in the last 10 minutes",
    others: (count) =>
      `${many(count, "1 student has", `${n(count)} students have`)} not reached a cell`,
  },
  drawer: {
    close: "Close",
    id: "Id",
    team: "Team",
    lastHeard: "Last heard",
    executed: "Runs",
    errors: "Failures",
    inARow: (count) => `${n(count)} in a row`,
    code: "Latest code",
    codeOfThen: "Code at that time",
    latest: "Show the latest",
    show: "Show this run’s code",
    result: "Result",
    error: "Error",
    noRun: "This student has not run a cell yet.",
    cells: "Cells",
    timeline: "Timeline",
    older: "Older",
    loading: "Loading …",
    failed: "The events cannot be read now.",
    retry: "Try again",
    beginning: "That is the beginning.",
    cut: (chars) => `cut after ${n(chars)} characters`,
    cutByRelay: "cut by the relay: too long",
    execution: (count) => `[${count}]`,
    event: {
      cell_executed: "ran",
      failed: "failed",
      not_run: "did not run",
      notebook_opened: "opened",
      notebook_saved: "saved",
      notebook_closed: "closed",
      notebook_hidden: "away",
      notebook_visible: "back",
      cell_skipped: "passed, without running",
      cell_selected: "went to",
      cell_left: "left",
      cell_added: "added",
      cell_removed: "removed",
      help: "asked for help",
      help_stop: "lowered the hand",
      lapsed: "the hand lapsed: it was not repeated",
      help_resolved: "an instructor resolved the hand",
      help_claimed: "an instructor was on the way",
      help_released: "the instructor did not go after all",
    },
    repeats: (count) => `${n(count)}×`,
  },
  activity: {
    heading: "Activity",
    span: (minutes) => `${minutes} min`,
    spanLabel: "Time span",
    runs: "succeeded",
    errors: "failed",
    help: "hands raised",
    perMinute: (count) => `${n(count)} runs a minute`,
    minute: (time, runs, errors, help) => {
      const hands = help > 0 ? `, ${many(help, "1 hand", `${n(help)} hands`)}` : "";
      return `${time}: ${runs}, ${errors}${hands}`;
    },
    summary: (runs, errors, hands, minutes) =>
      `In the last ${minutes} minutes: ${runs}, ${errors}, ` +
      `${many(hands, "1 hand raised", `${n(hands)} hands raised`)}.`,
  },
  teams: {
    heading: "Teams",
    empty: "No student has named a team.",
    team: "Team",
    state: "Students",
    runs: "Runs",
    failing: "Failing runs",
    none: "without a team",
  },
  silent: {
    heading: "Silent",
    empty: "Everyone was heard from in the last 10 minutes.",
    since: "nothing for 10 minutes or more",
    more: (count) => `and ${n(count)} more`,
  },
  absent: {
    heading: "Not here yet",
    seen: (day) => `last on ${day}`,
    never: "never yet",
  },
  empty: {
    heading: (classId) => `Nothing has come from “${classId}” yet`,
    text:
      "This page fills by itself as soon as the first student runs a cell. " +
      "Point the JupyterLab extension at:",
    prepare: (menu) => `To prepare the lesson, open “${menu}” above: the roster, the notebooks.`,
    other: "Or choose another class:",
  },
  oneCell: {
    order: "Order of the answers",
    orders: { number: "most common", time: "newest", length: "shortest" },
    names: "Names",
    counts: (ran, here, failed) =>
      `${n(ran)} of ${many(here, "1 student", `${n(here)} students`)} here ran it. ` +
      `Their latest runs: ${n(failed)} failed, ${n(ran - failed)} succeeded`,
    succeeded: "succeeded",
    noCode: "(no code was sent)",
    picture: "Picture that the cell made",
    cut: "cut: the student's drawer has more",
    more: (count) => `Show ${n(count)} more answers`,
    otherCodes: (count) => `and ${n(count)} other ways of failing like this`,
    full: (count) => `The first ${n(count)} students are shown.`,
    open: (cell) => `${cell}: everyone's code and result`,
  },
  limits: {
    label: "Limit the page to",
    team: "Team",
    all: "all teams",
    span: "Time",
    lastly: (minutes) => `Students and cells with a run in the last ${minutes} minutes`,
    lesson: "lesson",
    everything: "Students and cells of the whole lesson",
    whole: "of the whole class",
  },
  outline: {
    exercises: "exercises done",
    exercise: "exercise",
    share: "share who succeeded",
    counts: (done, here) => `(${n(done)}/${n(here)})`,
    progress: (percent, done, here) => `${percent} (${n(done)}/${n(here)})`,
    progressHint: (percent, done, here) =>
      `${percent} (${n(done)}/${n(here)}): ${n(done)} of the ` +
      `${many(here, "1 student", `${n(here)} students`)} here succeeded in it at least once`,
    done: (done, exercises) => `${n(done)}/${n(exercises)}`,
    behind: "behind the class",
    ahead: "ahead of the class",
    doneHint: (done, exercises, median) =>
      `${n(done)} of ${many(exercises, "1 exercise", `${n(exercises)} exercises`)} done; ` +
      `half the class has done ${n(median)} or more`,
    added: (count) => `+ ${many(count, "1 added cell", `${n(count)} added cells`)}`,
    hideAdded: "hide added cells",
  },
  loading: "Reading the class …",
};
