/** Whether the supernode holds of each site what the site holds, and nothing else. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { scanUnsafe } from "../../../src/jetstream/ledger.ts";
import type { NatsService } from "../../../src/jetstream/Nats.ts";
import { ledgerBucket } from "../../../src/protocol/keys.ts";
import { sharedKinds, sitesBucket } from "../../../src/protocol/sites.ts";
import type { Hub } from "./hub.ts";

/** Digests of values, by key. Ended keys are not among them. */
export type Held = ReadonlyMap<string, string>;

async function held(nats: NatsService, bucket: string, filters: ReadonlyArray<string>): Promise<Held> {
  const found = new Map<string, string>();
  await scanUnsafe(nats, bucket, filters, ({ key, data }) => {
    found.set(key, createHash("sha256").update(data).digest("base64").slice(0, 16));
  });
  return found;
}

/** What a site shares. */
export const atSite = (nats: NatsService): Promise<Held> =>
  held(
    nats,
    ledgerBucket,
    sharedKinds.map((kind) => `${kind}.>`),
  );

/** All of all sites, below `<site>.<epoch>.`. */
export const atSupernode = (nats: NatsService): Promise<Held> => held(nats, sitesBucket, [">"]);

export interface Difference {
  readonly site: string;
  /** At the site, and not at the supernode. */
  readonly missing: ReadonlyArray<string>;
  /** At the supernode, and not at the site: ended, purged or never there. */
  readonly extra: ReadonlyArray<string>;
  /** At both with different values. */
  readonly other: ReadonlyArray<string>;
}

/** Pure. @param prefix `<site>.<epoch>.` */
export function differenceOf(site: string, prefix: string, here: Held, there: Held): Difference {
  const own = new Map(
    [...there].flatMap(([key, digest]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), digest]] : [],
    ),
  );
  const other = [...here].filter(([key, digest]) => own.has(key) && own.get(key) !== digest);
  return {
    site,
    missing: [...here.keys()].filter((key) => !own.has(key)),
    extra: [...own.keys()].filter((key) => !here.has(key)),
    other: other.map(([key]) => key),
  };
}

/** Keys at the supernode that stand below no site's present life, or are of a kind that is not shared. Pure. */
export function strangers(prefixes: ReadonlyArray<string>, there: Held): ReadonlyArray<string> {
  const kinds = new Set<string>(sharedKinds);
  return [...there.keys()].filter(
    (key) =>
      !prefixes.some(
        (prefix) => key.startsWith(prefix) && kinds.has(key.slice(prefix.length).split(".")[0] ?? ""),
      ),
  );
}

export const isEqual = ({ missing, extra, other }: Difference): boolean =>
  missing.length + extra.length + other.length === 0;

const some = (keys: ReadonlyArray<string>): string => keys.slice(0, 4).join(", ");

/** In words, empty when there is nothing to say. Pure. */
export function told({ site, missing, extra, other }: Difference): ReadonlyArray<string> {
  return [
    ...(missing.length > 0
      ? [`${missing.length} keys of ${site} are not at the supernode: ${some(missing)}`]
      : []),
    ...(extra.length > 0
      ? [`${extra.length} keys of ${site} stand at the supernode and no longer at the site: ${some(extra)}`]
      : []),
    ...(other.length > 0
      ? [`${other.length} keys of ${site} are older at the supernode: ${some(other)}`]
      : []),
  ];
}

/** What of a site is compared. */
export interface ComparedSite {
  readonly name: string;
  /** Of its keys at the supernode. */
  readonly prefix: string;
  readonly cluster: { readonly nats: NatsService };
}

/** What differs now, in words; empty when all is equal at every server of the supernode. */
async function differences(
  hub: Hub,
  sites: ReadonlyArray<ComparedSite>,
): Promise<{ readonly words: ReadonlyArray<string>; readonly keys: number }> {
  if (!(await hub.isWhole()))
    return { words: ["stuck: not every server of the supernode holds all"], keys: 0 };
  const there = await hub.one(atSupernode);
  const prefixes = sites.map(({ prefix }) => prefix);
  const foreign = strangers(prefixes, there);
  const words =
    foreign.length === 0 ? [] : [`twice: ${foreign.length} keys of no site's present life: ${some(foreign)}`];
  for (const { name, prefix, cluster } of sites) {
    const difference = differenceOf(name, prefix, await atSite(cluster.nats), there);
    if (!isEqual(difference)) words.push(...told(difference));
  }
  return { words, keys: there.size };
}

export interface Compared {
  /** What still differed when it was looked at last; empty: nothing. */
  readonly words: ReadonlyArray<string>;
  /** Keys at the supernode. */
  readonly keys: number;
  readonly ms: number;
}

const lookEveryMs = 500;

/** Looks again until the supernode holds what the sites hold, at most for so long. The sites must be at rest. */
export async function lookUntilEqual(
  hub: Hub,
  sites: ReadonlyArray<ComparedSite>,
  withinMs: number,
): Promise<Compared> {
  const began = performance.now();
  for (;;) {
    const found = await differences(hub, sites).catch((cause: unknown) => ({
      words: [`stuck: not compared: ${String(cause)}`],
      keys: 0,
    }));
    const ms = performance.now() - began;
    if (found.words.length === 0 || ms > withinMs) return { ...found, ms };
    await sleep(lookEveryMs);
  }
}
