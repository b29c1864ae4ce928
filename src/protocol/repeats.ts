/**
 * `repeats.<lane>.<day>.<instrument>.<node>`: how often a node accepted an announcement that the stream held already. Such a one is stored
 * once, within the duplicate window, and leaves no trace there. One writer a key: its number is absolute, so writing it again is safe.
 */
import { decodeKeyPart, encodeToken } from "./keys.ts";
import { encodeJson, recordVersion } from "./records.ts";

export interface Repeats {
  readonly v: number;
  readonly count: number;
  /** Life of the node that wrote it. */
  readonly epoch: string;
}

export const repeatsKey = (lane: string, day: string, instrument: string, node: string): string =>
  `repeats.${lane}.${encodeToken(day)}.${encodeToken(instrument)}.${encodeToken(node)}`;

export interface RepeatsPlace {
  readonly lane: string;
  readonly day: string;
  readonly instrument: string;
}

/** Null for a key that is none of these. */
export function placeOfRepeats(key: string): RepeatsPlace | null {
  const [kind, lane = "", day = "", instrument = "", node] = key.split(".");
  if (kind !== "repeats" || node === undefined) return null;
  return {
    lane,
    day: decodeKeyPart(day) ?? day,
    instrument: decodeKeyPart(instrument) ?? instrument,
  };
}

export const encodeRepeats = (count: number, epoch: string): Uint8Array =>
  encodeJson({ v: recordVersion, count, epoch } satisfies Repeats);

/** What is no such record (somebody wrote it by hand) counts for nothing. */
export function decodeRepeats(data: Uint8Array): Repeats {
  try {
    const { count, epoch } = JSON.parse(Buffer.from(data).toString()) as Partial<Repeats>;
    if (typeof count === "number" && Number.isSafeInteger(count) && count >= 0) {
      return { v: recordVersion, count, epoch: String(epoch) };
    }
  } catch {
    // Not JSON: the same as nothing.
  }
  return { v: recordVersion, count: 0, epoch: "" };
}
