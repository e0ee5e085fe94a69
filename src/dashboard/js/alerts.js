// A sound and a desktop notification when a hand goes up, for those who look elsewhere. Both are
// off until somebody turns them on.

import { MINUTE } from "./time.js";

/**
 * @import { Preferences } from "./preferences.js"
 * @import { Row } from "./store.js"
 */

/** An older hand went up while the page was away: it is in the queue, and nobody is startled. */
const RECENT = MINUTE;
/** The least time between two sounds, in milliseconds: a class raises many hands at a time. */
const SOUND_PACE = 3_000;
/** The two tones: hertz, and when each begins, in seconds. */
const TONES = [
  [659, 0],
  [880, 0.14],
];
const TONE_LENGTH = 0.35;
const VOLUME = 0.18;
/** The most names in a notification. */
const MAX_NAMES = 5;

/**
 * Whether the browser shows notifications: `"missing"` where it has none, or none for a page that
 * was not fetched by HTTPS.
 *
 * @returns {NotificationPermission | "missing"}
 */
export function permission() {
  return typeof Notification === "undefined" || !window.isSecureContext
    ? "missing"
    : Notification.permission;
}

export class Alerts {
  #preferences;
  #clicked;
  /** @type {AudioContext | null} */
  #audio = null;
  #soundAt = -Infinity;

  /**
   * @param {Preferences} preferences
   * @param {() => void} clicked is called when a notification was clicked
   */
  constructor(preferences, clicked) {
    this.#preferences = preferences;
    this.#clicked = clicked;
    // After the page was loaded, a browser plays nothing until somebody does something on it.
    const wake = () => this.#preferences.get("handSound") && this.#wake(() => {});
    document.addEventListener("pointerdown", wake);
    document.addEventListener("keydown", wake);
  }

  /**
   * Tells of hands that went up.
   *
   * @param {Row[]} raised
   * @param {number} now by the database's clock
   * @param {(names: string[]) => string} words of a notification
   */
  tell(raised, now, words) {
    const recent = raised.filter(
      ({ student, status }) => status === "help" && now - (student.helpSince ?? 0) < RECENT,
    );
    if (recent.length === 0) return;
    if (this.#preferences.get("handSound")) this.#play();
    // Who looks at the page sees the hand.
    if (!this.#preferences.get("handNotification") || document.hasFocus()) return;
    this.#show(words(recent.slice(0, MAX_NAMES).map(({ name }) => name)));
  }

  /**
   * Does what a hand would do, whatever is turned on.
   *
   * @param {string} words
   */
  async tryOut(words) {
    this.#soundAt = -Infinity;
    this.#play();
    if (permission() === "default") await Notification.requestPermission();
    this.#show(words);
  }

  /**
   * Calls back with what plays the tones, once it does.
   *
   * @param {(audio: AudioContext) => void} run
   */
  #wake(run) {
    try {
      const audio = (this.#audio ??= new AudioContext());
      if (audio.state === "running") run(audio);
      else audio.resume().then(() => run(audio), ignored);
    } catch {
      // A machine or a browser that plays nothing shows the hands all the same.
    }
  }

  #play() {
    const now = performance.now();
    if (now - this.#soundAt < SOUND_PACE) return;
    this.#soundAt = now;
    this.#wake((audio) => {
      // A browser that has waited for a click would play all the hands of the hour at once.
      if (performance.now() - now < SOUND_PACE) playTones(audio);
    });
  }

  /** @param {string} words */
  #show(words) {
    if (permission() !== "granted") return;
    try {
      // Of one class one notification stands there: the latest.
      const notification = new Notification(document.title, { body: words, tag: "hands" });
      notification.onclick = () => {
        window.focus();
        notification.close();
        this.#clicked();
      };
    } catch {
      // Some browsers of phones have notifications for installed pages alone.
    }
  }
}

const ignored = () => {};

/** @param {AudioContext} audio */
function playTones(audio) {
  for (const [hertz, wait] of TONES) {
    const begin = audio.currentTime + wait;
    const tone = new OscillatorNode(audio, { frequency: hertz });
    const gain = new GainNode(audio, { gain: 0 });
    gain.gain.setValueAtTime(VOLUME, begin);
    gain.gain.exponentialRampToValueAtTime(0.001, begin + TONE_LENGTH);
    tone.connect(gain).connect(audio.destination);
    tone.start(begin);
    tone.stop(begin + TONE_LENGTH);
  }
}
