/**
 * A bounded map that evicts the entry that was touched longest ago, as the relay's own map does.
 * Without a bound a page that is open for days would grow without end.
 *
 * @template K, V
 */
export class LruMap {
  #max;
  /** In the order of insertion, so the first entry is the one that was touched longest ago. */
  #entries = /** @type {Map<K, V>} */ (new Map());

  /** @param {number} max the most entries */
  constructor(max) {
    this.#max = max;
  }

  get size() {
    return this.#entries.size;
  }

  /** @param {K} key */
  get(key) {
    return this.#entries.get(key);
  }

  /** @param {K} key */
  has(key) {
    return this.#entries.has(key);
  }

  values() {
    return this.#entries.values();
  }

  entries() {
    return this.#entries.entries();
  }

  /**
   * Returns the entry of a key, which becomes the newest one. Makes it if there is none.
   *
   * @param {K} key
   * @param {() => V} make
   * @param {(value: V) => void} evicted is called with the entry that the new one replaces
   * @returns {V}
   */
  touch(key, make, evicted) {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    const value = make();
    if (this.#entries.size >= this.#max) {
      for (const [oldest, gone] of this.#entries) {
        this.#entries.delete(oldest);
        evicted(gone);
        break;
      }
    }
    this.#entries.set(key, value);
    return value;
  }

  clear() {
    this.#entries.clear();
  }

  /** @param {K} key */
  delete(key) {
    const value = this.#entries.get(key);
    this.#entries.delete(key);
    return value;
  }
}
