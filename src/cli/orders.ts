/** `orrery hold`, `release`, `force` and `retry`: what an operator decides about a job or one of its partitions, recorded. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { randomBytes } from "node:crypto";
import { getUnsafe, scanUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { recordHistoryMax } from "../limits.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { NeedsAnswer } from "../protocol/operatorQuestions.ts";
import type { Order } from "../protocol/orders.ts";
import { decodeOrder, orderKey, ordersFilter } from "../protocol/orders.ts";
import { encodeJson, recordVersion } from "../protocol/records.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, no, ofCause } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import type { MissionLink } from "./mission.ts";
import { askJobs, jobNamed, openMission, partitionNamed } from "./mission.ts";
import { operator } from "./operator.ts";
import { harmless } from "./words.ts";

/** `recall` is `release --asked`. */
export type OrderVerb = "hold" | "release" | "force" | "retry" | "recall";

export interface OrderOptions {
  readonly site: string | null;
  readonly job: string;
  /** null: all partitions; only hold and release know that. */
  readonly partition: string | null;
  readonly note: string | null;
  readonly json: boolean;
}

const tries = 5;
const commitDeadlineMs = 5_000;

export const order = (
  io: IoService,
  verb: OrderVerb,
  options: OrderOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const link = yield* openMission(io, options.site);
    const job = yield* jobNamed(link, options.job);
    if (options.partition === null && verb !== "hold" && verb !== "release") {
      return yield* misused(
        verb === "recall"
          ? "release --asked needs a partition: a reprocessing is taken back by orrery reprocessing cancel"
          : `${verb} needs a partition: a whole job is made anew by orrery reprocess ${job.name}`,
      );
    }
    const partition = options.partition === null ? "" : yield* partitionNamed(job, options.partition);
    const said = { at: new Date(link.nats.now()).toISOString(), by: operator(), note: options.note ?? "" };
    const written = yield* Effect.tryPromise({
      try: () => write(link.nats, job.name, partition, verb, said),
      catch: ofCause,
    });
    if (written === null) return yield* no("nothing was asked of it that could be taken back");
    if (options.json) {
      sayJson(io, written);
      return undefined;
    }
    say(io, `${job.name}${partition === "" ? "" : ` ${partition}`}: ${wordsOf(verb, partition)}`);
    for (const line of yield* beside(link, verb, job.name, partition)) say(io, harmless(line));
    return undefined;
  });

const heldPartitionsToldMax = 5;

/** What stands in the way of what was asked, and was asked by somebody before: not to be found out by waiting. */
const beside = (
  link: MissionLink,
  verb: OrderVerb,
  job: string,
  partition: string,
): Effect.Effect<ReadonlyArray<string>, CommandFailed> =>
  Effect.gen(function* () {
    if (verb === "hold" || verb === "recall") return [];
    const orders = yield* ordersOf(link.nats, job);
    const [whole] = orders.flatMap((one) => (one.partition === "" ? [one.hold] : []));
    const lines: Array<string> = [];
    if (partition !== "" && whole != null && verb !== "force") {
      lines.push(
        `The whole job is still held, by ${whole.by} at ${whole.at}${noteOf(whole)}: orrery release ${job}`,
      );
    }
    const own = orders.find((one) => one.partition === partition)?.hold ?? null;
    if (verb === "retry" && own !== null) {
      lines.push(`It is held, by ${own.by} at ${own.at}${noteOf(own)}: orrery release ${job} ${partition}`);
    }
    const held = orders.filter((one) => one.partition !== "" && one.hold !== null);
    if (verb === "release" && partition === "" && held.length > 0) {
      const names = held.slice(0, heldPartitionsToldMax).map((one) => one.partition);
      const more = held.length - names.length;
      lines.push(
        `Held by themselves: ${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}: orrery release ${job} PARTITION`,
      );
    }
    if (verb === "force") lines.push(...(yield* lacking(link, job, partition)));
    return lines;
  });

const noteOf = ({ note }: { readonly note: string }): string => (note === "" ? "" : ` (${note})`);

/** All that stand of a job and its partitions. */
const ordersOf = (nats: NatsService, job: string): Effect.Effect<ReadonlyArray<Order>, CommandFailed> => {
  const orders: Array<Order> = [];
  return Effect.tryPromise({
    try: async () => {
      await scanUnsafe(nats, ledgerBucket, [ordersFilter(job)], (entry) => {
        orders.push(decodeOrder(entry.key, entry.data));
      });
      return orders;
    },
    catch: ofCause,
  });
};

const lacksToldMax = 3;

/** Of a partition that is forced: what it waits for all the same. Nothing where nobody answers: the order stands all the same. */
const lacking = (link: MissionLink, job: string, partition: string): Effect.Effect<ReadonlyArray<string>> =>
  askJobs<NeedsAnswer>(link, "needs", { job, partition }).pipe(
    Effect.map(({ complete, inputs }) => {
      if (complete) return [];
      const lacks = inputs.flatMap(({ required, lack }) => (required && lack !== null ? [lack] : []));
      const shown = lacks.slice(0, lacksToldMax).join("; ");
      const more = lacks.length > lacksToldMax ? `; and ${lacks.length - lacksToldMax} more` : "";
      return [
        `Not all of its inputs are there${shown === "" ? "" : `: ${shown}${more}`}. orrery release ${job} ${partition} --asked takes this back`,
      ];
    }),
    Effect.orElseSucceed(() => []),
  );

function wordsOf(verb: OrderVerb, partition: string): string {
  switch (verb) {
    case "hold":
      return `held; nothing of ${partition === "" ? "the job" : "it"} is started until orrery release`;
    case "release":
      return "released";
    case "recall":
      return "what was asked of it is taken back; a run of it that has begun goes on";
    case "force":
      return "is made now, once, past whatever else it waits for, if its inputs are there; else as soon as they are";
    case "retry":
      return "is made anew as soon as its inputs are there";
  }
}

type Said = Pick<NonNullable<Order["hold"]>, "at" | "by" | "note">;

/**
 * Read, changed and written with the revision that was read: two operators at once do not lose one another's word. Null where there is
 * nothing to take back.
 */
async function write(
  nats: NatsService,
  job: string,
  partition: string,
  verb: OrderVerb,
  said: Said,
): Promise<Order | null> {
  const key = orderKey(job, partition);
  for (let attempt = 0; attempt < tries; attempt++) {
    const entry = await getUnsafe(nats, ledgerBucket, key);
    const before: Order | null = entry === null || entry.ended ? null : decodeOrder(key, entry.data);
    // Nothing is written of what is not there.
    if (verb === "recall" && (before?.again ?? null) === null) return null;
    const next = changed(
      before ?? { v: recordVersion, job, partition, hold: null, again: null, history: [] },
      verb,
      said,
    );
    const answer = await commitUnsafe(
      nats,
      "write an order",
      [ledgerPut(key, encodeJson(next), entry?.revision ?? 0)],
      commitDeadlineMs,
    );
    if (!("_tag" in answer)) return next;
    if (answer._tag !== "TransactionConflict") throw answer;
  }
  throw failed("somebody else changes the same order all the time; try again");
}

function changed(before: Order, verb: OrderVerb, said: Said): Order {
  const history = [...before.history, { ...said, what: verb }].slice(-recordHistoryMax);
  switch (verb) {
    case "hold":
      return { ...before, hold: said, history };
    case "release":
      return { ...before, hold: null, history };
    case "recall":
      return { ...before, again: null, history };
    default: {
      const id = `${verb}-${said.at}-${randomBytes(3).toString("hex")}`;
      return { ...before, again: { ...said, id, now: verb === "force" }, history };
    }
  }
}
