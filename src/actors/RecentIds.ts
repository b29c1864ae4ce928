/**
 * Which message ids were lately seen, by a mark of 32 bits each, in a table that never grows. It may forget, as newer ones take its
 * places, and it may take one id for another, about one in ten thousand: so it may choose the way of a message, and never decide
 * whether that is sent.
 */
export class RecentIds {
  readonly #marks: Uint32Array;

  /** @param places a power of two */
  constructor(places: number) {
    this.#marks = new Uint32Array(places);
  }

  /** Remembers the id. @returns whether it was seen before */
  seen(id: string): boolean {
    const mark = markOf(id);
    const place = mark & (this.#marks.length - 1);
    if (this.#marks[place] === mark) return true;
    this.#marks[place] = mark;
    return false;
  }
}

/** FNV-1a, and the bits mixed once more: its low ones, which choose the place, hardly know of the first characters. */
function markOf(id: string): number {
  let mark = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) mark = Math.imul(mark ^ id.charCodeAt(i), 0x01000193);
  mark = Math.imul(mark ^ (mark >>> 15), 0x2c1b3c6d);
  mark = (mark ^ (mark >>> 13)) >>> 0;
  // 0 is an empty place.
  return mark === 0 ? 1 : mark;
}
