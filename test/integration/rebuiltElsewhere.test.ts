/**
 * Jobs of a site file whose inputs are another site's, while that site is rebuilt: what its former life had stays an input, and is held
 * here, until the new one has told of all that it has. On one server, where a stream of its own stands for the supernode.
 */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { afterAll, beforeAll, expect, it } from "vitest";
import { resolverActor } from "../../src/actors/resolver.ts";
import type { JobSettings, Site } from "../../src/config/Site.ts";
import type { JobRecord } from "../../src/protocol/jobs.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import { readJobs } from "../support/missionSite.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { plainRecord } from "../support/records.ts";
import type { TestNode } from "../support/testNode.ts";
import { testNode } from "../support/testNode.ts";
import { until } from "../support/testSite.ts";

let server: TestNats;
let node: TestNode;
let resolver: Fiber.Fiber<never>;

const look: JobSettings = {
  name: "look",
  version: "1",
  partition: "exposure",
  lane: "quick",
  inputs: [{ lane: "raw", site: "summit", match: null, required: true, count: 2, detectors: [] }],
  outputs: [],
  driver: { type: "process", command: ["true"], cwd: null, env: {} },
  timeLimitMs: 30_000,
  attemptsMax: 3,
  workers: 1,
};

beforeAll(async () => {
  server = await startNats({ topology: { runLanes: ["quick"] } });
  const { streams } = server.nats.jsm;
  const bucket = { max_msgs_per_subject: 1, allow_direct: true };
  await streams.add({ ...bucket, name: "SUPERNODE", subjects: ["summit.>"] });
  const subject_transforms = [{ src: "summit.>", dest: "$KV.sites.summit.>" }];
  await streams.add({ ...bucket, name: "KV_sites", sources: [{ name: "SUPERNODE", subject_transforms }] });
  node = testNode(server.nats);
  const site = {
    jobs: new Map([["look", look]]),
    catalogue: null,
    filesOf: { supernode: "hub", sites: new Map([["summit", {}]]) },
  } as unknown as Pick<Site, "jobs" | "catalogue" | "filesOf">;
  resolver = Effect.runFork(resolverActor(node, site, Effect.void));
});
afterAll(async () => {
  await Effect.runPromise(Fiber.interrupt(resolver));
  await server.stop();
});

/** A file of the exposure, as its site's life has it. */
const comes = (life: string, exposure: string, detector: string): Promise<unknown> => {
  const key = `${exposure}_${detector}`;
  const identity = { instrument: "LSSTCam", day: "20251121", exposure, detector, group: null, snap: null };
  const body = { bucket: "shots", key, uri: `s3://shots/${key}`, identity: { ...identity, seq: null } };
  const record = plainRecord("known", body, { etag: `of ${key}` });
  return server.nats.connection.request(`summit.${life}.file.raw.20251121.${key}`, encodeJson(record), {
    timeout: 5_000,
  });
};
const job = async (exposure: string): Promise<JobRecord | undefined> =>
  (await readJobs(server.nats)).find(
    ({ partition }) => "exposure" in partition && partition.exposure === exposure,
  );
const held = async (life: string): Promise<number> => {
  const { state } = await server.nats.jsm.streams.info("KV_sites", {
    subjects_filter: `$KV.sites.summit.${life}.>`,
  });
  return Object.keys(state.subjects ?? {}).length;
};

it("what its former life had is an input while the new one arrives, and goes when that has told of all", async () => {
  await Promise.all(["x1", "x2"].map((exposure) => comes("e1", exposure, "A")));
  await until(
    () => job("x2"),
    (one) => one?.blockedOn.join() === "summit/raw: 1 of 2 files",
  );
  await comes("e2", "x3", "A");
  await until(
    () => job("x3"),
    (one) => one?.state === "blocked",
  );
  await comes("e2", "x1", "B");
  await until(
    () => job("x1"),
    (one) => one?.state === "ready",
  );
  await until(
    () => held("e1"),
    (keys) => keys === 0,
  );
  await until(
    () => job("x2"),
    (one) => one?.blockedOn.join() === "summit/raw: 0 of 2 files",
  );
  expect(await held("e2")).toBe(2);
  const said = node.lines.filter(({ message }) => message.includes("rebuilt"));
  expect(said.map(({ level, fields }) => [level, fields])).toEqual([["info", { of: "summit", epoch: "e1" }]]);
}, 400_000);
