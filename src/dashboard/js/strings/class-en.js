// The page's texts in English about a class's settings, its lessons and its instructors; and the
// names and types of these texts in every language.

/**
 * @import { NotebookFault } from "../notebook.js"
 * @import { RosterFault } from "../roster.js"
 * @import { Suggestion } from "../suggestions.js"
 */

/**
 * Texts of one language. A function writes its values into the text.
 *
 * @typedef {object} ClassStrings
 * @property {{ label: string, settings: string, newLesson: string, lessons: string }} classMenu
 * @property {{ heading: string, hint: string, loading: string, cells: string, cellsBy:
 *   Record<"id" | "position", string>, cellsHint: string, notebooks: string, notebooksBy:
 *   Record<"path" | "name", string>, notebooksHint: string, thresholds: string,
 *   stuckAfter: string, idleAfter: string, save: string, saving: string, cancel: string,
 *   failed: string, wrong: string, signedOut: string, conflict: string, takeTheirs: string,
 *   inMember: (member: string, reason: string) => string, unread: string,
 *   close: string }} classSettings
 * @property {{ heading: string, hint: string, choose: string, none: string, student: string,
 *   remove: string, count: (students: number, named: number, teams: number) => string,
 *   fresh: (what: string) => string,
 *   wrong: (count: number) => string, more: (count: number) => string,
 *   line: (line: number, what: string) => string,
 *   fault: (fault: RosterFault, other: number) => string }} roster
 * @property {{ heading: string, hint: string, choose: string, none: string, path: string,
 *   count: (cells: number, exercises: number) => string, remove: (notebook: string) => string,
 *   exercise: (cell: string) => string, exercises: string, full: (most: number) => string,
 *   fault: (file: string, fault: NotebookFault) => string }} outlineSettings
 * @property {{ text: Record<Suggestion, string>, apply: Record<Suggestion, string>,
 *   applying: string, dismiss: string, failed: string }} suggestions
 * @property {{ heading: string, newHeading: string, newText: string, title: string, begin: string,
 *   beginFailed: string, cancel: string, close: string, current: string, none: string,
 *   loading: string, failed: string, numbers: (students: string, runs: string) => string,
 *   banner: (when: string) => string, noSuch: string, back: string, only: string,
 *   span: (from: string, to: string) => string, badge: string }} lessons
 * @property {{ label: string, more: (count: number) => string,
 *   looking: (names: string[]) => string, own: (name: string) => string, unnamed: string,
 *   why: string, change: string, save: string }} presence
 */

const digits = new Intl.NumberFormat("en");
/** Is made when it is needed: that takes a browser longer than all other texts together. */
const names = () => new Intl.ListFormat("en");

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [other]
 */
const many = (count, one, other = `${one}s`) =>
  `${digits.format(count)} ${count === 1 ? one : other}`;

/** @type {ClassStrings} */
export const classEn = {
  classMenu: {
    label: "Lessons and settings",
    settings: "Roster, notebooks, settings",
    newLesson: "New lesson",
    lessons: "Earlier lessons",
  },
  classSettings: {
    heading: "Class settings",
    hint:
      "They hold for everyone who looks at this class, now and in the lessons to come. " +
      "The current lesson is counted anew.",
    loading: "Reading the settings …",
    cells: "Cells are matched by",
    cellsBy: { id: "their ids", position: "their position in the notebook" },
    cellsHint: "By position if the students’ notebooks have cell ids of their own.",
    notebooks: "Notebooks are matched by",
    notebooksBy: { path: "their paths", name: "their file names" },
    notebooksHint: "By name if students keep the same notebook in different folders, or copy it.",
    thresholds: "Who is stuck, who is idle",
    stuckAfter: "Failures in a row that make a student stuck",
    idleAfter: "Seconds without an event that make a student idle",
    save: "Save",
    saving: "Saving …",
    cancel: "Cancel",
    failed: "The settings were not saved. Try again.",
    signedOut: "Nothing was saved: you are signed out. Sign in in another tab, then save here.",
    wrong: "Nothing was saved: mend first what is marked above.",
    conflict: "Somebody else has changed the settings meanwhile. Nothing was saved.",
    takeTheirs: "Load theirs, without my changes",
    inMember: (member, reason) => `${member}: ${reason}`,
    unread: "The settings cannot be read now.",
    close: "Close",
  },
  roster: {
    heading: "Roster",
    hint:
      "A CSV file with the students’ ids, and if you like their names and teams: " +
      "choose it, or drop it here.",
    choose: "Choose a CSV file",
    none: "There is no roster: everyone who was ever here is expected.",
    student: "Name",
    remove: "Remove the roster",
    count: (students, named, teams) =>
      [
        many(students, "student"),
        named < students ? `${digits.format(named)} with a name` : "",
        teams > 0 ? many(teams, "team") : "",
      ]
        .filter((part) => part !== "")
        .join(", "),
    fresh: (what) => `${what.replace(/\.$/, "")}. It takes effect when you save.`,
    wrong: (count) => `The roster was not taken: ${many(count, "error")}.`,
    more: (count) => `and ${many(count, "further error")}`,
    line: (line, what) => `Line ${digits.format(line)}: ${what}`,
    fault: (fault, other) =>
      ({
        size: "The file is larger than 5 MiB.",
        encoding: "The file is neither UTF-8, UTF-16 nor Shift_JIS. Save it as CSV in UTF-8.",
        notText: "The file is no table. Save the list as CSV.",
        unreadable: "The file cannot be read. Is it a folder, or was it moved?",
        several: "These are several files. A class has one roster: drop one file.",
        empty: "The file has no students.",
        noId: "No column is called “id”.",
        tooMany: "The file has more than 10,000 students.",
        quote: "A quotation mark is opened and never closed.",
        missingId: "The id is missing.",
        longId: "The id is longer than 200 bytes.",
        badText: "The id has a control character.",
        longText: "The name or the team is longer than 1,024 bytes.",
        twice: `The id was there before, in line ${digits.format(other)}.`,
      })[fault],
  },
  outlineSettings: {
    heading: "Outline: the lesson’s notebooks",
    hint:
      "As you hand them out: the page then knows cells that nobody has " +
      "run yet, and which are exercises. Choose .ipynb files, or drop them here.",
    choose: "Choose notebooks",
    none: "There is no outline: the page knows the cells that were run.",
    path: "Path as the students have it",
    count: (cells, exercises) => `${many(cells, "cell")}, ${many(exercises, "exercise")}`,
    remove: (notebook) => `Remove ${notebook}`,
    exercise: (cell) => `${cell} is an exercise`,
    exercises: "Open a notebook’s cells below, and tick its exercises.",
    full: (most) => `No more than ${most} notebooks can be added.`,
    fault: (file, fault) =>
      `${file}: ${
        {
          size: "larger than 20 MiB.",
          encoding: "not UTF-8, as notebooks are.",
          unreadable: "cannot be read. Is it a folder, or was it moved?",
          twice: "was dropped with another file of this name. Rename one of them.",
          json: "no notebook: the file is broken.",
          notebook: "no notebook.",
          empty: "has no code cells.",
          tooMany: "has more than 2,000 code cells.",
        }[fault]
      }`,
  },
  suggestions: {
    text: {
      cells:
        "Most cells were run by one student only: the students’ notebooks seem to have cell ids " +
        "of their own. By position, the second cell is the same cell for everyone.",
      notebooks: "One notebook has several paths, and is counted as several.",
    },
    apply: { cells: "Match cells by position", notebooks: "Match notebooks by file name" },
    applying: "Saving …",
    dismiss: "Leave it",
    failed: "That was not saved. Try again.",
  },
  lessons: {
    heading: "Lessons",
    newHeading: "Begin a new lesson?",
    newText:
      "Counts, hands and cells begin anew, for everyone who looks at this class. " +
      "What was so far stays among the earlier lessons.",
    title: "Title, if you like",
    begin: "Begin",
    beginFailed: "The lesson was not begun. Try again.",
    cancel: "Cancel",
    close: "Close",
    current: "now",
    none: "There was no lesson yet.",
    loading: "Reading the lessons …",
    failed: "The lessons cannot be read now.",
    numbers: (students, runs) => `${students} · ${runs}`,
    banner: (when) => `This is an earlier lesson, as it was when it ended: ${when}`,
    noSuch: "The class has had no such lesson.",
    back: "Back to the current lesson",
    only: "Only this lesson",
    span: (from, to) => `${from} – ${to}`,
    badge: "Earlier lesson",
  },
  presence: {
    label: "Other instructors who look at this class",
    more: (count) => `+${digits.format(count)}`,
    looking: (who) =>
      `${names().format(who)} ${who.length === 1 ? "is" : "are"} looking at this student`,
    own: (name) => `You: ${name}`,
    unnamed: "Your name …",
    why: "Other instructors then see that you are here, and to whom you go",
    change: "Change your name",
    save: "Save",
  },
};
