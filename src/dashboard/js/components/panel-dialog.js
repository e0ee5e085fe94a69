// A dialog whose content is made each time that it opens.

import { h } from "../dom.js";

/**
 * What a dialog holds: its elements, and the end of what they listen to.
 *
 * @typedef {{ elements: HTMLElement[], close: () => void }} Panel
 */

/** @template {Panel} Held */
export class PanelDialog {
  element;
  /**
   * What is shown; `null` while the dialog is closed.
   *
   * @type {Held | null}
   */
  panel = null;

  /**
   * @param {string} name its class
   * @param {string} heading the id of its heading
   * @param {() => void} [closed] is called after it was closed
   */
  constructor(name, heading, closed = () => {}) {
    this.element = h("dialog", { class: name, "aria-labelledby": heading });
    this.element.addEventListener("close", () => {
      // The event comes a moment later: the dialog may have been opened again meanwhile.
      if (this.element.open) return;
      this.end();
      closed();
    });
    // The browser does that for a modal dialog alone, and not the second time in a row.
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.close();
    });
  }

  /**
   * Shows a panel in place of the one before. Opening is the caller's.
   *
   * @param {Held} panel
   */
  hold(panel) {
    this.panel?.close();
    this.panel = panel;
    this.element.replaceChildren(...panel.elements);
    this.element.scrollTop = 0;
  }

  close() {
    this.element.close();
  }

  /** Ends the panel. */
  end() {
    this.panel?.close();
    this.panel = null;
    this.element.replaceChildren();
  }
}
