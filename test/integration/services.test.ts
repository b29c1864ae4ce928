import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ServiceActor } from "../../src/jetstream/services.ts";
import { readServiceSubject, registerActors } from "../../src/jetstream/services.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";

const actor = (more: Partial<ServiceActor>): ServiceActor => ({
  name: "presence",
  id: "node-1-presence",
  version: "0.1.0",
  description: "Is it here?",
  metadata: { node: "node-1", behaviour: "replies" },
  startedAt: new Date("2026-01-02T03:04:05.678Z"),
  endpoints: [
    {
      name: "lookup",
      subject: "orrery.presence",
      queueGroup: "presence",
      requests: 4,
      errors: 1,
      lastError: "none",
      processingMs: 2,
      data: { groups: 7 },
    },
  ],
  ...more,
});

const identity = {
  name: "presence",
  id: "node-1-presence",
  version: "0.1.0",
  metadata: { node: "node-1", behaviour: "replies" },
};

let nats: TestNats;
const scope = Scope.makeUnsafe();
let actors: ReadonlyArray<ServiceActor> = [];
beforeAll(async () => {
  nats = await startNats({ topology: null });
  const node = await nats.connect("node");
  await Effect.runPromise(
    Scope.provide(
      registerActors(node, () => [...actors, actor({ name: "end" })]),
      scope,
    ),
  );
});
afterAll(() => nats.stop());

/** Every answer that comes before the one to a question that is asked right after it. */
async function discover(subject: string): Promise<ReadonlyArray<unknown>> {
  const answers: Array<{ readonly name: string }> = [];
  const inbox = `_INBOX.test.${Math.random().toString(36).slice(2)}`;
  const last = Promise.withResolvers<void>();
  const connection = nats.nats.connection;
  const subscription = connection.subscribe(`${inbox}.*`, {
    callback: (_error, message) => {
      if (message.subject.endsWith(".end")) last.resolve();
      else answers.push(message.json());
    },
  });
  connection.publish(subject, "", { reply: `${inbox}.answer` });
  connection.publish("$SRV.PING.end", "", { reply: `${inbox}.end` });
  await last.promise;
  subscription.unsubscribe();
  return answers.filter(({ name }) => name !== "end");
}

describe("discovery", () => {
  it("answers PING, INFO and STATS in the protocol's form", async () => {
    actors = [actor({})];
    expect(await discover("$SRV.PING")).toEqual([{ type: "io.nats.micro.v1.ping_response", ...identity }]);
    const endpoint = { name: "lookup", subject: "orrery.presence", queue_group: "presence" };
    expect(await discover("$SRV.INFO")).toEqual([
      {
        type: "io.nats.micro.v1.info_response",
        ...identity,
        description: "Is it here?",
        endpoints: [{ ...endpoint, metadata: {} }],
      },
    ]);
    expect(await discover("$SRV.STATS")).toEqual([
      {
        type: "io.nats.micro.v1.stats_response",
        ...identity,
        started: "2026-01-02T03:04:05.678Z",
        endpoints: [
          {
            ...endpoint,
            num_requests: 4,
            num_errors: 1,
            last_error: "none",
            processing_time: 2_000_000,
            average_processing_time: 500_000,
            data: { groups: 7 },
          },
        ],
      },
    ]);
  });

  it("is answered once by each actor that is meant, under a name that the protocol allows", async () => {
    actors = [actor({ name: "ingester:lsstcam", id: "a.1" }), actor({ id: "b" }), actor({ id: "c" })];
    const ids = async (subject: string): Promise<ReadonlyArray<unknown>> =>
      (await discover(subject)).map((answer) => (answer as { readonly id: string }).id);
    expect(await ids("$SRV.PING")).toEqual(["a_1", "b", "c"]);
    expect(await ids("$SRV.PING.presence")).toEqual(["b", "c"]);
    expect(await ids("$SRV.STATS.presence.c")).toEqual(["c"]);
    expect(await ids("$SRV.INFO.ingester_lsstcam.a_1")).toEqual(["a_1"]);
    expect(await ids("$SRV.PING.nobody")).toEqual([]);
  });

  it("asks for the actors anew each time", async () => {
    actors = [];
    expect(await discover("$SRV.PING")).toEqual([]);
    actors = [actor({})];
    expect(await discover("$SRV.PING")).toHaveLength(1);
  });

  it("ends with its scope", async () => {
    actors = [actor({})];
    await Effect.runPromise(Scope.close(scope, Exit.void));
    await expect(nats.nats.connection.request("$SRV.PING", "", { timeout: 2_000 })).rejects.toThrow(
      /no responders/i,
    );
  });
});

it.each([
  ["$SRV.PING", { verb: "PING", name: null, id: null }],
  ["$SRV.INFO.a", { verb: "INFO", name: "a", id: null }],
  ["$SRV.STATS.a.b", { verb: "STATS", name: "a", id: "b" }],
  ["$SRV.SCHEMA", null],
  ["$SRV", null],
  ["$SRV.PING.a.b.c", null],
])("%s asks for %j", (subject, asked) => {
  expect(readServiceSubject(subject)).toEqual(asked);
});
