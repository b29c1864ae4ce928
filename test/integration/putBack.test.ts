/** What has to come back comes back, whatever stands in the way of others: on a real server, with mailboxes of which one is amiss. */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { PutBackRule } from "../../src/actors/putBack.ts";
import type { ReclaimerNeeds } from "../../src/actors/reclaimer.ts";
import { reclaimerActor } from "../../src/actors/reclaimer.ts";
import { parseSite } from "../../src/config/loadSite.ts";
import type { ReclaimRules } from "../../src/jetstream/claims.ts";
import { getRecordUnsafe, getSlotUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { subjectCounts } from "../../src/jetstream/survey.ts";
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { commit, ledgerPut } from "../../src/jetstream/transaction.ts";
import { putBackPerTickMax, transactionMessagesMax } from "../../src/limits.ts";
import { mailboxesOf } from "../../src/node/mailboxes.ts";
import { encodeArrival } from "../../src/protocol/arrival.ts";
import type { Place } from "../../src/protocol/keys.ts";
import {
  arrivalsStream,
  arrivalSubject,
  claimKey,
  dueKey,
  noDay,
  objectTail,
  recordKey,
} from "../../src/protocol/keys.ts";
import type { ClaimSlot, DueRecord } from "../../src/protocol/records.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import { plainRecord } from "../support/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestNode } from "../support/testNode.ts";
import { testNode } from "../support/testNode.ts";

const lane = "files";
const day = "20260101";
const rules = { attemptsMax: 3, crashesAloneMax: 2, backoffBaseMs: 10, backoffMaxMs: 10 };
const subject = arrivalSubject(lane, "cam", day);

let server: TestNats;
let node: TestNode;
const running: Array<Fiber.Fiber<unknown, unknown>> = [];

beforeEach(async () => {
  server = await startNats({ topology: { lanes: [lane] } });
  node = testNode(await server.connect("reclaimer"));
});
afterEach(async () => {
  for (const fiber of running.splice(0)) await Effect.runPromise(Fiber.interrupt(fiber));
  await server.stop();
});

const placeOf = (mailbox: string, tail: string): Place => ({ mailbox, day, tail });
const dueNow = (place: Place, putBack: number | null = null): Write => {
  const due: DueRecord = { v: 1, notBefore: 0, generation: 1, putBack };
  return ledgerPut(dueKey(place), encodeJson(due));
};
const failing = (place: Place): Write =>
  ledgerPut(recordKey(place), encodeJson(plainRecord("failing", {}, { generation: 1 })));

async function write(writes: ReadonlyArray<Write>): Promise<void> {
  for (let at = 0; at < writes.length; at += transactionMessagesMax)
    await Effect.runPromise(commit(server.nats, "set up", writes.slice(at, at + transactionMessagesMax)));
}

const ruleOf = (consumer: string): PutBackRule => ({
  stream: arrivalsStream,
  consumer,
  message: ({ tail }) => ({ subject, messageId: `${tail}#1`, data: encodeJson(tail) }),
});

/** @param putBack rules of the mailboxes that there are */
async function start(
  putBack: (mailbox: string) => PutBackRule | null,
  reclaim: (mailbox: string) => ReclaimRules | null = () => null,
  more: { readonly nats?: NatsService; readonly retention?: ReclaimerNeeds["retention"] } = {},
): Promise<void> {
  const ready = Deferred.makeUnsafe<void>();
  const lease = {
    node: node.name,
    epoch: node.epoch,
    steadyMs: () => Number.POSITIVE_INFINITY,
    mayBelieveExpiry: () => true,
    renew: Effect.never,
  };
  const { nats = node.nats, retention = [] } = more;
  const needs = { lease, ownSlots: new Set<string>(), putBack, retention };
  running.push(
    Effect.runFork(
      reclaimerActor(
        { ...node, nats, reclaimRules: reclaim },
        needs,
        Effect.asVoid(Deferred.succeed(ready, undefined)),
      ),
    ),
  );
  await Effect.runPromise(Deferred.await(ready));
}

const putBackCount = async (): Promise<number> =>
  (await Effect.runPromise(subjectCounts(server.nats, arrivalsStream, subject))).get(subject) ?? 0;

it("what nobody here can put back, however much, takes no turn of what somebody can", async () => {
  const gone = Array.from({ length: putBackPerTickMax }, (_, i) => dueNow(placeOf("gone", `lane/${i}`)));
  const place = placeOf(lane, "bucket/key");
  await write([...gone, failing(place), dueNow(place)]);
  let asked = 0;
  await start((mailbox) => {
    if (mailbox === "gone") asked++;
    return mailbox === lane ? ruleOf(arrivalsConsumer(lane)) : null;
  });
  await expect.poll(putBackCount, { timeout: 10_000 }).toBe(1);
  // And nobody is kept busy by it: the next tick is soon enough.
  const before = asked;
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect((asked - before) / putBackPerTickMax).toBeLessThan(6);
});

it("a mailbox whose consumer is gone keeps only its own from coming back", async () => {
  const [amiss, well] = [placeOf("amiss", "bucket/1"), placeOf(lane, "bucket/2")];
  await write([failing(amiss), dueNow(amiss, 1), failing(well), dueNow(well)]);
  await start((mailbox) => ruleOf(mailbox === lane ? arrivalsConsumer(lane) : "ingest-amiss"));
  await expect.poll(putBackCount, { timeout: 10_000 }).toBe(1);
  expect(node.lines.some(({ message }) => message.includes("put back what is due"))).toBe(true);
});

it("what was put back into a stream that was made anew since is put back again", async () => {
  const place = placeOf(lane, "bucket/key");
  // As far as that stream had come, and this one will not for long.
  await write([failing(place), dueNow(place, 1_000_000)]);
  await start(() => ruleOf(arrivalsConsumer(lane)));
  await expect.poll(putBackCount, { timeout: 10_000 }).toBe(1);
  // It waits for its worker now, and is not put back once more.
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect(await putBackCount()).toBe(1);
});

it("a claim that cannot be taken back holds up no other", async () => {
  const claimed = (mailbox: string): ClaimSlot => ({
    v: 1,
    state: "claimed",
    id: `dead.${mailbox}.0`,
    epoch: "dead",
    since: "",
    items: [{ record: recordKey(placeOf(mailbox, "bucket/key")), etag: "e1", generation: 0, sequence: 1 }],
  });
  const [amiss, well] = ["amiss", lane].map((mailbox) => claimKey(mailbox, "dead", 0));
  if (amiss === undefined || well === undefined) throw new Error("two slots");
  await write([ledgerPut(amiss, encodeJson(claimed("amiss"))), ledgerPut(well, encodeJson(claimed(lane)))]);
  await start(
    () => ruleOf(arrivalsConsumer(lane)),
    (mailbox) => ({
      rules,
      bodyOf: () =>
        mailbox === lane ? Promise.resolve({}) : Promise.reject(new Error("nobody can read it")),
    }),
  );
  await expect
    .poll(async () => (await getSlotUnsafe(server.nats, well))?.slot.state, { timeout: 10_000 })
    .toBe("idle");
  expect((await getRecordUnsafe(server.nats, recordKey(placeOf(lane, "bucket/key"))))?.record.state).toBe(
    "failing",
  );
  expect((await getSlotUnsafe(server.nats, amiss))?.slot.state).toBe("claimed");
});

it("a purge of old days that takes its time holds up nothing that is due", async () => {
  const place = placeOf(lane, "bucket/key");
  await write([failing(place), dueNow(place)]);
  const purging = Deferred.makeUnsafe<void>();
  const { jsm } = node.nats;
  const never = (): Promise<never> => {
    Effect.runSync(Deferred.succeed(purging, undefined));
    return new Promise(() => undefined);
  };
  const streams = new Proxy(jsm.streams, {
    get: (of, name) => (name === "purge" ? never : Reflect.get(of, name)),
  });
  const slow = new Proxy(jsm, { get: (of, name) => (name === "streams" ? streams : Reflect.get(of, name)) });
  await start(() => ruleOf(arrivalsConsumer(lane)), undefined, {
    nats: { ...node.nats, jsm: slow },
    retention: [{ lane, days: 1, exposures: false }],
  });
  await Effect.runPromise(Deferred.await(purging));
  const later = placeOf(lane, "bucket/later");
  await write([failing(later), dueNow(later)]);
  await expect.poll(putBackCount, { timeout: 10_000 }).toBe(2);
});

it("an arrival under a number that was given out once more says nothing of who had it before", async () => {
  const text = `name: again\nlanes:\n  ${lane}: { kind: object, buckets: [raw], metadata: key }\n`;
  const { site } = await Effect.runPromise(parseSite(text, "test.yaml", { env: {} }));
  const arrival = (key: string, etag: string): Write => ({
    subject,
    data: encodeArrival({
      bucket: "raw",
      key,
      etag,
      size: 7,
      instrument: "-",
      day: noDay,
      generation: 0,
      via: "webhook",
      receivedAt: "",
    }),
  });
  await write([arrival("mine", "e1"), arrival("other", "e1"), arrival("mine", "e2")]);
  const rule = mailboxesOf(server.nats, site, []).reclaim(lane);
  if (rule === null) throw new Error("no rule");
  const place = { mailbox: lane, day: noDay, tail: objectTail("raw", "mine") };
  const bodies = await Promise.all(
    [1, 2, 3].map((sequence) =>
      rule.bodyOf(place, { record: recordKey(place), etag: "e1", generation: 0, sequence }),
    ),
  );
  expect(bodies).toMatchObject([
    { bucket: "raw", key: "mine", size: 7, via: "webhook" },
    { bucket: "raw", key: "mine", size: null, via: "unknown" },
    { bucket: "raw", key: "mine", size: null, via: "unknown" },
  ]);
});
