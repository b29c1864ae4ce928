/**
 * Secrets that tests use, made so that they are known again wherever they turn up, also encoded; and what looks like a secret without having
 * been made here: seeds of NATS keys, private keys.
 */

const marker = "Zq7Xw9KpLm2Vt5Rd";

/** A secret for a test: `canary-notification-Zq7Xw9KpLm2Vt5Rd`. Letters, digits and dashes only. */
export const canary = (what: string): string => `canary-${what}-${marker}`;

const base64Of = (bytes: Buffer): ReadonlyArray<string> =>
  // In base64 a text looks different by where it begins; what depends on its neighbours is left out.
  [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    const from = Math.ceil((before * 8) / 6);
    const to = Math.floor(((before + bytes.length) * 8) / 6);
    return text.slice(from, to);
  });

const bytes = Buffer.from(marker);
const forms = [marker, ...base64Of(bytes), bytes.toString("hex")];

/** Of a key of NATS: operator, account, user, cluster, server, curve. A public key begins with the letter alone. */
const seed = /\bS[OAUCNX][A-Z2-7]{56}\b/;
const block = /-----BEGIN (?:[A-Z]+ )*(?:PRIVATE KEY|NKEY SEED)-----/;
const secret = new RegExp(`${forms.join("|")}|${seed.source}|${block.source}`, "g");

export interface Leak {
  /** Of the text, from 1. */
  readonly line: number;
  /** What it is, without saying it: the name of the canary, or what it looks like. */
  readonly what: string;
}

function nameOf(text: string, at: number, found: string): string {
  if (found === marker)
    return /canary-([a-z0-9-]+)-$/.exec(text.slice(Math.max(0, at - 80), at))?.[0] ?? "a canary";
  if (forms.includes(found)) return "a canary, encoded";
  return found.startsWith("-----") ? "a private key" : `the seed of a key of NATS (${found.slice(0, 2)}…)`;
}

/** Every secret in the text. */
export function leaksIn(text: string): ReadonlyArray<Leak> {
  const leaks: Array<Leak> = [];
  for (const match of text.matchAll(secret)) {
    const line = text.slice(0, match.index).split("\n").length;
    leaks.push({ line, what: nameOf(text, match.index, match[0]) });
  }
  return leaks;
}
