/** A server that lost the last of what it had written, as by a power cut: its numbers are given out once more, to other messages. */
import { cpSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { expect, it } from "vitest";
import { follow } from "../../src/jetstream/follower.ts";
import { connectNats } from "../../src/jetstream/Nats.ts";
import { ServerProcess } from "../support/server.ts";
import { until } from "../support/testSite.ts";

it("what comes under numbers that were seen before is followed all the same", async () => {
  const server = await ServerProcess.start();
  const scope = Scope.makeUnsafe();
  try {
    const settings = { servers: [server.url], name: "follower" };
    const nats = await Effect.runPromise(Scope.provide(connectNats(settings), scope));
    await nats.jsm.streams.add({ name: "KV_kept", subjects: ["$KV.kept.>"], max_msgs_per_subject: 1 });
    const put = (key: string) =>
      until(
        () => nats.ask(`$KV.kept.${key}`, "", 3_000).catch(() => null),
        (answer) => answer !== null,
      );
    const keys: Array<string> = [];
    const following = {
      bucket: "kept",
      keys: [">"],
      each: ({ key }: { readonly key: string }) => void keys.push(key),
    };
    const fiber = Effect.runFork(follow(nats, following));
    const heard = (...wanted: ReadonlyArray<string>) =>
      until(
        () => keys,
        (all) => wanted.every((key) => all.includes(key)),
      );
    for (const key of ["a", "b"]) await put(key);
    await heard("a", "b");
    const [store, onDisk] = [join(server.folder, "nats"), join(server.folder, "on-disk")];
    await server.kill9();
    cpSync(store, onDisk, { recursive: true });
    await server.start();
    for (const key of ["lost", "lost-as-well"]) await put(key);
    await heard("lost", "lost-as-well");
    await server.kill9();
    rmSync(store, { recursive: true });
    renameSync(onDisk, store);
    await server.start();
    for (const key of ["c", "d"]) await put(key);
    await heard("c", "d");
    // From its beginning: what stood before is told again, and nothing is left out.
    expect(keys).toEqual(["a", "b", "lost", "lost-as-well", "a", "b", "c", "d"]);
    await Effect.runPromise(Fiber.interrupt(fiber));
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    await server.end();
  }
});
