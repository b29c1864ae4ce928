/**
 * Hostile words at the ways in that fuzz.test.ts does not go: NATS, questions about jobs, the command line, what a catalog's service answers,
 * sidecars. By default some hundred; with ORRERY_LONG=1 many more.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answers } from "../../src/actors/jobAnswers.ts";
import { jobsSubject } from "../../src/protocol/jobQuestions.ts";
import type { LedgerRecord } from "../../src/protocol/records.ts";
import { canary } from "../support/canaries.ts";
import { CatalogService } from "../support/catalogService.ts";
import { runCli } from "../support/cli.ts";
import { withMission } from "../support/missionNodes.ts";
import { nasties, nastyBody, nastyName } from "../support/nasties.ts";
import { forAll } from "../support/property.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, keysOf, patienceMs, startSite, until } from "../support/testSite.ts";

const long = process.env["ORRERY_LONG"] === "1";
const some = long ? 20_000 : 200;
const minutes = 60_000;
const folder = mkdtempSync(join(tmpdir(), "orrery-doors-"));
const store = join(folder, "store");
const siteFile = join(folder, "site.yaml");
let service: CatalogService;
let site: TestSite;

const text = (url: string): string => `
name: doors
node: { name: doors-1 }
dataDir: ${JSON.stringify(join(folder, "data"))}
nats: { mode: embedded, syncAlways: false }
http: { host: 127.0.0.1, port: 0 }
storage: { disk: { driver: file, root: ${JSON.stringify(store)} } }
lanes:
  raw:
    kind: exposure
    buckets: [raw]
    storage: disk
    accept: fits$
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/'
    metadata: header
    identity: rubin
    sidecar: .json
    attemptsMax: 1
  cat:
    kind: object
    buckets: [cat]
    metadata: key
    attemptsMax: 2
    backoffBase: 10 ms
    backoffMax: 20 ms
    driver: { type: http, url: "${url}", headers: { Authorization: env:CATALOG_TOKEN }, startDeadline: 2 s, batchDeadline: 5 s }
enqueuer: { natsSubject: s3.events, secret: env:NOTIFICATION_SECRET, secretIn: [bearer] }
presence: { instruments: [LSSTCam] }
visits: { lanes: [raw] }
`;
const env = { CATALOG_TOKEN: canary("catalog"), NOTIFICATION_SECRET: canary("doors") };

beforeAll(async () => {
  for (const name of ["raw/LSSTCam/20260101", "cat"]) mkdirSync(join(store, name), { recursive: true });
  service = await CatalogService.start();
  writeFileSync(siteFile, text(service.url));
  site = await startSite(text(service.url), { env });
});
afterAll(async () => {
  await site?.stop();
  await service?.down();
  rmSync(folder, { recursive: true, force: true });
});

/** Whoever does not answer is named, too. */
async function within<A>(answer: Promise<A>): Promise<A> {
  const over = new AbortController();
  const late = setTimeout(patienceMs, null, { signal: over.signal }).then(() => {
    throw new Error(`no answer within ${patienceMs} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([answer, late]);
  } finally {
    over.abort();
  }
}

const created = (bucket: string, key: string) => ({
  eventName: "ObjectCreated:Put",
  s3: { bucket: { name: bucket }, object: { key: encodeURIComponent(key), eTag: "e", size: 1 } },
});
const notify = (bucket: string, keys: ReadonlyArray<string>) =>
  ask(site, {
    headers: { authorization: `Bearer ${env.NOTIFICATION_SECRET}` },
    body: { Records: keys.map((key) => created(bucket, key)) },
  });

/** Nothing was made where nothing may be, no actor ended, and the node takes a good file. */
async function isWell(mark: string): Promise<void> {
  const made = [...readdirSync(folder, { recursive: true, encoding: "utf8" }), ...readdirSync(process.cwd())];
  expect(made.filter((name) => /(?:^|\/)PWNED/.test(name))).toEqual([]);
  expect(readdirSync(folder).toSorted()).toEqual(["data", "site.yaml", "store"]);
  const ended = site.log.filter(({ message }) =>
    /died|defect|restart|failed to answer|a route failed/i.test(message),
  );
  expect(ended).toEqual([]);
  expect((await notify("cat", [`good-${mark}.txt`])).status).toBe(200);
  await until(
    async () => [
      ...(await keysOf(site, "file.cat.->")).entries(),
      ...(await keysOf(site, "file.cat.>")).entries(),
    ],
    (records) => records.some(([key, { state }]) => key.includes(`good-${mark}`) && state === "known"),
  );
}

describe("hostile words", () => {
  it(
    "on NATS are answered, whether they are notifications or questions",
    { timeout: 10 * minutes },
    async () => {
      const { connection } = site.node.context.nats;
      const bytes = fc.oneof(
        nastyBody.map((body) => Buffer.from(body)),
        fc.uint8Array({ maxLength: 200 }).map((data) => Buffer.from(data)),
      );
      await forAll(bytes, some, async (data) => {
        const answer = await connection.request("s3.events", data, { timeout: patienceMs });
        const { status } = answer.json<{ readonly status: number }>();
        expect([200, 400, 413]).toContain(status);
        const present = await connection.request("orrery.presence", data, { timeout: patienceMs });
        expect(present.string()).toMatch(/^\{"error":/);
      });
      for (const name of nasties) {
        // What can be a subject at all.
        const token = name.replaceAll(/[\s.*>\0]/g, "_").slice(0, 200);
        if (token === "" || !token.isWellFormed()) continue;
        const answer = await connection.request(`orrery.presence.${token}.a.0.R22_S11`, "", {
          timeout: patienceMs,
        });
        expect(answer.string()).toMatch(/^\{"error":/);
      }
      await isWell("nats");
    },
  );

  it("in a catalog's answers fail its items, and nothing else", { timeout: 10 * minutes }, async () => {
    const wild = fc.sample(
      fc.record({
        status: fc.constantFrom(200, 200, 200, 204, 301, 400, 418, 429, 500, 503),
        body: fc.oneof(nastyBody, fc.json(), nastyName),
        items: fc.array(fc.jsonValue(), { maxLength: 4 }),
        isShaped: fc.boolean(),
      }),
      long ? 400 : 40,
    );
    let next = 0;
    service.behaviour = ({ batch, items }) => {
      // A good answer between them: a service that is away is asked less and less often.
      const turn = next++;
      const one = turn % 2 === 0 ? wild[turn / 2] : undefined;
      if (one === undefined) return "answer";
      const { status, body, items: said, isShaped } = one;
      const shaped = JSON.stringify({
        batch,
        items: said.map((each, i) => ({ key: items[i]?.key, status: each, detail: each })),
      });
      return { status, body: isShaped ? shaped : body };
    };
    const keys = wild.map((_, i) => `wild-${i}.txt`);
    for (let at = 0; at < keys.length; at += 4) {
      expect((await notify("cat", keys.slice(at, at + 4))).status).toBe(200);
    }
    await until(
      async () => [...(await keysOf(site, "file.cat.>")).entries()].filter(([key]) => key.includes("wild-")),
      (records) =>
        records.length === keys.length &&
        records.every(([, { state }]) => state === "known" || state === "parked"),
    );
    service.behaviour = () => "answer";
    await isWell("catalog");
  });

  it(
    "in sidecars make a file that is known or parked, and keys that name nobody else's",
    { timeout: 10 * minutes },
    async () => {
      const value = fc.oneof(
        nastyName,
        fc.jsonValue(),
        fc.constantFrom("LSSTCam", "R22", "S11", 1, "20260101", "O"),
      );
      const field = fc.constantFrom(
        "INSTRUME",
        "GROUPID",
        "CURINDEX",
        "MAXINDEX",
        "RAFTBAY",
        "CCDSLOT",
        "DAYOBS",
        "SEQNUM",
        "OBSID",
        "CONTRLLR",
        "IMGTYPE",
        "TELESCOP",
        "OBSANNOT",
        "EXPTIME",
        "DATE-BEG",
        "HIERARCH.X",
        "__proto__",
        "constructor",
        "__CONTENT__",
      );
      const good = {
        INSTRUME: "LSSTCam",
        GROUPID: "g",
        CURINDEX: 1,
        RAFTBAY: "R22",
        CCDSLOT: "S11",
        DAYOBS: "20260101",
        SEQNUM: 1,
        OBSID: "o",
      };
      const sidecar = fc.oneof(
        {
          weight: 6,
          arbitrary: fc
            .dictionary(field, value, { maxKeys: 6 })
            .map((odd) => JSON.stringify({ ...good, ...odd })),
        },
        nastyBody,
      );
      const contents = fc.sample(sidecar, long ? 4_000 : 120);
      const keys = contents.map((content, i) => {
        const key = `LSSTCam/20260101/wild-${i}.fits`;
        writeFileSync(join(store, "raw", key), "x");
        writeFileSync(join(store, "raw", key.replace(/fits$/, "json")), content);
        return key;
      });
      for (let at = 0; at < keys.length; at += 50)
        expect((await notify("raw", keys.slice(at, at + 50))).status).toBe(200);
      const records = await until(
        async () =>
          [...(await keysOf(site, "file.raw.>")).values()].filter(({ body }) =>
            (body as { readonly key: string }).key.includes("/wild-"),
          ),
        (all) =>
          all.length === keys.length && all.every(({ state }) => state === "known" || state === "parked"),
      );
      // Both, or nothing was tried.
      const states = new Set(records.map((record) => (record as unknown as LedgerRecord).state));
      expect([...states].toSorted()).toEqual(["known", "parked"]);
      expect(({} as { readonly polluted?: unknown }).polluted).toBeUndefined();
      // Of each kind, only what its lane or its actor writes.
      const kinds = new Set([...(await keysOf(site, ">")).keys()].map((key) => key.split(".")[0]));
      for (const kind of kinds)
        expect([
          "file",
          "claim",
          "due",
          "parked",
          "exposure",
          "visit",
          "repeats",
          "waiting",
          "purged",
        ]).toContain(kind);
      await isWell("sidecars");
    },
  );

  it(
    "on the command line are answered, with an exit code of ours and nothing that moves the cursor",
    { timeout: 15 * minutes },
    async () => {
      const flag = fc.constantFrom(
        "--json",
        "--lane",
        "--day",
        "--site",
        "--reason",
        "--note",
        "--state",
        "--",
        "-x",
        "--help",
      );
      const command = fc.constantFrom(
        ["why"],
        ["file", "ls"],
        ["file", "show"],
        ["parked", "ls"],
        ["parked", "show"],
        ["presence"],
        ["status"],
        ["stats"],
        ["cancel"],
        ["send"],
        ["check"],
        ["decode"],
        ["log"],
        ["replay"],
        ["jobs", "ls"],
        ["site", "ls"],
        ["topology", "plan"],
      );
      const words = fc.array(fc.oneof({ weight: 3, arbitrary: nastyName }, { weight: 1, arbitrary: flag }), {
        maxLength: 4,
      });
      const asked = fc.tuple(command, words, fc.boolean());
      const empty = mkdtempSync(join(tmpdir(), "orrery-empty-"));
      try {
        const answered = async (argv: ReadonlyArray<string>, stdin: string): Promise<void> => {
          const { exit, stdout, stderr } = await within(runCli(argv, { env, cwd: empty, stdin }));
          expect([0, 1, 2, 3, 4]).toContain(exit);
          expect(stderr).not.toMatch(/defect of Orrery|^\s+at .*\.ts:\d/m);
          // oxlint-disable-next-line no-control-regex
          expect((stdout + stderr).match(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/)).toBeNull();
        };
        for (const name of nasties) {
          await answered(["check", name], "");
          await answered(["parked", "show", "--site", siteFile, "--", name], "");
        }
        await forAll(asked, long ? 2_000 : 150, ([verb, rest, isSited]) =>
          answered([...verb, ...(isSited ? ["--site", siteFile] : []), ...rest], rest[0] ?? ""),
        );
        expect(readdirSync(empty)).toEqual([]);
      } finally {
        rmSync(empty, { recursive: true, force: true });
      }
      await isWell("cli");
    },
  );

  it("in questions about jobs are refused, and the resolver goes on", { timeout: 10 * minutes }, async () => {
    await withMission({ jobs: ["swe/l1a/all", "swe/l1b/sci"] }, async (nodes) => {
      const { log } = await nodes.site("a");
      const { connection } = nodes.nats;
      const names = [
        "job",
        "partition",
        "instrument",
        "from",
        "to",
        "files",
        "file",
        "name",
        "team",
        "dataset",
        "run",
        "runs",
        "as",
        "note",
      ];
      const value = fc.oneof(
        nastyName,
        fc.jsonValue(),
        fc.constantFrom("swe/l1a/all", "20260310", "imap_swe_l0_raw_20260310_v001.pkts", 1e9),
      );
      const question = fc.oneof(
        {
          weight: 6,
          arbitrary: fc
            .dictionary(fc.constantFrom(...names), value, { maxKeys: 6 })
            .map((asked) => JSON.stringify(asked)),
        },
        nastyBody,
      );
      const asked = fc.tuple(fc.constantFrom(...answers.keys(), "nothing"), question);
      await until(
        async () =>
          (
            await connection.request(`${jobsSubject}.ls`, "{}", { timeout: 5_000 }).catch(() => null)
          )?.string() ?? "",
        (answer) => answer.startsWith("{") && !answer.includes("still being read"),
      );
      await forAll(asked, some, async ([verb, data]) => {
        const answer = await connection.request(`${jobsSubject}.${verb}`, data, { timeout: patienceMs });
        expect(answer.headers?.get("Nats-Service-Error-Code") ?? "").toMatch(/^(?:400)?$/);
        expect(typeof answer.json()).toBe("object");
      });
      expect(log.filter(({ level }) => level === "error")).toEqual([]);
    });
  });
});
