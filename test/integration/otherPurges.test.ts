/** What another site says that it has purged goes from what is held of it here, and however much it says costs this site little. */
import { jetstream } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { OtherPurges } from "../../src/actors/otherPurges.ts";
import { purgedBytesMax, purgedKeysMax } from "../../src/limits.ts";
import { encodePurged } from "../../src/protocol/purged.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { testNode } from "../support/testNode.ts";

let server: TestNats;
beforeAll(async () => {
  server = await startNats({ topology: null });
  await server.nats.jsm.streams.add({
    name: "KV_sites",
    subjects: ["$KV.sites.>"],
    max_msgs_per_subject: 1,
    allow_direct: true,
  });
});
afterAll(() => server?.stop());
beforeEach(() => server.nats.jsm.streams.purge("KV_sites"));

/** As sent by the supernode. @returns its revision here */
const came = async (key: string): Promise<number> =>
  (await jetstream(server.nats.connection).publish(`$KV.sites.${key}`, "{}")).seq;
const held = async (): Promise<ReadonlyArray<string>> => {
  const { state } = await server.nats.jsm.streams.info("KV_sites", { subjects_filter: ">" });
  return Object.keys(state.subjects ?? {})
    .map((subject) => subject.slice("$KV.sites.".length))
    .toSorted();
};
const days = (through: string, more: ReadonlyArray<string> = []): Uint8Array =>
  encodePurged({ upTo: 1, from: "20250101", through, held: more });
const change = (key: string, revision: number, data = days("20250102")) => ({
  key,
  revision,
  data,
  ended: false,
});

it("of a purged day what came before its word goes, and what came behind it stays", async () => {
  for (const key of ["20250102.a", "20250103.a"]) await came(`summit.e.file.raw.${key}`);
  const said = await came("summit.e.purged.file.raw");
  await came("summit.e.file.raw.20250102.late");
  const purges = new OtherPurges();
  expect(purges.see(change("summit.e.file.raw.20250102.a", 1))).toBe(false);
  expect(purges.see(change("summit.e.purged.file.raw", said))).toBe(true);
  const node = testNode(server.nats);
  await Effect.runPromise(purges.tick(node));
  expect(await held()).toEqual([
    "summit.e.file.raw.20250102.late",
    "summit.e.file.raw.20250103.a",
    "summit.e.purged.file.raw",
  ]);
  expect([purges.size, node.lines]).toEqual([0, []]);
});

it("what cannot be purged is told, and in nobody's way", async () => {
  await came("base.e.file.raw.20250102.a");
  const purges = new OtherPurges();
  // A lane that the server takes for no subject.
  purges.see(change("bad.e.purged.file.", 9));
  purges.see(change("bad.e.purged.file.raw", 9));
  purges.see(change("base.e.purged.file.raw", 9));
  const node = testNode(server.nats);
  await Effect.runPromise(purges.tick(node));
  expect(await held()).toEqual([]);
  expect(node.lines.map(({ level, fields }) => [level, fields["of"]])).toEqual([["warn", "bad"]]);
});

it("a site that says much holds up no other, and what it says is bounded", async () => {
  const purges = new OtherPurges();
  const large = days(
    "20250102",
    Array.from({ length: purgedBytesMax / 8 }, () => "20250101"),
  );
  purges.see(change("bad.e.purged.file.large", 9, large));
  expect(purges.size).toBe(0);
  for (let i = 0; i < 10_000; i++) purges.see(change(`bad.e.purged.file.l${i}`, 9_000, days("20260601")));
  expect(purges.size).toBe(purgedKeysMax);
  for (let i = 0; i < 10; i++) await came(`bad.e.file.l${i}.20990101.x`);
  await came("good.e.file.raw.20250102.a");
  purges.see(change("good.e.purged.file.raw", 9_000));
  // Without a bound this takes a quarter of an hour.
  await Effect.runPromise(purges.tick(testNode(server.nats)));
  expect((await held()).filter((key) => key.startsWith("good."))).toEqual([]);
}, 120_000);
