/** A node's lease where an answer never comes. */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { afterAll, beforeAll, expect, it } from "vitest";
import { acquireLease } from "../../src/jetstream/lease.ts";
import { getUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { publishUnsafe } from "../../src/jetstream/transaction.ts";
import { encodeToken, kvSubject, nodesBucket } from "../../src/protocol/keys.ts";
import { recordVersion } from "../../src/protocol/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { patienceMs, until } from "../support/testSite.ts";

let server: TestNats;
beforeAll(async () => {
  server = await startNats({ topology: {} });
});
afterAll(() => server.stop());

const name = "woken";
const describeNode = () => ({
  v: recordVersion,
  epoch: "1",
  startedAt: "",
  host: "elsewhere",
  pid: 1,
  version: "",
  site: "",
  actors: [],
  http: null,
  durability: "",
});

it("a node that wakes up without a lease has it again within seconds, also when its question went down with a server", async () => {
  const { nats } = server;
  const lost = { questions: 0, from: false };
  // What was asked on a connection whose server is gone is never answered.
  const deaf: NatsService = {
    ...nats,
    ask: (subject, ...rest) => {
      if (!lost.from || lost.questions > 0 || !subject.includes("STREAM.MSG.GET"))
        return nats.ask(subject, ...rest);
      lost.questions++;
      return new Promise((_, reject) => {
        setTimeout(() => reject(new Error("no answer")), 2 * patienceMs).unref();
      });
    },
  };
  const scope = Scope.makeUnsafe();
  const lease = await Effect.runPromise(Scope.provide(acquireLease(deaf, name, "1", describeNode), scope));
  lost.from = true;
  // As after a stop that was longer than the lease: a marker stands in its place.
  const subject = kvSubject(nodesBucket, encodeToken(name));
  await publishUnsafe(
    nats,
    "end it",
    { subject, data: new Uint8Array(), marker: true, ttlSeconds: 60 },
    5_000,
  );
  const renewing = Effect.runFork(lease.renew);
  try {
    await until(
      () => getUnsafe(nats, nodesBucket, encodeToken(name)),
      (entry) => entry !== null && !entry.ended,
    );
    expect(lost.questions).toBe(1);
  } finally {
    await Effect.runPromise(Fiber.interrupt(renewing));
    await Effect.runPromise(Scope.close(scope, Exit.void));
  }
});
