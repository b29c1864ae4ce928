/** What follows a bucket that it cannot read says so, and goes on by itself when it can; headers that are none are in nobody's way. */
import type { MsgHdrs } from "@nats-io/transport-node";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { expect, it } from "vitest";
import { follow } from "../../src/jetstream/follower.ts";
import { followTroubleMs } from "../../src/limits.ts";
import { startNats } from "../support/nats.ts";

it("a bucket that is not there is told of, once for a while, and followed as soon as it is", async () => {
  const server = await startNats();
  try {
    const nats = await server.connect("follower");
    const said: Array<string> = [];
    const keys: Array<string> = [];
    const caughtUp = Deferred.makeUnsafe<void>();
    const fiber = Effect.runFork(
      follow(
        nats,
        {
          bucket: "late",
          keys: [">"],
          each: ({ key }) => void keys.push(key),
          trouble: (detail) => void said.push(detail),
        },
        caughtUp,
      ),
    );
    await expect.poll(() => said, { timeout: 4 * followTroubleMs }).toHaveLength(1);
    expect(said[0]).toContain("stream not found");
    await nats.jsm.streams.add({ name: "KV_late", subjects: ["$KV.late.>"], allow_direct: true });
    nats.connection.publish("$KV.late.a", "1");
    await Effect.runPromise(Deferred.await(caughtUp));
    await expect.poll(() => keys).toEqual(["a"]);
    expect(said).toHaveLength(1);
    await Effect.runPromise(Fiber.interrupt(fiber));
  } finally {
    await server.stop();
  }
});

it("values whose headers no client can read are values like others, and followed in the same round", async () => {
  const server = await startNats();
  try {
    const nats = await server.connect("follower");
    const none = { encode: () => Buffer.from("NATS/1.0\r\nno key: x\r\n\r\n") } as unknown as MsgHdrs;
    const put = (key: string, headers?: MsgHdrs) =>
      server.nats.connection.request(`$KV.seen.${key}`, "", {
        timeout: 5_000,
        ...(headers === undefined ? {} : { headers }),
      });
    const keys: Array<string> = [];
    const caughtUp = Deferred.makeUnsafe<void>();
    const options = { bucket: "seen", keys: [">"], lifetimes: true };
    const fiber = Effect.runFork(
      follow(
        nats,
        { ...options, each: ({ key, ended, lifetimeMs }) => void keys.push(`${key} ${ended} ${lifetimeMs}`) },
        caughtUp,
      ),
    );
    await Effect.runPromise(Deferred.await(caughtUp));
    const rounds = async (): Promise<ReadonlyArray<string>> => {
      const names: Array<string> = [];
      for await (const { name } of nats.jsm.consumers.list("KV_seen")) names.push(name);
      return names;
    };
    const before = await rounds();
    for (const key of ["a", "b", "c"]) await put(key, none);
    await put("d");
    await expect
      .poll(() => keys, { timeout: 10_000 })
      .toEqual(["a", "b", "c", "d"].map((key) => `${key} false null`));
    expect(await rounds()).toEqual(before);
    await Effect.runPromise(Fiber.interrupt(fiber));
  } finally {
    await server.stop();
  }
});

it("a change that its follower cannot take in is told of, and those behind it are not held up", async () => {
  const server = await startNats();
  try {
    const [said, keys]: [Array<string>, Array<string>] = [[], []];
    for (const key of ["a", "bad", "c"]) server.nats.connection.publish(`$KV.ledger.${key}`, key);
    const fiber = Effect.runFork(
      follow(server.nats, {
        bucket: "ledger",
        keys: [">"],
        each: ({ key }) => {
          if (key === "bad") throw new Error("what is this");
          keys.push(key);
        },
        trouble: (detail) => void said.push(detail),
      }),
    );
    await expect.poll(() => keys).toEqual(["a", "c"]);
    expect(said).toEqual(["bad is left out: Error: what is this"]);
    await Effect.runPromise(Fiber.interrupt(fiber));
  } finally {
    await server.stop();
  }
});

it("a bucket that was lost and made anew is followed from its beginning", async () => {
  const server = await startNats();
  try {
    const nats = await server.connect("follower");
    const put = (key: string) => server.nats.connection.request(`$KV.seen.${key}`, "x", { timeout: 5_000 });
    for (const key of ["a", "b", "c"]) await put(key);
    const keys: Array<string> = [];
    const fiber = Effect.runFork(
      follow(nats, { bucket: "seen", keys: [">"], each: ({ key }) => void keys.push(key) }),
    );
    await expect.poll(() => keys, { timeout: 10_000 }).toEqual(["a", "b", "c"]);
    const { config } = await nats.jsm.streams.info("KV_seen");
    await nats.jsm.streams.delete("KV_seen");
    await server.nats.jsm.streams.add(config);
    await put("d");
    await expect.poll(() => keys, { timeout: 30_000 }).toEqual(["a", "b", "c", "d"]);
    await Effect.runPromise(Fiber.interrupt(fiber));
  } finally {
    await server.stop();
  }
}, 60_000);
