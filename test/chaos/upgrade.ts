/**
 * A rolling upgrade under load: the nodes of a site are replaced by those of another version, one after the other, and back. What came of
 * it is told by the history checker, by who answered what to the sender, and field by field by what the versions left of each other's.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { unpack } from "../../src/protocol/arrival.ts";
import { readStreamUnsafe } from "../../src/jetstream/ledger.ts";
import { arrivalsStream, kvStream, ledgerBucket } from "../../src/protocol/keys.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import { drainMs } from "../../src/limits.ts";
import { promptly } from "../support/promptly.ts";
import type { Tried } from "./balancer.ts";
import { Balancer } from "./balancer.ts";
import type { Revision } from "./checker.ts";
import { Cluster } from "./cluster.ts";
import type { OtherVersion } from "./otherVersion.ts";
import { makeMisreadable, makeNext } from "./otherVersion.ts";

const shots = "shots";
const nodes = ["a", "b"] as const;
const filesEveryMs = 25;
const shotsEveryMs = 300;
const runSeconds = 0.6;
/** How long each batch is in the driver: whoever is told to end has one in hand. */
const delayMs = 60;

export interface UpgradeSettings {
  /** Times up and down again. */
  readonly rounds: number;
  /** Of load, between one node's coming back and the next one's going. */
  readonly betweenMs: number;
}

export interface UpgradeReport {
  readonly accepted: number;
  readonly runs: number;
  /** How each node that was told to end did so. */
  readonly ends: ReadonlyArray<string>;
  readonly failed: ReadonlyArray<Tried>;
  readonly triesMost: number;
  readonly msMost: number;
  /** Records that one version wrote over what the other had written, by their direction. */
  readonly overNext: number;
  readonly overThis: number;
  /** Arrivals that were put back with what the other version's front door had written into them. */
  readonly putBackWhole: number;
  /** What must not be. */
  readonly wrong: ReadonlyArray<string>;
}

const site = (folder: string): string => `  ${shots}:
    kind: exposure
    buckets: [${shots}]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: key
    backoffBase: 100 ms
    backoffMax: 500 ms
presence:
  instruments: [LSSTCam]
jobs:
  look:
    inputs: [{ lane: ${shots}, count: 1 }]
    command: [/bin/sh, -ec, 'sleep ${runSeconds}; echo "$ORRERY_EXPOSURE" >> ${folder}/looked.txt']
    timeLimit: 20 s
    workers: 3
`;

/** Kinds of plain files: some are tried again by whichever node comes next, some are bad. */
function nameOf(i: number): string {
  const kind = i % 3 === 1 ? "flaky" : i % 11 === 5 ? "bad" : "plain";
  return `20260101/${kind}-${i}.fits`;
}

interface Window {
  readonly node: string;
  readonly from: number;
  to: number;
}

class Upgrade {
  readonly cluster: Cluster;
  readonly balancer: Balancer;
  readonly next: OtherVersion;
  readonly ends: Array<string> = [];
  /** When a node was away: from being told to end to being ready again. */
  readonly windows: Array<Window> = [];
  /** Epochs of the processes of the next version. */
  readonly nextEpochs = new Set<string>();
  readonly epochs = new Set<string>();
  shotsSent = 0;

  constructor(cluster: Cluster, next: OtherVersion) {
    this.cluster = cluster;
    this.next = next;
    this.balancer = new Balancer(cluster.sender.accepted);
  }

  async start(node: string, isNext: boolean): Promise<void> {
    const process = isNext ? { program: this.next.program } : {};
    const started = await this.cluster.node(node, { delayMs, process });
    const { http, epoch } = await started.ready;
    (isNext ? this.nextEpochs : this.epochs).add(epoch);
    this.balancer.addresses.set(node, http);
  }

  async replace(node: string, isNext: boolean): Promise<void> {
    const window: Window = { node, from: Date.now(), to: Number.POSITIVE_INFINITY };
    this.windows.push(window);
    const how = await promptly("a drain", drainMs + 1_500, async () => this.cluster.nodes.get(node)?.term());
    this.ends.push(`${node}: ${how}`);
    await this.start(node, isNext);
    window.to = Date.now();
  }

  async load(over: AbortSignal): Promise<void> {
    const underWay = new Set<Promise<void>>();
    const failures: Array<unknown> = [];
    const send = (objects: Parameters<Balancer["send"]>[0]): void => {
      const sent: Promise<void> = this.balancer.send(objects).then(
        () => void underWay.delete(sent),
        (cause: unknown) => {
          underWay.delete(sent);
          failures.push(cause);
        },
      );
      underWay.add(sent);
    };
    const files = async (): Promise<void> => {
      for (let i = 0; !over.aborted; i += 2) {
        send([nameOf(i), nameOf(i + 1)].map((key) => ({ key, etag: "1" })));
        await sleep(filesEveryMs);
      }
    };
    const exposures = async (): Promise<void> => {
      for (; !over.aborted; this.shotsSent++) {
        const name = `MC_O_20260101_${String(this.shotsSent).padStart(6, "0")}`;
        send([{ bucket: shots, key: `LSSTCam/20260101/${name}/${name}_R22_S11.fits`, etag: "1" }]);
        await sleep(shotsEveryMs);
      }
    };
    await Promise.all([files(), exposures()]);
    await Promise.all(underWay);
    if (failures.length > 0) throw failures[0];
  }
}

/** What answered otherwise than 200 that a sender need not put up with. */
function unpardonable(of: Upgrade): ReadonlyArray<string> {
  const away = ({ node, from, to }: Tried): boolean =>
    of.windows.some((window) => window.node === node && window.from <= to && from <= window.to);
  return of.balancer.failed.flatMap((tried) => {
    const { node, status, why, retryAfter, from } = tried;
    const words = `${new Date(from).toISOString()} node ${node} answered ${status} ${why}`;
    const retryable =
      status === 503
        ? retryAfter !== null
        : status === 0 && /^(?:ECONNREFUSED|ECONNRESET|UND_ERR_SOCKET)$/.test(why);
    if (!retryable) return [`no answer to come again for: ${words}`];
    return away(tried) ? [] : [`refused while the node was there: ${words}`];
  });
}

type Grown = LedgerRecord<{ readonly weighed?: object; readonly beyond?: object }> & {
  readonly sealed?: { readonly times: number };
};

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Of each pair of writes by different versions: what the second left of the first's, field by field. */
function rewritten(of: Upgrade): { overNext: number; overThis: number; wrong: Array<string> } {
  const wrong: Array<string> = [];
  let [overNext, overThis] = [0, 0];
  const byKey = new Map<string, Array<Revision>>();
  for (const revision of of.cluster.history.revisions) {
    if (!/^(?:file|run)\./.test(revision.key) || revision.ended) continue;
    byKey.set(revision.key, [...(byKey.get(revision.key) ?? []), revision]);
  }
  const versionOf = ({ claim }: Grown): "next" | "this" | null => {
    const epoch = claim?.split(".")[0] ?? "";
    return of.nextEpochs.has(epoch) ? "next" : of.epochs.has(epoch) ? "this" : null;
  };
  for (const [key, revisions] of byKey) {
    for (let i = 1; i < revisions.length; i++) {
      const [before, after] = [revisions[i - 1]?.value as Grown, revisions[i]?.value as Grown];
      const [wrote, rewrote] = [versionOf(before), versionOf(after)];
      if (wrote === null || rewrote === null || before.claim === after.claim) continue;
      const words = `${key} at revision ${revisions[i]?.revision}: ${JSON.stringify(before)} became ${JSON.stringify(after)}`;
      if (rewrote === "this") {
        if (before.sealed === undefined) continue;
        overNext++;
        if (!same(after.sealed, before.sealed)) wrong.push(`a record's field was lost: ${words}`);
        if (!same(after.body.weighed, before.body.weighed)) wrong.push(`a body's field was lost: ${words}`);
        // What has none may get one: the next version puts back what this one announced.
        if (before.body.beyond !== undefined && !same(after.body.beyond, before.body.beyond))
          wrong.push(`an arrival's field was lost: ${words}`);
        if (after.v < before.v) wrong.push(`a record's version fell: ${words}`);
      } else if (key.startsWith("file.")) {
        overThis++;
        if (after.sealed?.times !== (before.sealed?.times ?? 0) + 1) {
          wrong.push(`what the next version counts does not add up: ${words}`);
        }
      }
    }
  }
  return { overNext, overThis, wrong };
}

/** Arrivals that were put back, beside the ones that came first: what another version wrote into those stands in them, too. */
async function putBack(of: Upgrade): Promise<{ whole: number; wrong: Array<string> }> {
  const told = new Map<string, unknown>();
  const wrong: Array<string> = [];
  let whole = 0;
  await readStreamUnsafe(of.cluster.nats, arrivalsStream, "arrive.>", ({ data, seq }) => {
    const arrival = unpack(data) as {
      readonly key: string;
      readonly generation: number;
      readonly told?: object;
    };
    if (arrival.generation === 0) told.set(arrival.key, arrival.told);
    else if (told.get(arrival.key) !== undefined) {
      if (same(arrival.told, told.get(arrival.key))) whole++;
      else wrong.push(`arrival ${seq} of ${arrival.key} was put back without what it came with`);
    }
  });
  return { whole, wrong };
}

/** Slots, kinds of records and metadata of the next version, which this one does not know. */
async function untouched(of: Upgrade): Promise<ReadonlyArray<string>> {
  const wrong: Array<string> = [];
  const paced = new Set<string>();
  for (const { key, value, revision } of of.cluster.history.revisions) {
    if (!key.startsWith("claim.")) continue;
    const has = (value as { readonly paced?: object }).paced !== undefined;
    if (has) paced.add(key);
    else if (paced.has(key)) wrong.push(`claim slot ${key} lost a field at revision ${revision}`);
  }
  if (paced.size === 0) wrong.push("no claim slot of the next version was seen");
  for (const node of nodes) {
    const census = of.cluster.history.latest.get(`census.${node}`);
    if (!same(census?.value, { v: 2, by: "next" }))
      wrong.push(`census.${node} is ${JSON.stringify(census?.value)}`);
  }
  const { config } = await of.cluster.nats.jsm.streams.info(kvStream(ledgerBucket));
  if (config.metadata?.["orrery.minor"] !== "1") {
    wrong.push(`the ledger's metadata lost a word: ${JSON.stringify(config.metadata)}`);
  }
  return wrong;
}

/** Each exposure has one run, which is done, was done once, and of which no drain was counted as a failure. */
function runsOf(of: Upgrade): { runs: number; wrong: Array<string> } {
  const wrong: Array<string> = [];
  const runs = [...of.cluster.history.latest.values()].filter(({ key }) => key.startsWith("run."));
  if (runs.length !== of.shotsSent) wrong.push(`${runs.length} runs of ${of.shotsSent} exposures`);
  const doneTimes = new Map<string, number>();
  for (const { key, value } of of.cluster.history.revisions) {
    if (key.startsWith("run.") && (value as LedgerRecord).state === "done") {
      doneTimes.set(key, (doneTimes.get(key) ?? 0) + 1);
    }
  }
  for (const { key, value } of runs) {
    const { state, attempts, crashes } = value as LedgerRecord;
    if (state !== "done" || attempts > 0 || crashes > 0) {
      wrong.push(`${key} is ${state} after ${attempts} failed attempts and ${crashes} crashes`);
    }
    if (doneTimes.get(key) !== 1) wrong.push(`${key} was done ${doneTimes.get(key) ?? 0} times`);
  }
  return { runs: runs.length, wrong };
}

export async function runUpgrade(
  { rounds, betweenMs }: UpgradeSettings,
  say: (line: string) => void = () => undefined,
): Promise<UpgradeReport> {
  const next = makeNext();
  let cluster: Cluster | null = null;
  try {
    cluster = await Cluster.start({
      // A flaky file fails once in each life of each node.
      lane: { attemptsMax: 50 },
      second: { lane: shots, text: (_, folder) => site(folder) },
    });
    const of = new Upgrade(cluster, next);
    for (const node of nodes) await of.start(node, false);
    const over = new AbortController();
    const load = of.load(over.signal);
    try {
      for (let round = 0; round < rounds; round++) {
        for (const isNext of [true, false]) {
          for (const node of nodes) {
            await sleep(betweenMs);
            await of.replace(node, isNext);
            say(
              `node ${node} is of ${isNext ? "the next" : "this"} version; ${of.balancer.accepted.length} accepted`,
            );
          }
        }
      }
      await sleep(betweenMs);
    } finally {
      over.abort();
      await load;
    }
    await cluster.rest(90_000);
    await runsAreOver(cluster);
    const { overNext, overThis, wrong } = rewritten(of);
    const arrivals = await putBack(of);
    const { runs, wrong: wrongRuns } = runsOf(of);
    return {
      accepted: of.balancer.accepted.length,
      runs,
      ends: of.ends,
      failed: of.balancer.failed,
      triesMost: of.balancer.triesMost,
      msMost: of.balancer.msMost,
      overNext,
      overThis,
      putBackWhole: arrivals.whole,
      wrong: [
        ...(await cluster.check()),
        ...unpardonable(of),
        ...wrong,
        ...arrivals.wrong,
        ...(await untouched(of)),
        ...wrongRuns,
      ],
    };
  } finally {
    await cluster?.end();
    next.remove();
  }
}

const runsAreOver = (cluster: Cluster): Promise<true> =>
  cluster.history.until("all runs are over", 90_000, () => {
    const jobs = [...cluster.history.latest.values()].filter(({ key }) => key.startsWith("job."));
    const shotsKnown = [...cluster.history.latest.keys()].filter((key) => key.startsWith("exposure.")).length;
    return (
      jobs.length === shotsKnown &&
      jobs.every(({ value }) => /^(?:done|failed)$/.test((value as { readonly state: string }).state))
    );
  });

export interface Refusals {
  /** Of a program that would raise the format beside a node of before, and of one of before after it was raised: exit code and reason. */
  readonly beside: readonly [ended: unknown, why: string];
  readonly after: readonly [ended: unknown, why: string];
}

/** Two versions that may not share a ledger: each is refused where the other is, or was. */
export async function runIncompatible(): Promise<Refusals> {
  const misreadable = makeMisreadable();
  let cluster: Cluster | null = null;
  try {
    cluster = await Cluster.start();
    const { program } = misreadable;
    const why = (name: string): string => {
      const last = cluster?.log(name).findLast(({ message }) => message.startsWith("the node did not start"));
      return last?.message ?? "";
    };
    const old = await cluster.node("old");
    const beside = await cluster.launch("new", { process: { program } }).ended;
    const whyBeside = why("new");
    await old.term();
    const raised = await cluster.node("new", { process: { program } });
    await raised.term();
    const after = await cluster.launch("old").ended;
    return { beside: [beside, whyBeside], after: [after, why("old")] };
  } finally {
    await cluster?.end();
    misreadable.remove();
  }
}
