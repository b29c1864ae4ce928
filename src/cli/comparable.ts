/**
 * What two ledgers of one site must agree in: which things there are, how they stand, and what is in them. Not when, where and after
 * how many tries they became so.
 */
import { createHash } from "node:crypto";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";

/** Kinds that are compared; each of them is a record that follows from what arrived. */
export const comparedKinds = ["file", "exposure", "visit", "run", "job", "item"] as const;

/**
 * Kinds of which it is only told how many there are: what somebody decided or was told, which no bucket holds, and what is under way.
 * Indexes (`due`, `waiting`, `parked`) follow from the records.
 */
export const countedKinds = [
  "notified",
  "order",
  "redo",
  "repeats",
  "due",
  "waiting",
  "parked",
  "ready",
] as const;

/** One record as it is compared, and as a line of a saved ledger. */
export interface Comparable {
  readonly key: string;
  readonly state: string;
  /** Tag of its content; empty where it has none. */
  readonly tag: string;
  /** Bytes; null where it was not said. */
  readonly size: number | null;
  /** Digest of whatever else must be equal: identity, metadata, data set; inputs and outputs of a run. */
  readonly facts: string;
}

/** Kind, lane (or job, or instrument) and day of a key: what is told together. */
export function groupOf(key: string): string {
  const [kind = "", name = "", day = ""] = key.split(".");
  return `${kind} ${name} ${day}`;
}

/** The same for objects whose fields stand in another order. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, canonical(inner)]),
  );
}

const digest = (value: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(canonical(value)))
    .digest("hex")
    .slice(0, 16);

function fileFacts(body: FileBody): unknown {
  const { bucket, key, identity, metadata, dataset, given } = body;
  // A digest is of files whose tags say nothing of their content; it is there or not by the way a file came.
  const { digest: _digest, ...named } = dataset ?? {};
  return {
    bucket,
    key,
    identity,
    metadata,
    dataset: dataset === undefined ? null : named,
    given: given ?? null,
  };
}

interface RunLike {
  readonly job?: unknown;
  readonly version?: unknown;
  readonly partition?: unknown;
  readonly inputs?: ReadonlyArray<{ readonly record?: unknown }>;
  readonly outputs?: ReadonlyArray<{
    readonly name?: unknown;
    readonly bucket?: unknown;
    readonly key?: unknown;
  }> | null;
}

function runFacts(body: RunLike): unknown {
  return {
    job: body.job,
    version: body.version,
    partition: body.partition,
    inputs: (body.inputs ?? []).map(({ record }) => String(record)).toSorted(),
    outputs: (body.outputs ?? []).map(
      ({ name, bucket, key }) => `${String(name)} ${String(bucket)}/${String(key)}`,
    ),
  };
}

interface JobLike {
  readonly job?: unknown;
  readonly version?: unknown;
  readonly partition?: unknown;
  readonly state?: unknown;
  readonly inputs?: unknown;
  readonly run?: unknown;
}

/** @returns null for a kind that is not compared, and for bytes that are no record */
export function comparableOf(key: string, data: Uint8Array): Comparable | null {
  const kind = key.slice(0, key.indexOf("."));
  if (!comparedKinds.some((each) => each === kind)) return null;
  if (kind === "exposure") return { key, state: "", tag: "", size: null, facts: "" };
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data).toString());
  } catch {
    // Somebody wrote there by hand: it is there, and is nothing.
    return { key, state: "unreadable", tag: "", size: null, facts: "" };
  }
  switch (kind) {
    case "file": {
      const { state, etag, body } = value as LedgerRecord<FileBody>;
      return { key, state, tag: etag, size: body.size, facts: digest(fileFacts(body)) };
    }
    case "run": {
      const { state, body } = value as LedgerRecord<RunLike>;
      return { key, state, tag: "", size: null, facts: digest(runFacts(body)) };
    }
    case "job": {
      const { job, version, partition, state, inputs, run } = value as JobLike;
      const facts = digest({ job, version, partition, inputs, run });
      return { key, state: String(state), tag: "", size: null, facts };
    }
    case "item": {
      const { state, etag } = value as LedgerRecord;
      return { key, state, tag: etag, size: null, facts: "" };
    }
    default:
      return { key, state: "", tag: "", size: null, facts: digest(value) };
  }
}

/** An etag that the file driver made: it says size, mtime and inode, so a copy of a file has another. */
const fileTag = /^([0-9a-f]+)-[0-9a-f]+-[0-9a-f]+$/;

export type Verdict =
  | { readonly same: true; readonly bySize: boolean }
  | { readonly same: false; readonly words: string };

/** Holds two records of one key against each other. */
export function judge(a: Comparable, b: Comparable): Verdict {
  const found: Array<string> = [];
  let bySize = false;
  if (a.state !== b.state) found.push(`${a.state} → ${b.state}`);
  if (a.tag !== b.tag) {
    if (fileTag.test(a.tag) || fileTag.test(b.tag)) {
      bySize = true;
      if (sizeOf(a) !== null && sizeOf(b) !== null && sizeOf(a) !== sizeOf(b))
        found.push(`${String(sizeOf(a))} bytes → ${String(sizeOf(b))}`);
    } else found.push(`content ${a.tag} → ${b.tag}`);
  }
  if (a.facts !== b.facts) found.push("other metadata");
  return found.length === 0 ? { same: true, bySize } : { same: false, words: found.join(", ") };
}

const sizeOf = ({ size, tag }: Comparable): number | null => {
  const inTag = fileTag.exec(tag)?.[1];
  return size ?? (inTag === undefined ? null : Number.parseInt(inTag, 16));
};
