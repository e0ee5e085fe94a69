// The part of the class's settings that holds the roster.

import { bytesOf, fileDrop } from "../components/file-drop.js";
import { h, setText, show } from "../dom.js";
import { MAX_FILE, readRosterFile, wrongRoster } from "../roster.js";
import { problemText } from "./class-settings-counting.js";

/**
 * @import { ReadRoster, RosterEntry, RosterError } from "../roster.js"
 * @import { SettingsPart } from "./class-settings.js"
 * @import { Page } from "./list.js"
 */

/** The first students, by which a roster is recognised. */
const MAX_PREVIEW = 5;

/**
 * @param {Page} page
 * @returns {SettingsPart}
 */
export function rosterPart({ t }) {
  /** @type {RosterEntry[] | undefined} */
  let roster;
  /** Whether a file with errors waits to be mended. */
  let isWrong = false;
  const state = h("p", { role: "status" });
  const preview = h("table", { class: "roster-preview" });
  const errors = h("ul", { class: "roster-errors" });
  const problem = problemText();
  const remove = h("button", { type: "button", class: "text-button", on: { click: forget } });
  setText(remove, t.roster.remove);
  const drop = fileDrop(
    {
      name: "roster-drop",
      label: t.roster.choose,
      hint: t.roster.hint,
      accept: ".csv,.tsv,.txt,text/csv,text/plain",
    },
    take,
  );
  const element = h(
    "fieldset",
    { class: "settings-part roster-part" },
    h("legend", {}, t.roster.heading),
    drop,
    h("div", { class: "settings-state" }, state, remove),
    preview,
    problem.element,
    errors,
  );

  /** The latest files that were dropped: those before them may still be read. */
  let taken = 0;

  /** @param {File[]} files */
  async function take(files) {
    if (files.length === 0) return;
    taken += 1;
    const turn = taken;
    const bytes = files.length === 1 ? await bytesOf(files[0], MAX_FILE) : null;
    if (turn !== taken) return;
    const fault = files.length > 1 ? "several" : "unreadable";
    const read = bytes === null ? wrongRoster(fault) : readRosterFile(bytes);
    isWrong = read.errors.length > 0;
    if (!isWrong) roster = read.entries;
    draw(!isWrong);
    problem.say(isWrong ? t.roster.wrong(read.errors.length + read.moreErrors) : "");
    drawErrors(read);
  }

  function forget() {
    taken += 1;
    roster = undefined;
    isWrong = false;
    errors.replaceChildren();
    problem.say("");
    draw(true);
  }

  /** @param {boolean} isFresh whether it is not what is stored */
  function draw(isFresh) {
    const entries = roster ?? [];
    const named = entries.filter(({ name }) => name !== undefined).length;
    const teams = new Set(entries.flatMap(({ team }) => team ?? [])).size;
    const count = t.roster.count(entries.length, named, teams);
    const what = entries.length === 0 ? t.roster.none : count;
    setText(state, isFresh ? t.roster.fresh(what) : what);
    show(remove, entries.length > 0 || isWrong);
    show(preview, entries.length > 0);
    const first = entries.slice(0, MAX_PREVIEW);
    const heads = [t.drawer.id, t.roster.student, t.drawer.team];
    preview.replaceChildren(
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        first.map(({ id, name, team }) =>
          h("tr", {}, ...[id, name ?? "–", team ?? "–"].map((text) => h("td", {}, text))),
        ),
      ),
    );
  }

  /** @param {ReadRoster} read */
  function drawErrors({ errors: found, moreErrors }) {
    errors.replaceChildren(...found.map((error) => h("li", {}, wordsOf(error))));
    if (moreErrors > 0) errors.append(h("li", {}, t.roster.more(moreErrors)));
  }

  /** @param {RosterError} error */
  function wordsOf({ fault, line, other }) {
    const words = t.roster.fault(fault, other ?? 0);
    return line === null ? words : t.roster.line(line, words);
  }

  return {
    element,
    members: ["roster"],
    show({ roster: written }) {
      taken += 1;
      // The relay has checked it.
      roster = Array.isArray(written) && written.length > 0 ? written : undefined;
      isWrong = false;
      errors.replaceChildren();
      problem.say("");
      draw(false);
    },
    read: () => (isWrong ? null : { roster }),
    say: (text) => isWrong || problem.say(text),
    take,
  };
}
