/** Whose turn it is to drop what sites have no more, and when all of it is done once more. */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as TestClock from "effect/testing/TestClock";
import { describe, expect, it } from "vitest";
import { keepLoop, keptOf, nodeWithTurn } from "../../../src/actors/keeper.ts";
import type { NatsService } from "../../../src/jetstream/Nats.ts";
import { keepAgainEveryMs, sourceLookEveryMs } from "../../../src/limits.ts";

const node = (...actors: ReadonlyArray<readonly [string, string]>) => ({
  actors: actors.map(([name, status]) => ({ name, behaviour: "worker", status, restarts: 0 })),
});

it("the first by name whose keeper runs, and nobody's where none does", () => {
  const live = new Map([
    ["hub-3", node(["keeper", "running"])],
    ["hub-2", node(["presence", "running"], ["keeper", "running"])],
    ["hub-1", node(["keeper", "restarting"])],
    ["hub-0", node(["presence", "running"])],
  ]);
  expect(nodeWithTurn(live)).toBe("hub-2");
  live.delete("hub-2");
  expect(nodeWithTurn(live)).toBe("hub-3");
  live.delete("hub-3");
  expect(nodeWithTurn(live)).toBeUndefined();
});

describe("what is dropped for its reason", () => {
  const source = {
    lag: 0,
    active: 1_000_000,
    external: { api: "$JS.base.API" },
    subject_transforms: [{ src: "x", dest: "$KV.sites.base.e1.file.>" }],
  };

  it.each(["lives", "purges"] as const)(
    "%s: is done once more after a new connection and after a while, and by whose turn it is",
    async (which) => {
      const link = { reconnects: 0 };
      const nats = {
        link: () => ({ ...link }),
        jsm: { streams: { info: async () => ({ sources: [source] }) } },
      } as unknown as NatsService;
      const did: Array<string> = [];
      const told = (what: string): Effect.Effect<void> => Effect.sync(() => void did.push(what));
      const kept = keptOf(
        { nats },
        {
          again: () => void did.push("lives again"),
          tick: (states) => told(`lives ${states.map(({ site, epoch }) => site + epoch).join()}`),
        },
        {
          again: () => void did.push("purges again"),
          tick: (epochs) => told(`purges ${[...epochs].flat().join("")}`),
        },
      ).find(({ what }) => what.includes(which === "lives" ? "lives" : "purge"));
      if (kept === undefined) throw new Error(which);
      let mayAct = true;
      const log: Array<string> = [];
      const since = (): ReadonlyArray<string> => did.splice(0);
      await Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(
          keepLoop({ nats, log: (_level, message) => void log.push(message) }, kept, () => mayAct),
        );
        // What is looked up comes by a promise, for which this clock does not wait.
        const pass = (ms: number) =>
          Effect.andThen(
            TestClock.adjust(ms),
            Effect.promise(() => new Promise(setImmediate)),
          );
        yield* pass(0);
        expect(since()).toEqual([`${which} basee1`]);
        yield* pass(sourceLookEveryMs);
        expect(since()).toEqual([`${which} basee1`]);
        link.reconnects++;
        yield* pass(sourceLookEveryMs);
        expect(since()).toEqual([`${which} again`, `${which} basee1`]);
        mayAct = false;
        for (let ms = 0; ms < keepAgainEveryMs; ms += sourceLookEveryMs) yield* pass(sourceLookEveryMs);
        expect(since()).toEqual([`${which} again`]);
        yield* Fiber.interrupt(fiber);
      }).pipe(Effect.provide(TestClock.layer()), Effect.runPromise);
      expect(log).toEqual([]);
    },
  );
});
