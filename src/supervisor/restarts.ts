/** How many restarts, and how soon: both counted in milliseconds of a clock that never goes back. */

export interface Intensity {
  /** At most this many restarts … */
  readonly intensity: number;
  /** … in any stretch of time this long. */
  readonly periodMillis: number;
}

export interface Backoff {
  readonly baseMillis: number;
  readonly maxMillis: number;
  /** A child that has run this long is quiet again: its next restart counts as its first. */
  readonly stableMillis: number;
}

/**
 * The restarts still inside the period, the new one included, oldest first. One that lies exactly a period back
 * still counts. More than `intensity` of them is one too many. The list never grows beyond `intensity + 1`: the
 * supervisor ends there.
 */
export const addRestart = (
  earlier: ReadonlyArray<number>,
  now: number,
  limit: Intensity,
): { readonly restarts: ReadonlyArray<number>; readonly exceeded: boolean } => {
  const restarts = [...earlier.filter((time) => time >= now - limit.periodMillis), now];
  return { restarts, exceeded: restarts.length > limit.intensity };
};

/**
 * Exponential backoff with full jitter: anything from nothing up to base · 2^(attempt − 1), and up to max. Full
 * jitter, because children that failed together (their server went away) must not come back together.
 */
export const delayMillis = (backoff: Backoff, attempt: number, random: number): number =>
  Math.floor(random * Math.min(backoff.maxMillis, backoff.baseMillis * 2 ** (attempt - 1)));
