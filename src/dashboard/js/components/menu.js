// A menu: a disclosure that closes as menus do.

/**
 * Makes a disclosure a menu: it closes by Escape, which leaves the focus on its summary, and when
 * something outside of it is chosen.
 *
 * @param {HTMLDetailsElement} element
 */
export function closeAsMenu(element) {
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !element.open) return;
    element.open = false;
    element.querySelector("summary")?.focus();
    event.stopPropagation();
  });
  element.addEventListener("focusout", (event) => {
    const next = event.relatedTarget;
    if (next instanceof Node && !element.contains(next)) element.open = false;
  });
  return element;
}
