/**
 * What sites purged, followed at the supernode: whatever one site says of it costs the others little. On a server of its own, whose bucket
 * of sites takes what the test says came from them.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { SitePurges } from "../../src/actors/sitePurges.ts";
import { purgedBytesMax, purgedKeysMax, purgeSliceMs } from "../../src/limits.ts";
import { originOf } from "../../src/jetstream/sitesDrop.ts";
import { encodePurged } from "../../src/protocol/purged.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestNode } from "../support/testNode.ts";
import { testNode } from "../support/testNode.ts";
import { until } from "../support/testSite.ts";

let server: TestNats;
beforeAll(async () => {
  server = await startNats({ topology: null });
});
afterAll(() => server.stop());
beforeEach(async () => {
  const { jsm } = server.nats;
  for (const name of ["KV_sites", "SITES"]) await jsm.streams.delete(name).catch(() => false);
  const stream = { max_msgs_per_subject: 1, allow_direct: true };
  await jsm.streams.add({ ...stream, name: "SITES", subjects: ["site.>"] });
  const subject_transforms = [{ src: "site.>", dest: "$KV.sites.>" }];
  await jsm.streams.add({ ...stream, name: "KV_sites", sources: [{ name: "SITES", subject_transforms }] });
});

/** At a site, where it has the sequence that comes back. */
async function written(key: string, data: Uint8Array = Buffer.from("{}")): Promise<number> {
  const answer = await server.nats.connection.request(`site.${key}`, data, { timeout: 60_000 });
  return answer.json<{ readonly seq: number }>().seq;
}
/** All that was written is at the supernode: it comes in order. */
async function isHere(): Promise<void> {
  const origin = await written("mark");
  await until(
    () => server.nats.jsm.streams.getMessage("KV_sites", { last_by_subj: "$KV.sites.mark" }),
    (message) => message !== null && originOf(message.header) === origin,
  );
}
const files = async (life: string, lane: string, day: string, count: number, name = "f"): Promise<number> => {
  const keys = Array.from({ length: count }, (_, i) => `${life}.file.${lane}.${day}.${name}${i}`);
  return Math.max(...(await Promise.all(keys.map((key) => written(key)))));
};
const purgedOf = (upTo: number, from: string, through = from): Uint8Array =>
  encodePurged({ upTo, from, through, held: [] });
const keysHere = async (filter: string): Promise<number> => {
  const info = await server.nats.jsm.streams.info("KV_sites", { subjects_filter: `$KV.sites.${filter}` });
  return Object.keys(info.state.subjects ?? {}).length;
};

async function followed(use: (purges: SitePurges, node: TestNode) => Promise<void>): Promise<void> {
  const node = testNode(server.nats);
  const purges = new SitePurges(node);
  const caughtUp = Deferred.makeUnsafe<void>();
  const fiber = Effect.runFork(purges.follow(caughtUp));
  try {
    await Effect.runPromise(Deferred.await(caughtUp));
    await use(purges, node);
  } finally {
    await Effect.runPromise(Fiber.interrupt(fiber));
  }
}
/** @returns questions that it asked of the server */
const tick = async (purges: SitePurges, epochs: Readonly<Record<string, string>>): Promise<number> => {
  const asked = vi.spyOn(server.nats.jsm.consumers, "add");
  try {
    await Effect.runPromise(purges.tick(new Map(Object.entries(epochs))));
    return asked.mock.calls.length;
  } finally {
    asked.mockRestore();
  }
};

it("a site's days go up to what it had written by then, and again when what went has come back", async () => {
  await files("base.e", "raw", "20250102", 30);
  await files("base.e", "raw", "20250103", 10);
  const upTo = await written("base.e.exposure.L.20250102.x");
  await written("base.e.purged.file.raw", purgedOf(upTo, "20241201", "20250102"));
  await written("base.e.purged.exposure", purgedOf(upTo, "20241201", "20250102"));
  // Of the future: what comes of it later goes as well when it is done again, as what a purge displaced would.
  await files("base.e", "back", "20250102", 4);
  await written("base.e.purged.file.back", purgedOf(1_000_000, "20250102"));
  await files("base.e", "raw", "20250102", 3, "late");
  await isHere();
  await followed(async (purges, node) => {
    const now = async (): Promise<ReadonlyArray<number>> =>
      Promise.all(
        ["file.raw.20250102", "file.raw.20250103", "exposure.L.20250102", "file.back.20250102"].map((of) =>
          keysHere(`base.e.${of}.>`),
        ),
      );
    await tick(purges, { base: "other" });
    expect(await now()).toEqual([33, 10, 1, 4]);
    await tick(purges, { base: "e" });
    expect(await now()).toEqual([3, 10, 0, 0]);
    expect(node.lines.map(({ fields }) => [fields["filter"], fields["keys"]])).toEqual([
      ["file.raw.20250102.>", 30],
      ["exposure.*.20250102.>", 1],
      ["file.back.20250102.>", 4],
    ]);
    await files("base.e", "back", "20250102", 5);
    await isHere();
    await tick(purges, { base: "e" });
    expect(await now()).toEqual([3, 10, 0, 5]);
    purges.again();
    await tick(purges, { base: "e" });
    expect(await now()).toEqual([3, 10, 0, 0]);
    // Of a former life all goes anyway.
    await tick(purges, { base: "next" });
    expect(purges.size).toBe(0);
  });
});

it("a site that says so much that nobody can do it holds up no other, and what it says is bounded", async () => {
  const said = 10_000;
  for (let i = 0; i < said; i += 1_000)
    await Promise.all(
      Array.from({ length: 1_000 }, (_, j) =>
        written(`bad.e.purged.file.l${i + j}`, purgedOf(5, "20000101", "20250103")),
      ),
    );
  // Of the lanes that count it has something, in days that never go.
  await Promise.all(Array.from({ length: 300 }, (_, i) => files("bad.e", `l${i}`, "20250102", 2)));
  const upTo = await files("good.e", "raw", "20250102", 20);
  await written("good.e.purged.file.raw", purgedOf(upTo, "20250102"));
  await isHere();
  await followed(async (purges, node) => {
    expect(purges.size).toBe(purgedKeysMax + 1);
    expect(node.lines.map(({ level, fields }) => [level, fields["site"], fields["followed"]])).toEqual([
      ["warn", "bad", purgedKeysMax],
    ]);
    // By this clock, whatever the machine's says, each look at it takes a fiftieth of a slice: one before each record.
    let now = performance.now();
    const clock = vi.spyOn(performance, "now").mockImplementation(() => (now += purgeSliceMs / 50));
    try {
      expect(await tick(purges, { bad: "e", good: "e" })).toBeGreaterThan(0);
      expect(await keysHere("good.e.file.raw.>")).toBe(0);
      // And it comes to an end, slice by slice.
      let ticks = 1;
      while ((await tick(purges, { bad: "e", good: "e" })) > 0 && ticks < 50) ticks++;
      expect(ticks).toBeGreaterThan(3);
      expect(ticks).toBeLessThan(50);
    } finally {
      clock.mockRestore();
    }
  });
});

it("what cannot be done, or is too large, is in nobody's way, and a record that ends makes room", async () => {
  const upTo = await files("base.e", "raw", "20250102", 5);
  await isHere();
  await followed(async (purges, node) => {
    const change = { revision: 1, at: 0, ended: false };
    purges.see({ ...change, key: "base.e.purged.file.>", data: purgedOf(upTo, "20250102") });
    const held = Array.from({ length: purgedBytesMax / 8 }, () => "20250101");
    const large = encodePurged({ upTo, from: "20250102", through: "20250102", held });
    purges.see({ ...change, key: "base.e.purged.file.raw", data: large });
    expect(purges.size).toBe(0);
    // A lane that the server takes for no subject.
    purges.see({
      ...change,
      key: `base.e.purged.file.${"x".repeat(40_000)}`,
      data: purgedOf(upTo, "20250102"),
    });
    purges.see({ ...change, key: "base.e.purged.file.raw", data: purgedOf(upTo, "20250102") });
    expect(purges.size).toBe(2);
    await until(
      async () => {
        await tick(purges, { base: "e" });
        return keysHere("base.e.file.raw.>");
      },
      (keys) => keys === 0,
    );
    expect(node.lines.filter(({ level }) => level === "error")).toEqual([]);
    purges.see({ ...change, key: "base.e.purged.file.raw", data: new Uint8Array(), ended: true });
    expect(purges.size).toBe(1);
  });
});
