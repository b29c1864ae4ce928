/**
 * Compares what the supernode has of a site, key by key, with what the site has, and drops what the site has no more: keys whose end
 * never came, because the site lost the end itself (a purge, a restored backup).
 *
 * First days are compared by count and digest, on both sides in one listing each; keys are held in memory only of days that differ.
 * The supernode is read first: what is there then and not at the site afterwards is gone, whatever else comes meanwhile.
 */
import { hash } from "node:crypto";
import { DeliverPolicy } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import {
  dropShareMax,
  reconcileDropsMax,
  reconcileGroupsMax,
  reconcileNamedMax,
  siteComparedMsMax,
} from "../limits.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import { JetStreamRejected } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import { lifeSubjects, sharedKinds, sitesBucket } from "../protocol/sites.ts";
import { listUnsafe } from "./listing.ts";
import type { NatsService } from "./Nats.ts";
import { endOfSiteUnsafe } from "./siteEnd.ts";
import type { SiteKey } from "./siteListing.ts";
import { listSiteUnsafe } from "./siteListing.ts";
import type { SourcedSite } from "./sitesBucket.ts";
import { drop, isEnd, lastOf, originOf } from "./sitesDrop.ts";
import { unavailable } from "./wire.ts";

type Difference = "gone" | "missing" | "differs";

export interface Reconciled {
  readonly site: string;
  readonly epoch: string;
  /** Keys of the site at the supernode, and at the site itself; markers of ended ones are keys. */
  readonly here: number;
  readonly there: number;
  /** At the supernode only: dropped, unless only looked. */
  readonly gone: number;
  readonly dropped: number;
  /** Of the site, and not here yet. */
  readonly behind: number;
  /** Should be here by what came since, and are not: only a new life of the site mends that. */
  readonly missing: number;
  readonly differs: number;
  /** Some of the keys that are gone, missing or differ. */
  readonly named: ReadonlyArray<{ readonly key: string; readonly is: Difference }>;
  /** More would go than a site loses by itself, or it is not as it was sourced: nothing was dropped. */
  readonly refused: boolean;
  /** Its ledger ends before what came of it: this is another life, as after a restore, and nothing of the one that is here is dropped. */
  readonly wentBack: boolean;
}

export interface ReconcileOptions {
  /** Drops nothing. */
  readonly lookOnly?: boolean;
  /** Drops also where most of a site would go, and where keys are missing or differ; never of a site whose ledger went back. */
  readonly evenMost?: boolean;
}

const kinds: ReadonlySet<string> = new Set(sharedKinds);

/** Throws for a key that a site was not asked for: it could send as many kinds as it likes. */
function checkKind(key: string): void {
  const kind = key.slice(0, key.indexOf("."));
  if (!kinds.has(kind)) throw new Error(`${kind.slice(0, 40)} is no kind of key that is shared`);
}

/** Keys of one kind and day, or of one kind where there are too many days. */
class Days {
  readonly #sums = new Map<string, { count: number; digest: bigint }>();
  count = 0;

  add(key: string, origin: number): void {
    const [kind = "", , day] = key.split(".", 3);
    let group = day === undefined || kind === "purged" ? `${kind}.>` : `${kind}.*.${day}.>`;
    if (!this.#sums.has(group) && this.#sums.size >= reconcileGroupsMax) group = `${kind}.>`;
    const sum = this.#sums.get(group) ?? { count: 0, digest: 0n };
    sum.count++;
    sum.digest ^= BigInt(`0x${hash("sha1", `${key} ${origin}`).slice(0, 16)}`);
    this.#sums.set(group, sum);
    this.count++;
  }

  /** Filters of what differs. */
  differing(other: Days): ReadonlyArray<string> {
    const groups = new Set([...this.#sums.keys(), ...other.#sums.keys()]);
    return [...groups].filter((group) => {
      const [a, b] = [this.#sums.get(group), other.#sums.get(group)];
      return a?.count !== b?.count || a?.digest !== b?.digest;
    });
  }
}

interface Here {
  readonly sequence: number;
  readonly origin: number;
  readonly ended: boolean;
}

async function listHere(
  nats: NatsService,
  prefix: string,
  filter: string,
  each: (key: string, here: Here) => void,
): Promise<void> {
  await listUnsafe(
    nats,
    kvStream(sitesBucket),
    { deliver_policy: DeliverPolicy.All, filter_subject: prefix + filter, headers_only: true },
    ({ message, sequence }) => {
      const { headers, subject } = message;
      each(subject.slice(prefix.length), { sequence, origin: originOf(headers) ?? 0, ended: isEnd(headers) });
    },
  );
}

interface Found {
  /** Filter → the keys below it that are to be dropped. All of the filter, where the site has nothing there. */
  readonly drops: Map<string, { readonly keys: Map<string, Here>; readonly whole: boolean }>;
  readonly named: Array<{ readonly key: string; readonly is: Difference }>;
  readonly counts: Record<Difference | "behind", number>;
}

/** Key by key, of one kind and day. @param position up to where the site's ledger has come */
async function compareKeys(
  nats: NatsService,
  { name, prefix, until }: { readonly name: string; readonly prefix: string; readonly until: number },
  filter: string,
  position: number,
  found: Found,
): Promise<void> {
  const note = (key: string, is: Difference): void => {
    found.counts[is]++;
    if (found.named.length < reconcileNamedMax) found.named.push({ key, is });
  };
  const here = new Map<string, Here>();
  await listHere(nats, prefix, filter, (key, at) => void here.set(key, at));
  const gone = new Map<string, Here>();
  let there = 0;
  const each = ({ key, sequence, ended }: SiteKey): void => {
    there++;
    const held = here.get(key);
    here.delete(key);
    if (held?.origin === sequence) return;
    if (sequence > position) found.counts.behind++;
    else if (held === undefined) {
      // A key that has ended is as good as one that is not there.
      if (!ended) note(key, "missing");
    } else if (ended && !held.ended) gone.set(key, held);
    else note(key, "differs");
  };
  await listSiteUnsafe(nats, name, [filter], each, { until });
  for (const [key, held] of here) gone.set(key, held);
  for (const key of gone.keys()) note(key, "gone");
  if (gone.size > 0) found.drops.set(filter, { keys: gone, whole: there === 0 });
}

const dropsAtOnce = 16;

const dropGone = (
  nats: NatsService,
  prefix: string,
  { drops }: Found,
): Effect.Effect<number, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    let dropped = 0;
    const single: Array<readonly [string, Here]> = [];
    for (const [filter, { keys, whole }] of drops) {
      if (whole) {
        let last = 0;
        for (const { sequence } of keys.values()) last = Math.max(last, sequence);
        dropped += yield* drop(nats, prefix + filter, last);
        continue;
      }
      for (const each of keys) if (single.length < reconcileDropsMax) single.push(each);
    }
    const counts = yield* Effect.forEach(
      single,
      ([key, { sequence }]) => drop(nats, prefix + key, sequence),
      { concurrency: dropsAtOnce },
    );
    return dropped + counts.reduce((sum, count) => sum + count, 0);
  });

const asError =
  (operation: string) =>
  (cause: unknown): NatsUnavailable | JetStreamRejected =>
    cause instanceof JetStreamRejected ? cause : unavailable(operation)(cause);

interface Compared extends Found {
  readonly here: number;
  readonly there: number;
  readonly wentBack: boolean;
}

const compare = (
  nats: NatsService,
  { name, epoch }: SourcedSite,
  until: number,
): Effect.Effect<Compared, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    const prefix = lifeSubjects(name, epoch).slice(0, -1);
    const position = (yield* lastOf(nats, `${prefix}>`))?.origin ?? 0;
    const [here, there] = [new Days(), new Days()];
    const found: Found = {
      drops: new Map(),
      named: [],
      counts: { gone: 0, missing: 0, differs: 0, behind: 0 },
    };
    const end = yield* Effect.tryPromise({
      try: async () => {
        await listHere(nats, prefix, ">", (key, { origin }) => here.add(key, origin));
        const filters = sharedKinds.map((kind) => `${kind}.>`);
        const each = ({ key, sequence }: SiteKey): void => {
          checkKind(key);
          there.add(key, sequence);
        };
        await listSiteUnsafe(nats, name, filters, each, { until });
        for (const filter of here.differing(there))
          await compareKeys(nats, { name, prefix, until }, filter, position, found);
        return endOfSiteUnsafe(nats, name);
      },
      catch: asError(`compare the ledger of ${name}`),
    });
    return { ...found, here: here.count, there: there.count, wentBack: end < position };
  });

/** Between two looks at what is not as it should be: what was only on its way has come by then. */
const lookAgainMs = 2_000;

/** Fails where the site is not reached. */
export const reconcile = (
  nats: NatsService,
  site: SourcedSite,
  options: ReconcileOptions = {},
): Effect.Effect<Reconciled, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    // For all of it: however many days differ, the other sites have their turn.
    const until = performance.now() + siteComparedMsMax;
    let found = yield* compare(nats, site, until);
    const isOther = ({ counts }: Found): boolean => counts.missing + counts.differs > 0;
    if (isOther(found) && !found.wentBack) {
      yield* Effect.sleep(lookAgainMs);
      found = yield* compare(nats, site, until);
    }
    const { counts, named, here, there, wentBack } = found;
    // Keys that are not what was sourced under the same sequences: whatever else is gone there may be gone with a former life only.
    const most = counts.gone > Math.max(reconcileNamedMax, here * dropShareMax);
    const refused = wentBack || ((most || (isOther(found) && counts.gone > 0)) && options.evenMost !== true);
    const prefix = lifeSubjects(site.name, site.epoch).slice(0, -1);
    const dropped = options.lookOnly === true || refused ? 0 : yield* dropGone(nats, prefix, found);
    return { site: site.name, epoch: site.epoch, here, there, ...counts, dropped, named, refused, wentBack };
  });
