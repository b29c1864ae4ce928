/** What a supernode keeps of a site's former life, and until when: a site that was destroyed is not one that has grown again. */
import { jetstream } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { SiteLives } from "../../src/actors/siteLives.ts";
import type { SourceState } from "../../src/jetstream/sitesBucket.ts";
import { siteCountEveryMs, siteSettledMs } from "../../src/limits.ts";
import { lifeSubjects } from "../../src/protocol/sites.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { testNode } from "../support/testNode.ts";

let server: TestNats;
beforeAll(async () => {
  server = await startNats({ topology: null });
  // With subjects of its own, so that a test can say what came of a site.
  await server.nats.jsm.streams.add({
    name: "KV_sites",
    subjects: ["$KV.sites.>"],
    max_msgs_per_subject: 1,
    allow_direct: true,
  });
});
afterAll(() => server?.stop());
beforeEach(() => server.nats.jsm.streams.purge("KV_sites"));

const came = async (epoch: string, count: number, kind = "file"): Promise<void> => {
  const js = jetstream(server.nats.connection);
  const keys = Array.from({ length: count }, (_, i) => `$KV.sites.prec.${epoch}.${kind}.raw.20260310.${i}`);
  await Promise.all(keys.map((key) => js.publish(key, "{}")));
};
const held = async (epoch: string): Promise<number> => {
  const { state } = await server.nats.jsm.streams.info("KV_sites", {
    subjects_filter: lifeSubjects("prec", epoch),
  });
  return Object.keys(state.subjects ?? {}).length;
};
const source = (more: Partial<SourceState> = {}): SourceState => ({
  site: "prec",
  epoch: "new",
  lag: 0,
  silentMs: 5,
  error: null,
  ...more,
});

/** Looks at it as the keeper does, every 5 s of its own clock. */
function watched() {
  const node = testNode(server.nats);
  const lives = new SiteLives(node);
  let now = 1_000_000;
  return {
    node,
    look: async (forMs: number, state = source()): Promise<void> => {
      for (const end = now + forMs; now <= end; now += 5_000)
        await Effect.runPromise(lives.tick([state], now));
    },
  };
}

it("an empty life takes nothing away, which is said once, and one that has grown takes the place of the former", async () => {
  await came("old", 1_000);
  const { node, look } = watched();
  await look(2 * siteCountEveryMs);
  expect(await held("old")).toBe(1_000);
  const errors = () => node.lines.filter(({ level }) => level === "error").map(({ fields }) => fields);
  expect(errors()).toEqual([
    { site: "prec", epoch: "old", now: "new", keys: 1_000, files: 1_000, has: { keys: 0, files: 0 } },
  ]);
  await came("new", 499);
  await look(2 * siteCountEveryMs);
  expect([await held("old"), errors()]).toMatchObject([1_000, [{}]]);
  // Another kind is no file.
  await came("new", 600, "visit");
  await look(2 * siteCountEveryMs);
  expect(await held("old")).toBe(1_000);
  await came("new", 500);
  await look(siteCountEveryMs);
  expect([await held("old"), await held("new")]).toEqual([0, 1_100]);
});

it("a life that has grown is seen to have at once", async () => {
  await came("old", 1_000);
  const { look } = watched();
  await came("new", 100);
  await look(2 * siteSettledMs);
  await came("new", 500);
  await look(0);
  expect(await held("old")).toBe(0);
});

it.each([
  ["not all of it is here", { lag: 3 }],
  ["it is not heard of", { silentMs: 40_000 }],
  ["a server that has just come to lead has heard of nobody", { silentMs: null }],
  ["it cannot be sourced", { error: "no such stream" }],
] as const)("a life that is as big waits while %s", async (_, broken) => {
  await came("old", 10);
  await came("new", 10);
  const { look } = watched();
  await look(siteSettledMs - 5_000);
  await look(siteCountEveryMs, source(broken));
  expect(await held("old")).toBe(10);
  await look(siteSettledMs + siteCountEveryMs);
  expect(await held("old")).toBe(0);
});

it("it has to be heard of without break", async () => {
  await came("old", 10);
  await came("new", 10);
  const { look } = watched();
  for (let times = 0; times < 5; times++) {
    await look(siteSettledMs - 5_000);
    await look(0, source({ silentMs: 20_000 }));
  }
  expect(await held("old")).toBe(10);
});

it("what has ended counts on neither side", async () => {
  await came("old", 10);
  await came("new", 2);
  const js = jetstream(server.nats.connection);
  const ended = headers();
  ended.set("KV-Operation", "DEL");
  for (let i = 2; i < 10; i++)
    await js.publish(`$KV.sites.prec.new.file.raw.20260310.${i}`, "", { headers: ended });
  const { look } = watched();
  await look(siteSettledMs + siteCountEveryMs);
  expect(await held("old")).toBe(10);
});
