// The page's elements, made from text: whatever a student wrote can only ever be text here. Nothing in the dashboard
// parses markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `properties`: `class`; `on` (event name to listener); `data`; anything else is an attribute, left out when
 * `null` or `false`. Children are nodes or text; `null` is none.
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else {
      setAttribute(element, name, value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Writes a text only if it is another: most of what is looked at each frame has not changed. */
export function setText(element, text) {
  const value = String(text);
  const only = element.firstChild;
  if (only !== null && only === element.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== value) only.data = value;
  } else if (only !== null || value !== "") {
    element.textContent = value;
  }
}

/** Sets an attribute only if it is another; `null` and `false` remove it, `true` is the empty text. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Sets a custom property, which the style sheets turn into a length or a place. */
export function setVariable(element, name, value) {
  const text = String(value);
  if (element.style.getPropertyValue(name) !== text) element.style.setProperty(name, text);
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** A name, path or message of someone else's: its direction of writing stays its own. */
export function bdi(text = "", properties = {}) {
  return h("bdi", properties, text);
}

/**
 * Keeps a parent's children in step with a list. `create(item)` makes a child with what `update(child, item)` needs to find
 * in it; children are known by `key(item)`, and stay where they are if they can: so does the focus.
 */
export class List {
  #parent;
  #key;
  #create;
  #update;
  #children = new Map();

  constructor(parent, { key, create, update }) {
    this.#parent = parent;
    this.#key = key;
    this.#create = create;
    this.#update = update;
  }

  show(items) {
    const focused = document.activeElement;
    const keys = items.map(this.#key);
    const wanted = new Set(keys);
    for (const [key, child] of this.#children) if (!wanted.has(key)) this.#remove(key, child, wanted);
    let place = this.#parent.firstElementChild;
    items.forEach((item, at) => {
      const key = keys[at];
      let child = this.#children.get(key);
      if (child === undefined) {
        child = this.#create(item);
        child.dataset.key = key;
        this.#children.set(key, child);
      }
      if (place === child) place = place.nextElementSibling;
      else this.#parent.insertBefore(child, place);
      this.#update(child, item);
    });
    // What is moved loses the focus.
    if (focused !== document.activeElement && this.#parent.contains(focused)) focused.focus({ preventScroll: true });
  }

  #remove(key, child, wanted) {
    // Whoever works through the list by keyboard goes on with the next, at the same button.
    const focused = document.activeElement;
    if (child.contains(focused)) {
      let other = child.nextElementSibling;
      while (other !== null && !wanted.has(other.dataset.key)) other = other.nextElementSibling;
      const buttons = [...(other?.querySelectorAll("button") ?? [])];
      const next = buttons.find((button) => button.className === focused.className) ?? this.#parent.closest("section");
      next?.focus({ preventScroll: true });
    }
    this.#children.delete(key);
    child.remove();
  }
}
