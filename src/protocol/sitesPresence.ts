/**
 * What a site asks the supernode about a group that it has not, and the answer: JSON, as all of presence. Fields that are not known
 * are passed over, so that nodes of two versions understand each other.
 */
import { presenceWaitSecondsMax } from "../limits.ts";
import { announcedKey, groupOfKey } from "./presence.ts";

export interface SitesQuestion {
  /** As groups are announced by: `<instrument>.<group>.<snap>.<detector>`. */
  readonly key: string;
  /** How long the answer may be held back until the group comes. */
  readonly waitMs: number;
}

/** A group at a site. */
export interface AtSite {
  readonly site: string;
  readonly uri: string;
}

export interface SitesAnswer {
  readonly found: AtSite | null;
  /** Sites of which nothing was heard lately, so that the group may be there; `*`: every other site, because nobody could be asked. */
  readonly unheard: ReadonlyArray<string>;
}

/** Of every other site nothing is known. */
export const nobodyAsked: SitesAnswer = { found: null, unheard: ["*"] };

export const writeQuestion = ({ key, waitMs }: SitesQuestion): string =>
  JSON.stringify({ v: 1, key, ...(waitMs > 0 ? { waitMs } : {}) });

export const writeAnswer = ({ found, unheard }: SitesAnswer): string =>
  JSON.stringify({ v: 1, found, unheard });

export const writeRefusal = (why: string): string => JSON.stringify({ v: 1, refused: why });

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

const decoder = new TextDecoder();

function readJson(data: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(decoder.decode(data));
    return isRecord(value) ? value : null;
  } catch {
    // Not JSON, so nobody's question or answer: the caller is told by the null.
    return null;
  }
}

/** Null for what is no question. */
export function readSitesQuestion(data: Uint8Array): SitesQuestion | null {
  const value = readJson(data);
  if (value === null) return null;
  const { key, waitMs = 0 } = value;
  if (typeof key !== "string") return null;
  const group = groupOfKey(key);
  // Spelt as groups are announced: nobody else's spelling reaches a subject or a log.
  if (group === null || announcedKey(group) !== key) return null;
  if (typeof waitMs !== "number" || !(waitMs >= 0 && waitMs <= presenceWaitSecondsMax * 1_000)) return null;
  return { key, waitMs };
}

/** A text: why the supernode refuses to answer. Null for what is no answer. */
export function readSitesAnswer(data: Uint8Array): SitesAnswer | string | null {
  const value = readJson(data);
  if (value === null) return null;
  if (typeof value["refused"] === "string") return value["refused"];
  const { found, unheard } = value;
  if (!Array.isArray(unheard) || !unheard.every((site): site is string => typeof site === "string"))
    return null;
  if (found === null) return { found, unheard };
  if (!isRecord(found)) return null;
  const { site, uri } = found;
  return typeof site === "string" && typeof uri === "string" ? { found: { site, uri }, unheard } : null;
}
