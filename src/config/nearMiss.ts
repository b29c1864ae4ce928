/** Finds what somebody meant who wrote something near it. */

/** The one of `known` that `written` is most likely a slip of, or null when none is near. */
export function nearMiss(written: string, known: Iterable<string>): string | null {
  const wanted = plain(written);
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const other = plain(candidate);
    const allowed = Math.max(1, Math.floor(Math.max(wanted.length, other.length) / 3));
    // Plurals, missing unit suffixes and the like: `bucket` for `buckets`, `workDeadlineMs` for `workDeadline`.
    const extended =
      wanted.length >= 3 && other.length >= 3 && (wanted.startsWith(other) || other.startsWith(wanted));
    const distance = extended ? 1 : editDistance(wanted, other, allowed);
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** ` (did you mean "buckets"?)`, or nothing. */
export function didYouMean(written: string, known: Iterable<string>): string {
  const near = nearMiss(written, known);
  return near === null ? "" : ` (did you mean "${near}"?)`;
}

function plain(text: string): string {
  return text
    .slice(0, 64)
    .toLowerCase()
    .replaceAll(/[_\s-]/g, "");
}

/** Insertions, deletions, replacements and swaps of neighbours; anything above `limit` is returned as `limit + 1`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: Array<number> = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    before = above;
    above = row;
  }
  return above[b.length] ?? limit + 1;
}
