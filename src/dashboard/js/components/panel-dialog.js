// A dialog whose content is made each time that it opens.

import { around, focusOnWhole, h, moveFocus } from "../dom.js";

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
   * What had the focus before the dialog was opened, and what that stood in: it may be gone when
   * the dialog is closed.
   *
   * @type {{ opener: Element | null, place: Element | null }}
   */
  #before = { opener: null, place: null };
  #closed;

  /**
   * @param {string} name its class
   * @param {string} heading the id of its heading
   * @param {() => void} [closed] is called after it was closed
   */
  constructor(name, heading, closed = () => {}) {
    this.element = h("dialog", { class: name, "aria-labelledby": heading });
    this.#closed = closed;
    // The browser itself may close a dialog.
    this.element.addEventListener("close", () => this.#hasClosed());
    // The browser does that for a modal dialog alone, and not the second time in a row.
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.close();
    });
  }

  /**
   * Shows a panel in place of the one before.
   *
   * @param {Held} panel
   */
  hold(panel) {
    this.panel?.close();
    this.panel = panel;
    this.element.replaceChildren(...panel.elements);
    this.element.scrollTop = 0;
  }

  /**
   * Opens the dialog, if it is not open.
   *
   * @param {boolean} isModal whether it covers the page
   */
  open(isModal) {
    if (this.element.open) return;
    const opener = document.activeElement;
    this.#before = { opener, place: around(opener) };
    if (isModal) this.element.showModal();
    else this.element.show();
  }

  close() {
    this.element.close();
    // The event comes a moment later, when the page may be another one already.
    this.#hasClosed();
  }

  #hasClosed() {
    if (this.element.open || this.panel === null) return;
    this.end();
    this.#closed();
    this.#returnFocus();
  }

  /** Gives the focus back, unless something else has it. */
  #returnFocus() {
    const { opener, place } = this.#before;
    this.#before = { opener: null, place: null };
    if (document.activeElement !== document.body) return;
    if (opener?.isConnected) moveFocus(opener);
    else if (place?.isConnected) focusOnWhole(place);
  }

  /** Ends the panel. */
  end() {
    this.panel?.close();
    this.panel = null;
    this.element.replaceChildren();
  }
}
