/**
 * `npm run chaos -- --receiver`: a receiver of webhooks that is well, away for a minute, and slow, beside a steady stream of exposures. Each
 * exposure must arrive, in order, and ingest must not notice.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { receiverConsumer } from "../../src/jetstream/topology.ts";
import { kvStream, ledgerBucket } from "../../src/protocol/keys.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import { Receiver } from "../support/receiver.ts";
import { Cluster } from "./cluster.ts";
import { percentile } from "./recovery.ts";
import { recordIn } from "./sender.ts";
import type { OutsideEvidence } from "./told.ts";
import { outOfOrder, toldWrongly } from "./told.ts";

export interface ReceiverSettings {
  /** How long the receiver is well, and how long it is slow. */
  readonly phaseMs: number;
  readonly downMs: number;
  /** Of each answer, while it is slow. */
  readonly slowMs: number;
}

export interface Phase {
  readonly name: string;
  readonly files: number;
  /** From the answer 200 to the settle, ms. */
  readonly p50: number;
  readonly p99: number;
  /** Files settled a second when many come at once. */
  readonly burstRate: number;
}

export interface ReceiverReport {
  readonly settings: ReceiverSettings;
  readonly phases: ReadonlyArray<Phase>;
  readonly exposures: number;
  readonly requests: number;
  /** From the receiver's return until the last exposure of its absence had arrived, ms. */
  readonly caughtUpMs: number;
  readonly wrong: ReadonlyArray<string>;
}

const lane = "raw";
const day = "20260101";
const filesEach = 20;
const everyMs = 400;
const burstFiles = 2_000;
const caughtUpMsMax = 60_000;
/** A stream beside which the receiver was well may be this much slower than another, on a machine that does other things too. */
const noticeableRatio = 2;
const noticeableMs = 50;

const siteText = (url: string, slowMs: number): string => `  ${lane}:
    kind: exposure
    buckets: [${lane}]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: key
webhooks:
  summit:
    url: ${url}
    timeout: ${slowMs * 2} ms
    backoffMax: 5 s
`;

class Stream {
  readonly #cluster: Cluster;
  /** By record: when its notification was answered, epoch ms. */
  readonly acceptedAt = new Map<string, number>();
  exposures = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async exposure(): Promise<ReadonlyArray<string>> {
    const name = `MC_O_${day}_${String(++this.exposures).padStart(6, "0")}`;
    const keys = Array.from({ length: filesEach }, (_, i) => {
      const detector = `R${String(Math.floor(i / 10)).padStart(2, "0")}_S0${i % 10}`;
      return `LSSTCam/${day}/${name}/${name}_${detector}.fits`;
    });
    const records = keys.map((key) => recordIn(lane, key));
    for (let at = 0; at < filesEach; at += 5) {
      const some = keys.slice(at, at + 5);
      await this.#cluster.sender.send(some.map((key) => ({ key, etag: "1", bucket: lane })));
      const now = Date.now();
      for (const key of some) this.acceptedAt.set(recordIn(lane, key), now);
    }
    return records;
  }
}

/** A steady stream for that long, then a burst; measured from the ledger's own times. */
async function phase(cluster: Cluster, stream: Stream, name: string, ms: number): Promise<Phase> {
  const records: Array<string> = [];
  const until = performance.now() + ms;
  while (performance.now() < until) {
    const [some] = await Promise.all([stream.exposure(), sleep(everyMs)]);
    records.push(...some);
  }
  await cluster.settled(records, 30_000);
  const settledAt = new Map<string, number>();
  for (const { key, at, value } of cluster.history.revisions) {
    if ((value as LedgerRecord | null)?.state === "known" && !settledAt.has(key)) settledAt.set(key, at);
  }
  // Settled before its sender had read the answer: 0.
  const latencies = records.map((record) =>
    Math.max(0, (settledAt.get(record) ?? Infinity) - (stream.acceptedAt.get(record) ?? 0)),
  );
  const began = performance.now();
  const burst = await Promise.all(Array.from({ length: burstFiles / filesEach }, () => stream.exposure()));
  await cluster.settled(burst.flat(), 60_000);
  return {
    name,
    files: records.length,
    p50: percentile(latencies, 0.5) ?? 0,
    p99: percentile(latencies, 0.99) ?? 0,
    burstRate: Math.round(burstFiles / ((performance.now() - began) / 1_000)),
  };
}

async function toldAll(cluster: Cluster, withinMs: number): Promise<number> {
  const began = performance.now();
  for (;;) {
    const info = await cluster.nats.jsm.consumers.info(kvStream(ledgerBucket), receiverConsumer("summit"));
    const left = info.num_pending + info.num_ack_pending;
    const took = performance.now() - began;
    if (left === 0) return took;
    if (took > withinMs) throw new Error(`${left} files are not told after ${withinMs} ms`);
    await sleep(50);
  }
}

/** What is noticeably worse than while the receiver was well. */
function slower(phases: ReadonlyArray<Phase>): ReadonlyArray<string> {
  const [well, ...others] = phases;
  if (well === undefined) return [];
  return others.flatMap((other) => [
    ...(other.p99 > well.p99 * noticeableRatio + noticeableMs
      ? [`slower: p99 ${other.p99} ms while the receiver was ${other.name}, ${well.p99} ms while it was well`]
      : []),
    ...(other.burstRate * noticeableRatio < well.burstRate
      ? [
          `slower: ${other.burstRate} files a second while the receiver was ${other.name}, ${well.burstRate} while it was well`,
        ]
      : []),
  ]);
}

export async function runReceiver(
  settings: ReceiverSettings,
  say: (line: string) => void,
): Promise<ReceiverReport> {
  const { phaseMs, downMs, slowMs } = settings;
  const receiver = await Receiver.start();
  const cluster = await Cluster.start({
    syncAlways: true,
    second: { lane, text: () => siteText(receiver.url, slowMs) },
  });
  try {
    await cluster.node("n0");
    const stream = new Stream(cluster);
    const phases: Array<Phase> = [];
    const measure = async (name: string, ms: number): Promise<void> => {
      const one = await phase(cluster, stream, name, ms);
      phases.push(one);
      say(
        `receiver ${name}: ${one.files} files, settled p50 ${one.p50} ms, p99 ${one.p99} ms; burst ${one.burstRate} files/s`,
      );
    };
    // What is compiled on the way is nobody's to be measured by.
    await stream.exposure();
    await measure("well", phaseMs);
    await toldAll(cluster, caughtUpMsMax);
    await receiver.down();
    await measure("down", downMs);
    await receiver.up();
    const caughtUpMs = await toldAll(cluster, caughtUpMsMax);
    say(`receiver up again: all told after ${Math.round(caughtUpMs)} ms`);
    receiver.behaviour = () => ({ status: 200, afterMs: slowMs });
    await measure("slow", phaseMs);
    receiver.behaviour = () => 200;
    await toldAll(cluster, caughtUpMsMax);
    const outside: OutsideEvidence = {
      ledger: await cluster.history.scan(["file.>"]),
      history: cluster.history.revisions,
      told: receiver.accepted,
      announced: new Map(),
      sent: new Map(),
      lookUps: [],
    };
    const told = toldWrongly(outside).filter((words) => !words.startsWith("presence"));
    return {
      settings,
      phases,
      exposures: stream.exposures,
      requests: receiver.accepted.length,
      caughtUpMs,
      wrong: [...told, ...outOfOrder(outside), ...slower(phases), ...(await cluster.check())],
    };
  } finally {
    await cluster.end();
    await receiver.down();
  }
}
