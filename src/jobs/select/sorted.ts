/** Lists that stay sorted. */

/** The first index from which on the test holds, of a list in which it holds from some place on; the length where it never does. */
export function firstWhere<A>(list: ReadonlyArray<A>, test: (item: A) => boolean): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = list[middle];
    if (item !== undefined && test(item)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Puts an item where it belongs; equal ones keep the order in which they came. */
export function insertSorted<A>(list: Array<A>, item: A, compare: (a: A, b: A) => number): void {
  const last = list.at(-1);
  // What comes in its own order, as most does, is appended.
  if (last === undefined || compare(last, item) <= 0) list.push(item);
  else
    list.splice(
      firstWhere(list, (other) => compare(other, item) > 0),
      0,
      item,
    );
}

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
