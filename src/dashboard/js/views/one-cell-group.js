// A group of equal answers: how many there are, whose they are, the code and what came of it.

import { terminalText } from "../components/terminal.js";
import { studentButton } from "../components/student-button.js";
import { List, h, setText, show } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @import { Answer, Group, Variant } from "../answers.js"
 * @import { Page, Place } from "./list.js"
 */

/** The most different codes of a group that are shown, and the most students that are named. */
const MAX_VARIANTS = 3;
const MAX_NAMES = 40;

export class AnswerGroup {
  element;
  #page;
  #count = h("span", { class: "answer-count" });
  #what = h("span", { class: "answer-what" });
  #named = h("span", { class: "answer-named" });
  #others = h("span");
  #names = h("div", { class: "answer-names" }, this.#named, this.#others);
  #list;
  #variants = h("div", { class: "answer-variants" });
  /** What is drawn, to draw it only when something differs. */
  #drawn = "";

  /**
   * @param {Page} page
   * @param {Place} place
   */
  constructor(page, place) {
    this.#page = page;
    /** @type {List<Answer, ReturnType<typeof studentButton>>} */
    this.#list = new List(this.#named, {
      key: ({ studentId }) => studentId,
      create: ({ studentId }) => studentButton(page, studentId, () => page.open(studentId, place)),
      update(name, { studentId }) {
        const row = page.store.rows.get(studentId);
        name.update(row?.student ?? { studentId, userName: null });
      },
    });
    const head = h("div", { class: "answer-head" }, this.#count, this.#what);
    this.element = h("li", { class: "answer-group" }, head, this.#names, this.#variants);
  }

  /**
   * @param {Group} group
   * @param {boolean} isNamed
   */
  update(group, isNamed) {
    const answers = group.variants.flatMap((variant) => variant.answers);
    const drawn = `${isNamed} ${answers.map(({ id }) => id).join(" ")}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const { t } = this.#page;
    this.element.classList.toggle("is-failed", group.failed);
    setText(this.#count, t.students(group.size));
    const mark = icon(group.failed ? "error" : "active");
    const word = group.failed ? group.message || t.stuck.noMessage : t.oneCell.succeeded;
    this.#what.replaceChildren(mark, h("span", {}, word));
    this.#drawNames(answers, isNamed);
    const shown = group.variants.slice(0, MAX_VARIANTS);
    const others = group.variants.length - shown.length;
    this.#variants.replaceChildren(
      ...shown.map((variant) => this.#variant(variant, group)),
      ...(others > 0 ? [h("p", { class: "hint" }, t.oneCell.otherCodes(others))] : []),
    );
  }

  /**
   * @param {Answer[]} answers
   * @param {boolean} isNamed
   */
  #drawNames(answers, isNamed) {
    const { t } = this.#page;
    show(this.#names, isNamed);
    if (!isNamed) {
      this.#list.show([]);
      return;
    }
    this.#list.show(answers.slice(0, MAX_NAMES));
    const others = answers.length - MAX_NAMES;
    setText(this.#others, others > 0 ? t.silent.more(others) : "");
  }

  /**
   * @param {Variant} variant
   * @param {Group} group
   */
  #variant({ code, answers }, { failed, variants }) {
    const { t } = this.#page;
    const [{ output, picture, isCut }] = answers;
    const share =
      variants.length > 1 ? h("p", { class: "hint" }, t.students(answers.length)) : null;
    const result = !failed && output !== "" ? terminalText(output) : [];
    return h(
      "div",
      { class: "answer-variant" },
      share,
      h("pre", { class: "run-text run-code", tabindex: "0" }, code || t.oneCell.noCode),
      result.length > 0 ? h("pre", { class: "run-text run-result", tabindex: "0" }, result) : null,
      picture === null
        ? null
        : h("img", { class: "answer-picture", src: picture, alt: t.oneCell.picture }),
      isCut ? h("p", { class: "hint" }, t.oneCell.cut) : null,
    );
  }
}
