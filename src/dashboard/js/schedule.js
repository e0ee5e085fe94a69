// When the page is written: once a frame, however many events came in between. What is read rather than watched is written
// less often still, so that it holds still under the eye.

/** The pace of tables and lists that are read. */
const CALM = 500;
/** A hidden page gets no frames; its title is still seen. */
const HIDDEN = 1000;

export class Schedule {
  #draw;
  #drawCalmly;
  #requested = false;
  #calmAt = -Infinity;
  #calmDue = null;

  /** `draw()` each frame in which something changed; `drawCalmly()` after it, twice a second at most. */
  constructor(draw, drawCalmly) {
    this.#draw = draw;
    this.#drawCalmly = drawCalmly;
    document.addEventListener("visibilitychange", () => {
      // A frame asked for before the page was hidden comes only when it is seen again; one asked for after, too late.
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

  /** Also what is drawn calmly, in the next frame. */
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
    } else {
      this.#calmDue ??= setTimeout(() => {
        this.#calmDue = null;
        this.request();
      }, CALM - (now - this.#calmAt));
    }
  }
}
