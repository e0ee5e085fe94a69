// Who is signed in, and the news of it between the tabs of a browser: a sign-in in one tab lets the
// others go on, and a sign-out clears all of them.

import { api } from "./api.js";

/** @import { Caller } from "./api.js" */

const CHANNEL = "progress-relay";

/** @typedef {"signed-in" | "signed-out"} News */

/**
 * The address of the sign-in page, which leads back to this one.
 *
 * @param {{ pathname: string, search: string }} address
 */
export function signInAddress({ pathname, search }) {
  return `sign-in?${new URLSearchParams({ next: pathname + search })}`;
}

/** Whether another page shows this one in a frame. No frame shows the sign-in page. */
export const isFramed = () => window.top !== window;

/** Goes to the sign-in page. In a frame the dashboard says itself that it is signed out. */
export function leave() {
  // Without its `#`, since to go to the same address with one would only scroll.
  location.assign(isFramed() ? location.pathname + location.search : signInAddress(location));
}

/** The channel of the tabs; `null` where the browser forbids it, with all else that is stored. */
function openChannel() {
  try {
    return new BroadcastChannel(CHANNEL);
  } catch {
    return null;
  }
}

export class Me {
  /**
   * `null` before the relay has said, and at a relay where nobody signs in.
   *
   * @type {Caller | null}
   */
  caller = null;
  /** Whether the relay has said who calls, or that nobody signs in. */
  hasAnswered = false;
  #channel = openChannel();
  #changed;

  /**
   * @param {() => void} changed is called when it is somebody else
   * @param {(news: News) => void} heard is called when another tab has signed in or out
   */
  constructor(changed, heard) {
    this.#changed = changed;
    if (this.#channel !== null) this.#channel.onmessage = ({ data }) => heard(data);
  }

  /** Asks the relay who is signed in. */
  async ask() {
    try {
      const caller = await api.me();
      const isSame = JSON.stringify(caller) === JSON.stringify(this.caller);
      if (isSame && this.hasAnswered) return;
      this.hasAnswered = true;
      this.caller = caller;
      if (caller !== null) this.#channel?.postMessage("signed-in");
      this.#changed();
    } catch {
      // The connection says what is wrong.
    }
  }

  /**
   * Signs this browser out, in all tabs, and goes to the sign-in page. Returns `false` if that did
   * not come about.
   */
  async signOut() {
    try {
      // The answer leads to the sign-in page.
      const { ok, type } = await api.signOut();
      if (!ok && type !== "opaqueredirect") return false;
    } catch {
      return false;
    }
    this.#channel?.postMessage("signed-out");
    if (isFramed()) leave();
    else location.assign("sign-in");
    return true;
  }
}
