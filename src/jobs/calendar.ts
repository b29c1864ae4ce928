/** Pointings: the stretches between two manoeuvres, numbered by the repoint before them. */
import type { Range } from "./instant.ts";

export interface Pointing {
  /** Number of the repoint that it follows. */
  readonly number: number;
  /** End of its repoint to the start of the next one. Of the last row there is no end: it is no pointing yet. */
  readonly range: Range;
}

/** `repoint00209`. */
export const pointingName = (number: number): string => `repoint${String(number).padStart(5, "0")}`;
