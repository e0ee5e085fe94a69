// A place where files are dropped, with a button to choose them.

import { h } from "../dom.js";

/**
 * @param {object} options
 * @param {string} options.name a class
 * @param {string} options.label of the button
 * @param {string} options.hint what belongs there
 * @param {string} options.accept endings and types of files, as an input has them
 * @param {boolean} [options.multiple]
 * @param {(files: File[]) => void} take
 */
export function fileDrop({ name, label, hint, accept, multiple = false }, take) {
  const input = h("input", {
    type: "file",
    class: "visually-hidden",
    "aria-label": label,
    accept,
    multiple,
    on: {
      change: () => {
        take([...(input.files ?? [])]);
        // The same file may be chosen again, after it was mended.
        input.value = "";
      },
    },
  });
  const over = (/** @type {boolean} */ isOver) => element.classList.toggle("is-over", isOver);
  const element = h(
    "div",
    {
      class: `file-drop ${name}`,
      on: {
        dragover: (event) => {
          event.preventDefault();
          over(true);
        },
        dragleave: () => over(false),
        drop: (event) => {
          event.preventDefault();
          over(false);
          event.stopPropagation();
          take([...(event.dataTransfer?.files ?? [])]);
        },
      },
    },
    h("label", { class: "secondary-button file-button" }, label, input),
    h("p", { class: "hint" }, hint),
  );
  return element;
}

/**
 * The bytes of a file; one that is too large is not read whole. `null` if it cannot be read: it is
 * a folder, or it was moved since.
 *
 * @param {File} file
 * @param {number} most bytes
 */
export async function bytesOf(file, most) {
  // One more than allowed tells that it is too large.
  try {
    return new Uint8Array(await file.slice(0, most + 1).arrayBuffer());
  } catch {
    return null;
  }
}
