// The page's elements, made from text: what a student wrote can only become text. Nothing in
// the dashboard parses markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | number | null | undefined} Child
 * @typedef {{ [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void }}
 *   Listeners
 */

/**
 * `on` holds listeners by the name of the event, `data` the element's data attributes. All else is
 * an attribute, which is left out if it is `null`, `undefined` or `false`.
 *
 * @typedef {{ on?: Listeners, data?: Record<string, string | number> }
 *   & { [attribute: string]: unknown }} Properties
 */

/**
 * Makes an element. A child that is `null` or `undefined` is left out.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {(Child | Child[])[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/**
 * Makes an element of SVG.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {(Child | Child[])[]} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/**
 * @template {HTMLElement | SVGElement} Made
 * @param {Made} element
 * @param {Properties} properties
 * @param {(Child | Child[])[]} children
 */
function fill(element, { on = {}, data = {}, ...attributes }, children) {
  for (const [event, listener] of Object.entries(on)) {
    element.addEventListener(event, /** @type {EventListener} */ (listener));
  }
  for (const [name, value] of Object.entries(data)) element.dataset[name] = String(value);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) {
      element.append(typeof child === "number" ? String(child) : child);
    }
  }
  return element;
}

/**
 * Writes a text if it differs from the one that is there. Most of what is looked at in a frame has
 * not changed, and writing it would cost a layout.
 *
 * @param {Element} element
 * @param {string | number} text
 */
export function setText(element, text) {
  const value = String(text);
  const only = element.firstChild;
  if (only instanceof Text && only === element.lastChild) {
    if (only.data !== value) only.data = value;
  } else if (only !== null || value !== "") {
    element.textContent = value;
  }
}

/**
 * Sets an attribute if it differs. `null`, `undefined` and `false` remove it; `true` is the empty
 * text.
 *
 * @param {Element} element
 * @param {string} name
 * @param {unknown} value
 */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * Sets a custom property if it differs. The style sheets turn it into a length or a place.
 *
 * @param {HTMLElement} element
 * @param {`--${string}`} name
 * @param {string | number} value
 */
export function setVariable(element, name, value) {
  const text = String(value);
  if (element.style.getPropertyValue(name) !== text) element.style.setProperty(name, text);
}

/**
 * Shows or hides an element. The focus in an element that is hidden, as a button that hides itself
 * when it is pressed, goes on to what is around it: else the keyboard would begin at the top again.
 *
 * @param {HTMLElement} element
 * @param {boolean} visible
 */
export function show(element, visible) {
  if (element.hidden !== visible) return;
  const hadFocus = !visible && element.contains(document.activeElement);
  element.hidden = !visible;
  if (hadFocus) focusAround(element.parentElement);
}

/**
 * What takes the focus for an element in it that is gone.
 *
 * @param {Element | null} element
 */
export function around(element) {
  return element?.closest("section, dialog, main") ?? null;
}

/** @param {Element | null} element */
export function focusAround(element) {
  focusOnWhole(around(element));
}

/** @param {Element | null} around */
export function focusOnWhole(around) {
  if (around !== null) setAttribute(around, "tabindex", around.getAttribute("tabindex") ?? "-1");
  moveFocus(around);
}

/**
 * A name, path or message that a client wrote. Its direction of writing does not change that of the
 * text around it.
 *
 * @param {string | number} [text]
 * @param {Properties} [properties]
 */
export function bdi(text = "", properties = {}) {
  return h("bdi", properties, text);
}

/**
 * Keeps the children of an element in step with a list of items. An item is known by its key: its
 * child stays where it is if it can, and so keeps the focus.
 *
 * `create(item)` makes a child: its element, and what `update(part, item)` needs in order to write
 * the item into it.
 *
 * @template Item
 * @template {{ element: HTMLElement }} Part
 */
export class List {
  #parent;
  #key;
  #create;
  #update;
  /** @type {Map<string, Part>} */
  #parts = new Map();

  /**
   * @param {HTMLElement} parent
   * @param {object} functions
   * @param {(item: Item) => string} functions.key
   * @param {(item: Item) => Part} functions.create
   * @param {(part: Part, item: Item) => void} functions.update
   */
  constructor(parent, { key, create, update }) {
    this.#parent = parent;
    this.#key = key;
    this.#create = create;
    this.#update = update;
  }

  /** The results of `create` for the items that are shown, in no particular order. */
  parts() {
    return this.#parts.values();
  }

  /** @param {Item[]} items */
  show(items) {
    const focused = document.activeElement;
    const keys = items.map(this.#key);
    const wanted = new Set(keys);
    for (const [key, part] of this.#parts) {
      if (!wanted.has(key)) this.#remove(key, part.element, wanted);
    }
    let place = this.#parent.firstElementChild;
    items.forEach((item, at) => {
      const key = keys[at];
      let part = this.#parts.get(key);
      if (part === undefined) {
        part = this.#create(item);
        part.element.dataset.key = key;
        this.#parts.set(key, part);
      }
      if (place === part.element) place = place.nextElementSibling;
      else this.#parent.insertBefore(part.element, place);
      this.#update(part, item);
    });
    // An element that is moved loses the focus.
    if (focused !== document.activeElement && this.#parent.contains(focused)) moveFocus(focused);
  }

  /**
   * @param {string} key
   * @param {HTMLElement} element
   * @param {Set<string>} wanted
   */
  #remove(key, element, wanted) {
    const focused = document.activeElement;
    if (focused !== null && element.contains(focused)) {
      // Someone works through the list by keyboard: the focus goes on to the same button of the
      // next item, or else to the card.
      const buttons = [...(nextWanted(element, wanted)?.querySelectorAll("button") ?? [])];
      const same = buttons.find((button) => button.className === focused.className);
      if (same === undefined) focusAround(this.#parent);
      else moveFocus(same);
    }
    this.#parts.delete(key);
    element.remove();
  }
}

/**
 * @param {Element} element
 * @param {Set<string>} wanted
 */
function nextWanted(element, wanted) {
  let next = element.nextElementSibling;
  while (next instanceof HTMLElement && !wanted.has(next.dataset.key ?? "")) {
    next = next.nextElementSibling;
  }
  return next;
}

/** @param {Element | null} element */
export function moveFocus(element) {
  if (element instanceof HTMLElement) element.focus({ preventScroll: true });
}
