import { describe, expect, it } from "vitest";
import * as Effect from "effect/Effect";
import { Actor, InvalidActor } from "../../../src/actors/Actor.ts";
import { ask, fakeContext, show, tick, work } from "../../../src/testing.ts";

describe("a user's actor without NATS", () => {
  const counter = Actor.claims({
    name: "counter",
    work: (items, context) =>
      Effect.gen(function* () {
        for (const item of items) yield* Effect.promise(() => context.send("next", item.id, item.attempts));
        return items.map((item) => (item.id === "bad" ? Actor.park("Bad", "no good") : Actor.done(1)));
      }),
  });

  it("claims: one outcome an item, and what it sent", async () => {
    const context = fakeContext();
    const outcomes = await work(
      counter,
      [
        { id: "a", body: 1 },
        { id: "bad", body: 2, attempts: 2 },
      ],
      context,
    );
    expect(outcomes).toEqual([Actor.done(1), Actor.park("Bad", "no good")]);
    expect(context.sent).toEqual([
      { actor: "next", id: "a", body: 0 },
      { actor: "next", id: "bad", body: 2 },
    ]);
  });

  it("a wrong number of outcomes is told", async () => {
    const short = Actor.claims({ name: "short", work: () => [] });
    await expect(work(short, [{ id: "a", body: 1 }])).rejects.toThrow("0 outcomes for 1 items");
  });

  it("replies, follows and ticks", async () => {
    const seen: Array<unknown> = [];
    const echo = Actor.replies({ name: "echo", subject: "echo", reply: (request) => ({ request }) });
    expect(await ask(echo, 7)).toEqual({ request: 7 });
    await show(Actor.follows({ name: "f", keys: ["x.>"], follow: (changes) => void seen.push(...changes) }), {
      "x.1": "a",
    });
    await tick(
      Actor.ticks({ name: "t", everyMs: 5, tick: async ({ read }) => void seen.push(await read("k")) }),
    );
    expect(seen).toEqual([{ key: "x.1", revision: 1, value: "a" }, null]);
  });

  it("an actor of another behaviour is refused by name", async () => {
    await expect(tick(counter)).rejects.toThrow("actor counter is of behaviour claims, not ticks");
  });

  it.each(["", "Upper", "a.b", "-a", "a b"])("the name %j is refused", (name) => {
    expect(() => Actor.ticks({ name, everyMs: 1, tick: () => undefined })).toThrow(InvalidActor);
  });

  it.each([0, 331, 1.5])("a batch of %d is refused", (batchMax) => {
    expect(() => Actor.claims({ name: "a", batchMax, work: () => [] })).toThrow(InvalidActor);
  });
});
