/** Cancels a run: what nobody has in hand is parked at once, of the rest its runner is asked. */
import { writesOf } from "../jetstream/claims.ts";
import { getRecordUnsafe, getSlotUnsafe } from "../jetstream/ledger.ts";
import type { Held } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Write } from "../jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../jetstream/transaction.ts";
import { placeOfRecordKey } from "../protocol/keys.ts";
import { settle } from "../protocol/lifecycle.ts";
import { encodeJson, isTerminal } from "../protocol/records.ts";
import type { State } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { cancelledReason } from "../protocol/runs.ts";
import { endsReady } from "./runSource.ts";

export type Cancelled =
  /** Nobody had it: it is parked. */
  | { readonly type: "parked" }
  /** Its command runs: the node ends it and parks it. */
  | { readonly type: "asked"; readonly node: string }
  | { readonly type: "over"; readonly state: State }
  | { readonly type: "unknown" };

/** A run that keeps changing under the hand is given up on after so many tries. */
const triesMax = 5;
const writeDeadlineMs = 5_000;

/**
 * @param key ledger key of the run
 * @param by who cancels it, and why: both are kept. Rejects while NATS is away.
 */
export async function cancelRun(
  nats: NatsService,
  key: string,
  by: string,
  note: string,
): Promise<Cancelled> {
  for (let tries = 0; tries < triesMax; tries++) {
    const held = await getRecordUnsafe<RunBody>(nats, key);
    if (held === null) return { type: "unknown" };
    const { state, body } = held.record;
    if (isTerminal(state)) return { type: "over", state };
    const node = await runningOn(nats, held);
    const cancel = { at: new Date(nats.now()).toISOString(), by, note };
    const writes =
      node === null
        ? parks(nats, held, cancel)
        : [ledgerPut(key, encodeJson({ ...held.record, body: { ...body, cancel } }), held.revision)];
    const answer = await commitUnsafe(nats, "cancel a run", writes, writeDeadlineMs);
    if (!("_tag" in answer)) return node === null ? { type: "parked" } : { type: "asked", node };
    if (answer._tag !== "TransactionConflict") throw answer;
  }
  throw new Error(`${key} changes all the time; try again`);
}

/** The node that has the run in hand; null where none has. */
async function runningOn(nats: NatsService, { record }: Held<RunBody>): Promise<string | null> {
  const { started } = record.body;
  if (started === null || started.generation !== record.generation) return null;
  const slot = (await getSlotUnsafe(nats, started.slot))?.slot;
  return slot?.state === "claimed" && slot.id === started.claim ? started.node : null;
}

/** A worker that has taken it meanwhile, and not begun, finds the record changed and leaves it. */
function parks(
  nats: NatsService,
  { key, record, revision }: Held<RunBody>,
  cancel: NonNullable<RunBody["cancel"]>,
): ReadonlyArray<Write> {
  const place = placeOfRecordKey(key);
  if (place === null) return [];
  const { by, note } = cancel;
  const { cancel: _older, ...body } = record.body;
  const subject = {
    place,
    etag: record.etag,
    generation: record.generation,
    before: record,
    body: record.body,
    alone: true,
  };
  const settlement = settle<RunBody>(
    subject,
    {
      type: "permanent",
      reason: cancelledReason,
      detail: `by ${by}${note === "" ? "" : `: ${note}`}`,
      body: { ...body, started: null },
    },
    { attemptsMax: 1, crashesAloneMax: 1, backoffBaseMs: 1, backoffMaxMs: 1 },
    { now: nats.now(), random: 0, node: by, claim: record.claim },
    "done",
  );
  return [...writesOf(key, revision, settlement), endsReady(place, record.generation, record)];
}
