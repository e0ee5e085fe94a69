/** A bounded map that lets go of what was touched longest ago, like the relay's: memory has an end on this side too. */
export class LruMap {
  #max;
  #entries = new Map();

  constructor(max) {
    this.#max = max;
  }

  get size() {
    return this.#entries.size;
  }

  get(name) {
    return this.#entries.get(name);
  }

  has(name) {
    return this.#entries.has(name);
  }

  values() {
    return this.#entries.values();
  }

  entries() {
    return this.#entries.entries();
  }

  /** The entry of this name, now the newest; made if it is not there. What gave way for it goes to `evicted(name, value)`. */
  touch(name, make, evicted) {
    let value = this.#entries.get(name);
    if (value !== undefined) {
      // A Map is in the order of insertion: the first is the one touched longest ago.
      this.#entries.delete(name);
    } else {
      value = make();
      if (this.#entries.size >= this.#max) {
        const [oldest, gone] = this.#entries.entries().next().value;
        this.#entries.delete(oldest);
        evicted(oldest, gone);
      }
    }
    this.#entries.set(name, value);
    return value;
  }

  delete(name) {
    const value = this.#entries.get(name);
    this.#entries.delete(name);
    return value;
  }
}
