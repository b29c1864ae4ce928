/** `reclaim`: one of two nodes is killed -9 with a batch in hand, until the other has settled all of it. */
import { nodeLeaseMs } from "../../src/limits.ts";
import { getManyUnsafe, getSlotUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { pack } from "../../src/protocol/arrival.ts";
import { claimKey, itemMailbox, itemSubject, ledgerBucket } from "../../src/protocol/keys.ts";
import { decodeRecord } from "../../src/protocol/records.ts";
import { store } from "../arrivals.ts";
import type { Case, Round } from "../result.ts";
import { ofRounds, percentile, round } from "../result.ts";
import type { Stage } from "../stage.ts";
import { withStage } from "../stage.ts";

const goalMs = 3_000;
const actor = "hold";
const day = "2025-11-21";
const pollMs = 5;
const waitMsMax = 20_000;

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, pollMs));

function items(from: number, count: number): ReadonlyArray<Write> {
  return Array.from({ length: count }, (_, i) => {
    const id = `item-${from + i}`;
    return {
      subject: itemSubject(actor, day),
      data: pack({ v: 1, id, day, etag: "0", generation: 0, body: null }),
    };
  });
}

/** Sends until the victim has something in hand. @returns the records that it holds */
async function inHand(
  nats: NatsService,
  victim: string,
  send: () => Promise<void>,
): Promise<ReadonlyArray<string>> {
  const slotKey = claimKey(itemMailbox(actor), victim, 0);
  const until = performance.now() + waitMsMax;
  for (let looks = 0; performance.now() < until; looks++) {
    if (looks % 50 === 0) await send();
    const found = await getSlotUnsafe(nats, slotKey);
    if (found?.slot.state === "claimed") return found.slot.items.map(({ record }) => record);
    await pause();
  }
  throw new Error(`${victim} took nothing`);
}

async function untilSettled(nats: NatsService, records: ReadonlyArray<string>): Promise<void> {
  let left = records;
  const until = performance.now() + waitMsMax;
  while (left.length > 0) {
    if (performance.now() > until) throw new Error(`${left.length} of ${records.length} were never settled`);
    const entries = await getManyUnsafe(nats, ledgerBucket, left);
    left = left.filter((key, i) => {
      const entry = entries[i];
      return entry == null || decodeRecord(key, entry.data).state !== "done";
    });
    if (left.length > 0) await pause();
  }
}

async function oneKill(stage: Stage, n: number, say: (line: string) => void): Promise<number> {
  const victim = `victim-${n}`;
  const node = await stage.startNode({
    name: victim,
    roles: ["reclaimer"],
    actors: actor,
    env: { HOLD: "1" },
  });
  let sent = n * 100_000;
  const records = await inHand(stage.nats, victim, async () => {
    await store(stage.nats, items(sent, 100));
    sent += 100;
  });
  const killed = performance.now();
  node.kill();
  await untilSettled(stage.nats, records);
  const ms = performance.now() - killed;
  say(
    `  reclaim round ${n + 1}: ${records.length} items in hand, all settled elsewhere after ${Math.round(ms)} ms`,
  );
  return ms;
}

export const reclaim: Case = {
  name: "reclaim",
  run: ({ quick, say }) =>
    withStage(async (stage) => {
      await stage.startNode({ name: "survivor", roles: ["reclaimer"], actors: actor });
      const times: Array<number> = [];
      for (let n = 0; n < (quick ? 2 : 5); n++) times.push(await oneKill(stage, n, say));
      const rounds = times.map((ours): Round => ({ ours, raw: null }));
      const longest = Math.max(...times);
      return [
        {
          name: "reclaim",
          unit: "ms",
          ...ofRounds(rounds),
          goal: `< ${goalMs} ms, each time`,
          goal_met: longest < goalMs,
          p50_ms: percentile(times, 0.5),
          p99_ms: round(longest, 2),
          raw_p50_ms: null,
          raw_p99_ms: null,
          cpu_us: null,
          raw_cpu_us: null,
          note:
            `two node processes, kill -9 of one; p99 is the longest of ${times.length} rounds. A node's lease lives ` +
            `${nodeLeaseMs} ms. raw: none, JetStream alone only delivers again after ack_wait`,
        },
      ];
    }),
};
