/**
 * `lock.<instrument>`: the slot that one run of the instrument has at a time, taken and freed by compare-and-set.
 *
 * Invariant: it is held exactly as long as the claim that it names stands in its slot. So nobody has to free the lock of a dead
 * node: the transaction that takes its claim back makes the lock void.
 */
import * as Schema from "effect/Schema";
import { recordVersion } from "./records.ts";

export interface RunLock {
  readonly v: number;
  /** Null: free. */
  readonly holder: {
    /** Key of the claim slot, and the claim in it. */
    readonly slot: string;
    readonly claim: string;
    /** Ledger key of the run. */
    readonly run: string;
    readonly node: string;
    /** ISO 8601, UTC. */
    readonly since: string;
  } | null;
}

export const freeLock: RunLock = { v: recordVersion, holder: null };

const isLock = Schema.is(
  Schema.Struct({
    holder: Schema.NullOr(
      Schema.Struct({ slot: Schema.String, claim: Schema.String, run: Schema.String, node: Schema.String }),
    ),
  }),
);

/** A value that nobody of us wrote is taken for a free lock: whoever takes it writes over it. */
export function decodeLock(data: Uint8Array): RunLock {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(data));
    return isLock(value) ? (value as RunLock) : freeLock;
  } catch {
    // No JSON: as above.
    return freeLock;
  }
}

export const lockIsHeld = (data: Uint8Array): boolean => decodeLock(data).holder !== null;
