/** `orrery hold`, `release`, `force` and `retry`: what an operator decides about a job or one of its partitions, recorded. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { randomBytes } from "node:crypto";
import { getUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { recordHistoryMax } from "../limits.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { Order } from "../protocol/orders.ts";
import { decodeOrder, orderKey } from "../protocol/orders.ts";
import { encodeJson, recordVersion } from "../protocol/records.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, ofCause } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import { jobNamed, openMission, partitionNamed } from "./mission.ts";
import { operator } from "./operator.ts";

export type OrderVerb = "hold" | "release" | "force" | "retry";

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
    if (options.partition === null && (verb === "force" || verb === "retry")) {
      return yield* misused(
        `${verb} needs a partition: a whole job is made anew by orrery reprocess ${job.name}`,
      );
    }
    const partition = options.partition === null ? "" : yield* partitionNamed(job, options.partition);
    const said = { at: new Date(link.nats.now()).toISOString(), by: operator(), note: options.note ?? "" };
    const written = yield* Effect.tryPromise({
      try: () => write(link.nats, job.name, partition, verb, said),
      catch: ofCause,
    });
    if (options.json) sayJson(io, written);
    else say(io, `${job.name}${partition === "" ? "" : ` ${partition}`}: ${wordsOf(verb, partition)}`);
    return undefined;
  });

function wordsOf(verb: OrderVerb, partition: string): string {
  switch (verb) {
    case "hold":
      return `held; nothing of ${partition === "" ? "the job" : "it"} is started until orrery release`;
    case "release":
      return "released";
    case "force":
      return "is made now, once, past whatever else it waits for, if its inputs are there; else as soon as they are";
    case "retry":
      return "is made anew as soon as its inputs are there";
  }
}

type Said = Pick<NonNullable<Order["hold"]>, "at" | "by" | "note">;

/** Read, changed and written with the revision that was read: two operators at once do not lose one another's word. */
async function write(
  nats: NatsService,
  job: string,
  partition: string,
  verb: OrderVerb,
  said: Said,
): Promise<Order> {
  const key = orderKey(job, partition);
  for (let attempt = 0; attempt < tries; attempt++) {
    const entry = await getUnsafe(nats, ledgerBucket, key);
    const before: Order | null = entry === null || entry.ended ? null : decodeOrder(key, entry.data);
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
    default: {
      const id = `${verb}-${said.at}-${randomBytes(3).toString("hex")}`;
      return { ...before, again: { ...said, id, now: verb === "force" }, history };
    }
  }
}
