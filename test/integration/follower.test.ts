/** What follows a bucket that it cannot read says so, and goes on by itself when it can. */
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
