/** `actor`: a no-op claims actor as a user writes it, with a record for each item and with records of failures only. */
import { claimItemsMax } from "../../src/limits.ts";
import { itemsConsumer } from "../../src/jetstream/topology.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { pack } from "../../src/protocol/arrival.ts";
import { itemsStream, itemSubject } from "../../src/protocol/keys.ts";
import { store } from "../arrivals.ts";
import type { Turn } from "../compare.ts";
import { compare } from "../compare.ts";
import { drain, pause } from "../drain.ts";
import { rawStreams } from "../rawStreams.ts";
import type { Case, CaseOptions, Result } from "../result.ts";
import type { Program, Stage } from "../stage.ts";
import { withStage } from "../stage.ts";

const day = "2025-11-21";

function item(n: number, subject: string): Write {
  const etag = n.toString(16).padStart(16, "0");
  const body = { exposure: `MC_O_20251121_${n}`, detector: n % 189 };
  return { subject, data: pack({ v: 1, id: `item-${n}`, day, etag, generation: 0, body }) };
}

interface Kind {
  readonly records: "all" | "failures";
  readonly goal: number | null;
  readonly writes: string;
}

const kinds: ReadonlyArray<Kind> = [
  { records: "failures", goal: 40_000, writes: "slot → slot → acks: what is done leaves no record" },
  { records: "all", goal: null, writes: "slot → one atomic batch of the records and the slot → acks" },
];

async function one(stage: Stage, options: CaseOptions, node: Program, kind: Kind): Promise<Result> {
  const { nats } = stage;
  const items = claimItemsMax * (options.quick ? 40 : 100);
  const name = `noop-${kind.records}`;
  const plain = await rawStreams(nats, kind.records);
  const raw = await stage.start("rawWorker", [
    stage.natsUrl,
    plain.stream,
    plain.consumer,
    plain.bucket,
    String(claimItemsMax),
    kind.records === "all" ? "items" : "nothing",
  ]);
  let stored = 0;
  const turn = async (stream: string, consumer: string, subject: string): Promise<Turn> => {
    await pause(nats, stream, consumer);
    await store(
      nats,
      Array.from({ length: items }, () => item(stored++, subject)),
    );
    return { value: await drain(nats, stream, consumer), done: items };
  };
  const compared = await compare(
    name,
    options,
    options.quick ? 1 : 5,
    { program: raw, turn: () => turn(plain.stream, plain.consumer, plain.subject) },
    { program: node, turn: () => turn(itemsStream, itemsConsumer(name), itemSubject(name, day)) },
  );
  await raw.stop();
  return {
    name: `actor records:${kind.records}`,
    unit: "items/s",
    ...compared,
    goal: kind.goal === null ? "" : `≥ ${kind.goal} items/s`,
    goal_met: kind.goal === null || compared.ours >= kind.goal,
    note: `${items} items a round, one worker, batches of ${claimItemsMax}. raw: take → ${kind.writes}`,
  };
}

export const actor: Case = {
  name: "actor",
  run: (options) =>
    withStage(async (stage) => {
      const node = await stage.startNode({ name: "node", roles: ["reclaimer"], actors: "noop" });
      const results: Array<Result> = [];
      for (const kind of kinds) results.push(await one(stage, options, node, kind));
      return results;
    }),
};
