// When the page is drawn: once a frame, however many events arrived since the last one. Tables and
// lists that are read are drawn twice a second at most, so that they hold still under the eye.

/** The least time between two drawings of what is read, in milliseconds. */
const CALM = 500;
/** A hidden page gets no frames, but its title is still seen: it is drawn once in this time. */
const HIDDEN = 1000;

export class Schedule {
  #draw;
  #drawCalmly;
  #requested = false;
  #calmAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #calmTimer = null;

  /**
   * @param {() => void} draw is called in each frame for which a drawing was requested
   * @param {() => void} drawCalmly is called after `draw`, twice a second at most
   */
  constructor(draw, drawCalmly) {
    this.#draw = draw;
    this.#drawCalmly = drawCalmly;
    document.addEventListener("visibilitychange", () => {
      // A frame that was requested before the page was hidden comes only when the page is seen
      // again. A timeout that was set while the page was hidden comes too late.
      this.#requested = false;
      this.request();
    });
  }

  request() {
    if (this.#requested) return;
    this.#requested = true;
    if (document.hidden) setTimeout(() => this.#run(), HIDDEN);
    else requestAnimationFrame(() => this.#run());
  }

  /** Requests that everything is drawn in the next frame. */
  requestAll() {
    this.#calmAt = -Infinity;
    this.request();
  }

  #run() {
    if (!this.#requested) return;
    this.#requested = false;
    this.#draw();
    const now = performance.now();
    if (now - this.#calmAt >= CALM) {
      this.#calmAt = now;
      this.#drawCalmly();
      return;
    }
    if (this.#calmTimer !== null) return;
    const calmDue = () => {
      this.#calmTimer = null;
      this.request();
    };
    this.#calmTimer = setTimeout(calmDue, CALM - (now - this.#calmAt));
  }
}
