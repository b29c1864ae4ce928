/** Five hundred files that were given up on for six reasons by a real node, and what somebody does about them at the command line. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { IngestResult } from "../../src/drivers/Driver.ts";
import { runCli } from "../support/cli.ts";
import { ServerProcess } from "../support/server.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, keysOf, startSite, until } from "../support/testSite.ts";

const day = "20251121";
const siteText = (server: string): string => `
name: givenup
node: { name: givenup-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  raw:
    kind: exposure
    buckets: [raw]
    metadata: key
    accept: 'fits$'
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d|guider)\\.fits$'
    retention: 5000 days
    attemptsMax: 2
    backoffBase: 20 ms
    backoffMax: 20 ms
    needs: [{ match: '_guider', waitMax: 100 ms }]
`;

const good = (exposure: string, detector = "R22_S11"): string =>
  `LSSTCam/${day}/${exposure}/${exposure}_${detector}.fits`;
const many = (count: number, name: (n: number) => string): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, n) => name(n));

/** How many of each, and the objects that end so. */
const reasons = {
  UnknownDetector: { bucket: "raw", keys: many(140, (n) => good(`NODETECTOR${n}`)) },
  KeyNotUnderstood: { bucket: "raw", keys: many(100, (n) => `LSSTCam/focus/F${n}.fits`) },
  CatalogRefused: { bucket: "raw", keys: many(80, (n) => good(`REFUSED${n}`)) },
  ExposureNeverCame: { bucket: "raw", keys: many(70, (n) => good(`ALONE${n}`, "guider")) },
  UnknownBucket: { bucket: "elsewhere", keys: many(60, (n) => good(`ELSEWHERE${n}`)) },
  CrashedWorker: { bucket: "raw", keys: many(50, (n) => good(`DEADLY${n}`)) },
} as const;
type Reason = keyof typeof reasons;
const all = Object.entries(reasons) as ReadonlyArray<readonly [Reason, (typeof reasons)[Reason]]>;
const total = 500;

interface Listed {
  readonly key: string;
  readonly name: string;
  readonly lane: string;
  readonly reason: string;
}

describe("500 files that were given up on", () => {
  let server: ServerProcess;
  let site: TestSite;
  let folder: string;
  /** Somebody has taught the catalog the detector. */
  let mended = false;

  const answer = (key: string): IngestResult => {
    if (key.includes("NODETECTOR") && !mended)
      return { status: "permanent", reason: "UnknownDetector", detail: "no such detector in the camera" };
    if (key.includes("REFUSED")) return { status: "retry", reason: "CatalogRefused", detail: "a lock" };
    if (key.includes("DEADLY")) return { status: "crash", detail: "the reader ended with signal SIGSEGV" };
    return { status: "ingested" };
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "orrery-parked-"));
    server = await ServerProcess.start();
    writeFileSync(join(folder, "site.yaml"), siteText(server.url));
    site = await startSite(siteText(server.url), {
      aroundDriver: (_lane, open) =>
        Effect.map(open, (driver) => ({
          name: driver.name,
          ingest: (items) => Effect.succeed(items.map(({ key }) => answer(key))),
        })),
    });
    for (const [, { bucket, keys }] of all) {
      const Records = keys.map((key) => ({
        eventName: "ObjectCreated:Put",
        s3: { bucket: { name: bucket }, object: { key, size: 1, eTag: "e" } },
      }));
      expect(await ask(site, { body: { Records } })).toMatchObject({ status: 200 });
    }
    await until(
      async () => (await keysOf(site, "parked.>")).size,
      (count) => count === total,
    );
  });
  afterAll(async () => {
    await site.stop();
    await server.end();
    rmSync(folder, { recursive: true, force: true });
  });

  const cli = (...argv: ReadonlyArray<string>) => runCli(argv, { cwd: folder });
  const listed = async (...argv: ReadonlyArray<string>): Promise<ReadonlyArray<Listed>> => {
    const { exit, stdout } = await cli("parked", "ls", ...argv, "--json");
    expect(exit).toBe(0);
    return JSON.parse(stdout) as ReadonlyArray<Listed>;
  };
  const nameOf = (reason: Reason, n = 0): string => `${reasons[reason].bucket}/${reasons[reason].keys[n]}`;

  it("are listed all, and grouped by reason with their counts, the most first", async () => {
    expect(await listed()).toHaveLength(total);
    const { stdout } = await cli("parked", "ls");
    const rows = stdout
      .split("\n")
      .slice(1)
      .filter((row) => row.trim() !== "");
    expect(rows.map((row) => row.split(/ {2,}/).slice(0, 3))).toEqual(
      all.map(([reason, { bucket, keys }]) => [
        reason,
        String(keys.length),
        bucket === "raw" ? "raw" : "unrouted",
      ]),
    );
    for (const [reason, { bucket, keys }] of all) {
      const names = (await listed("--reason", reason)).map(({ name }) => name);
      expect(new Set(names)).toEqual(new Set(keys.map((key) => `${bucket}/${key}`)));
    }
  });

  it("are shown one by one, each with its reason and what can be done", async () => {
    for (const [reason] of all) {
      const { exit, stdout, stderr } = await cli("parked", "show", nameOf(reason));
      expect(exit).toBe(0);
      expect(stdout.split("\n")[0]).toContain(`${reason}: `);
      expect(stderr).toContain("orrery parked discard");
    }
  });

  it("say why, each of them", async () => {
    const left = all.flatMap(([reason, { bucket, keys }]) =>
      keys.map((key) => ({ reason, name: `${bucket}/${key}` })),
    );
    const askSome = async (): Promise<void> => {
      for (let one = left.pop(); one !== undefined; one = left.pop()) {
        const { exit, stdout } = await cli("why", one.name, "--json");
        const story = JSON.parse(stdout) as {
          readonly summary: string;
          readonly standing: string;
          readonly next: string;
        };
        expect({ exit, name: one.name, standing: story.standing }).toEqual({
          exit: 0,
          name: one.name,
          standing: "parked",
        });
        expect(stdout).toContain(one.reason);
        expect(story.next).not.toBe("");
      }
    };
    await Promise.all(Array.from({ length: 8 }, askSome));
  });

  it("of one reason are put back and become known; those of the others stay", async () => {
    mended = true;
    const { exit, stdout } = await cli(
      "parked",
      "replay",
      "--reason",
      "UnknownDetector",
      "--note",
      "camera geometry is new",
    );
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: "140 items put back\n" });
    const files = await until(
      () => keysOf(site, `file.raw.${day}.>`),
      (found) => [...found.values()].filter((file) => file["state"] === "known").length === 140,
    );
    for (const key of reasons.UnknownDetector.keys) {
      const [, file] = [...files].find(([name]) => name.includes(key)) ?? [];
      expect(file).toMatchObject({ state: "known" });
    }
    expect(await listed()).toHaveLength(total - 140);
    const why = await cli("why", nameOf("UnknownDetector"));
    expect(why.stdout).toContain("camera geometry is new");
    expect(why.stdout).toContain("no such detector in the camera");
    expect(await cli("parked", "ls", "--reason", "UnknownDetector")).toMatchObject({ exit: 3 });
  });

  it("what is put back unmended comes back, with its history", async () => {
    expect(await cli("parked", "replay", nameOf("CatalogRefused", 3))).toMatchObject({ exit: 0 });
    const record = await until(
      async () =>
        (
          JSON.parse((await cli("file", "get", nameOf("CatalogRefused", 3), "--json")).stdout) as {
            record: { state: string; attempts: number; history: ReadonlyArray<{ event: string }> };
          }
        ).record,
      ({ state, history }) => state === "parked" && history.some(({ event }) => event === "replayed"),
    );
    expect(record.attempts).toBe(2);
    expect(await listed("--reason", "CatalogRefused")).toHaveLength(80);
  });

  it("one is given up for good, with a note that stands in its story", async () => {
    const name = nameOf("CrashedWorker", 7);
    expect(await cli("parked", "discard", name)).toMatchObject({ exit: 2 });
    expect(await cli("parked", "discard", name, "--note", "the header is beyond repair")).toMatchObject({
      exit: 0,
    });
    expect(await listed("--reason", "CrashedWorker")).toHaveLength(49);
    expect((await listed()).some((one) => one.name === name)).toBe(false);
    const why = await cli("why", name);
    expect(why.exit).toBe(0);
    expect(why.stdout).toContain("the header is beyond repair");
    expect(why.stdout).toContain("CrashedWorker");
    expect(await cli("stats", day, "--json")).toMatchObject({
      exit: 0,
      stdout: expect.stringMatching(/"discarded": ?1\b/),
    });
  });
});
