// A list that is short until more of it is asked for, and never so long that each change of the
// class would hold up the page.

import { h, setText, show } from "../dom.js";

/** @import { Text } from "../i18n.js" */

/** The most items that are shown. The others are a number. */
const MOST = 500;

/**
 * The button that shows more, or fewer again, and the number of those that are never shown.
 *
 * @param {Text} t
 * @param {{ few: number, more: (count: number) => string }} options so few items are shown until
 *   more are asked for, by a button with these words
 * @param {() => void} changed
 */
export function moreButton(t, { few, more }, changed) {
  let isLong = false;
  const click = () => {
    isLong = !isLong;
    changed();
  };
  const button = h("button", { type: "button", class: "text-button", hidden: true, on: { click } });
  const others = h("p", { class: "note", hidden: true });
  return {
    elements: [button, others],
    /**
     * The items to show.
     *
     * @template Item
     * @param {Item[]} items
     */
    of(items) {
      const { length } = items;
      const beyond = isLong ? length - MOST : 0;
      show(button, length > few);
      setText(button, isLong ? t.stuck.fewer : more(Math.min(length, MOST) - few));
      show(others, beyond > 0);
      setText(others, t.silent.more(beyond));
      return items.slice(0, isLong ? MOST : few);
    },
  };
}
