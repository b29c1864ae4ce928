/**
 * The question "is it here?" and its answers, as callers know them: which questions are refused, in which order, and the
 * bytes of each answer. The same over HTTP and NATS.
 */
import { subjectBytesMax } from "../limits.ts";
import { decodeKeyPart, encodeToken, isEncodable, presenceKey, presentSubject } from "./keys.ts";

/** Whose groups a look-up is about: the asked site's own, or all that this site may see. */
export type Scope = "site" | "all";

/** Null for what is none. */
export const readScope = (text: string): Scope | null => (text === "site" || text === "all" ? text : null);

export interface PresenceRules {
  /** Compared with case. */
  readonly instruments: Pick<ReadonlySet<string>, "has">;
  /** Searched in the detector's name. */
  readonly detector: RegExp;
}

export interface GroupName {
  readonly instrument: string;
  readonly group: string;
  /** Place of the exposure within its group, from 0. */
  readonly snap: number;
  readonly detector: string;
}

/** A question that is not looked up; `body` is the whole answer. */
export interface Refusal {
  readonly status: 400 | 404;
  readonly body: string;
}

/** The key to look up; null where no group can have that name; or why the question is refused. */
export type Asked = string | null | Refusal;

/** Callers get what today's service sends: only ASCII, everything else as `\uXXXX`, and a newline at the end. */
function asciiJson(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export const absentBody = '{"error":false,"present":false}\n';
/** The answer's text as far as this beginning of the URI. */
export const presentStart = (beginning: string): string =>
  `{"error":false,"present":true,"uri":${asciiJson(beginning).slice(0, -1)}`;
/** The whole answer: its text as far as the URI's beginning, and the rest of the URI. */
export const presentBodyOf = (start: string, rest: string): string =>
  `${start}${asciiJson(rest).slice(1)}}\n`;
/** The answer for a group that is at another site; at the supernode for every group. */
export const presentAtBody = (uri: string, site: string): string =>
  `{"error":false,"present":true,"uri":${asciiJson(uri)},"site":${asciiJson(site)}}\n`;
/** Absent, as far as is known: nothing was heard of these sites. None: absent. `*`: none of the other sites could be asked. */
export const absentBodyOf = (unheard: ReadonlyArray<string>): string =>
  unheard.length === 0
    ? absentBody
    : `{"error":false,"present":false,"unheard":[${unheard.map(asciiJson).join(",")}]}\n`;
export const errorBody = (message: string): string => `{"error":true,"message":${asciiJson(message)}}\n`;

const digits = /^[0-9]+$/;
/** Key of the longest group that can be announced. */
const keyBytesMax = subjectBytesMax - presentSubject("").length;

const shownMax = 1_024;
/** Of what was asked, as a refusal repeats it: a question may be as large as a message, and its answer must not be larger than one. */
const shown = (text: string): string =>
  text.length <= shownMax ? text : `${text.slice(0, shownMax)}… (${text.length} characters)`;

const noSuchPath: Refusal = {
  status: 404,
  body: errorBody(
    "Not found: ask for /presence/INSTRUMENT/GROUP/SNAP/DETECTOR, percent-encoded, where SNAP is an integer from 0",
  ),
};

/**
 * Judges a question. First its form (four parts, none empty, a snap that is an integer ≥ 0; "00" is 0), then the
 * instrument, then the detector.
 */
export function askedKey(
  rules: PresenceRules,
  instrument: string,
  group: string,
  snap: string,
  detector: string,
): Asked {
  if (instrument === "" || group === "" || detector === "" || !digits.test(snap)) return noSuchPath;
  if (!rules.instruments.has(instrument)) {
    return { status: 400, body: errorBody(`Unknown instrument ${shown(instrument)}`) };
  }
  if (!rules.detector.test(detector)) {
    return { status: 400, body: errorBody(`Unrecognized detector name ${shown(detector)}`) };
  }
  if (!isEncodable(group) || !isEncodable(detector)) return null;
  const number = Number(snap);
  const key = presenceKey(instrument, group, number, detector);
  return key.length > keyBytesMax || number > Number.MAX_SAFE_INTEGER ? null : key;
}

/** {@link askedKey} for parts that came as a list. */
export function askedParts(rules: PresenceRules, parts: ReadonlyArray<string>): Asked {
  const [instrument, group, snap, detector] = parts;
  return parts.length !== 4 ||
    instrument === undefined ||
    group === undefined ||
    snap === undefined ||
    detector === undefined
    ? noSuchPath
    : askedKey(rules, instrument, group, snap, detector);
}

/** The key under which a group is announced; null for one that cannot be: a name too long, or that is no text. */
export function announcedKey(name: GroupName): string | null {
  const { instrument, group, snap, detector } = name;
  if (!Number.isSafeInteger(snap) || snap < 0) return null;
  if (!isEncodable(instrument) || !isEncodable(group) || !isEncodable(detector)) return null;
  if (instrument === "" || group === "" || detector === "") return null;
  const key = presenceKey(instrument, group, snap, detector);
  return key.length > keyBytesMax ? null : key;
}

/** Reverses {@link announcedKey}; null for a key that it did not write. */
export function groupOfKey(key: string): GroupName | null {
  const [instrument, group, snap, detector] = key.split(".").map(decodeKeyPart);
  return instrument == null || group == null || snap == null || detector == null || !digits.test(snap)
    ? null
    : { instrument, group, snap: Number(snap), detector };
}

export interface NatsQuestion {
  readonly asked: Asked;
  readonly waitMs: number;
  /** Left out: as the site's file says. */
  readonly scope?: Scope;
}

const decoder = new TextDecoder("utf-8", { fatal: true });
const badQuestion = (why: string): NatsQuestion => ({
  asked: {
    status: 400,
    body: errorBody(
      `${why}: send {"instrument":…,"group":…,"snap":…,"detector":…,"wait":seconds} or INSTRUMENT/GROUP/SNAP/DETECTOR, percent-encoded`,
    ),
  },
  waitMs: 0,
});

/**
 * Reads a question that came as a message.
 * @param tokens what stands in the subject behind the service's own name, as {@link encodeToken} writes it; "" for none
 */
export function readQuestion(rules: PresenceRules, tokens: string, data: Uint8Array): NatsQuestion {
  if (tokens !== "") return { asked: askedTokens(rules, tokens), waitMs: 0 };
  let text: string;
  try {
    text = decoder.decode(data);
  } catch {
    return badQuestion("The question is not UTF-8");
  }
  return text.startsWith("{") ? readJsonQuestion(rules, text) : readTextQuestion(rules, text);
}

function askedTokens(rules: PresenceRules, tokens: string): Asked {
  const parts: Array<string> = [];
  for (const token of tokens.split(".")) {
    const part = decodeKeyPart(token);
    if (part === null) {
      return { status: 400, body: errorBody(`Not a group's name: ${token} (written ${encodeToken(token)})`) };
    }
    parts.push(part);
  }
  return askedParts(rules, parts);
}

function readTextQuestion(rules: PresenceRules, text: string): NatsQuestion {
  const parts = text.trimEnd().split("/");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (part === undefined || !part.includes("%")) continue;
    try {
      parts[i] = decodeURIComponent(part);
    } catch {
      return badQuestion(`${shown(part)} is not percent-encoded`);
    }
  }
  return parts.length === 4 ? { asked: askedParts(rules, parts), waitMs: 0 } : badQuestion("Not four parts");
}

function readJsonQuestion(rules: PresenceRules, text: string): NatsQuestion {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return badQuestion("The question is not JSON");
  }
  const { instrument, group, snap, detector, wait, scope: wanted } = value;
  if (typeof instrument !== "string" || typeof group !== "string" || typeof detector !== "string") {
    return badQuestion("instrument, group and detector must be strings");
  }
  if (typeof snap !== "number" && typeof snap !== "string") return badQuestion("snap must be an integer");
  const waitMs = wait === undefined || wait === null ? 0 : readWait(JSON.stringify(wait));
  if (waitMs === null) return badQuestion("wait must be seconds, a number from 0");
  const scope =
    wanted === undefined || wanted === null ? undefined : readScope(typeof wanted === "string" ? wanted : "");
  if (scope === null) return badQuestion('scope must be "site" or "all"');
  const asked = askedKey(rules, instrument, group, String(snap), detector);
  return scope === undefined ? { asked, waitMs } : { asked, waitMs, scope };
}

const seconds = /^[0-9]{1,9}(?:\.[0-9]{0,9})?$/;

/** Seconds as text to ms; null for what is no number ≥ 0. */
export function readWait(text: string): number | null {
  return seconds.test(text) ? Math.ceil(Number(text) * 1_000) : null;
}
