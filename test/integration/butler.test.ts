/**
 * Lanes whose bridge keeps a real Butler, on SQLite and on PostgreSQL: a whole node, files on disk, and everything that goes
 * wrong in a night. What became of each file is compared with what the repositories say of it, asked by data id.
 *
 * `ORRERY_LONG=1` takes 5,000 files, holds the registry for 10 s and kills bridges in the Python tests too.
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ButlerLab, Found, LabItem, Repository } from "../support/butler.ts";
import { bridgeFolder, ButlerLab as Lab, findButlerPython, pythonEnv } from "../support/butler.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { FileRecord, TestSite } from "../support/testSite.ts";
import { ask, patienceMs, recordOf, startSite, until } from "../support/testSite.ts";

const long = process.env["ORRERY_LONG"] === "1";
const night = long ? { exposures: 28, detectors: 180 } : { exposures: 4, detectors: 36 };
const batchDeadlineMs = 5_000;
const day = "20250609";
const kinds = ["sqlite", "postgresql"] as const;
type Kind = (typeof kinds)[number];

const folder = mkdtempSync(path.join(tmpdir(), "orrery-butler-"));
const repoOf = (kind: Kind): string => path.join(folder, `repo-${kind}`);

const rafts = "R01 R02 R03 R10 R11 R12 R13 R14 R20 R21 R22 R23 R24 R30 R31 R32 R33 R34 R41 R42 R43".split(
  " ",
);
const sensors = ["S00", "S01", "S02", "S10", "S11", "S12", "S20", "S21", "S22"];
const detectors = rafts.flatMap((raft) => sensors.map((sensor) => `${raft}_${sensor}`));

interface Frame {
  readonly key: string;
  readonly uri: string;
  readonly seq: number;
  readonly detector: string;
  readonly header: Readonly<Record<string, unknown>>;
}

const nameOf = (seq: number): string => `MC_O_${day}_${String(seq).padStart(6, "0")}`;
const exposureOf = (seq: number): string => `${day}${String(seq).padStart(5, "0")}`;
const numberOf = (detector: string): number => detectors.indexOf(detector);

function headerOf(seq: number, detector: string): Record<string, unknown> {
  const minute = String(seq % 60).padStart(2, "0");
  const begin = `2025-06-10T${String(Math.floor(seq / 60)).padStart(2, "0")}:${minute}`;
  const [raft, slot] = detector.split("_");
  return {
    INSTRUME: "lsstCam",
    CONTRLLR: "O",
    DAYOBS: day,
    SEQNUM: seq,
    OBSID: nameOf(seq),
    GROUPID: `${begin}:00.000`,
    CURINDEX: 1,
    MAXINDEX: 1,
    RAFTBAY: raft,
    CCDSLOT: slot,
    TIMESYS: "TAI",
    "DATE-BEG": `${begin}:00.123`,
    "DATE-END": `${begin}:31.056`,
    FILTER: "i_39",
    EXPTIME: 30,
    DARKTIME: 30.9487,
    IMGTYPE: "OBJECT",
    REASON: "field_survey_science",
    TRACKSYS: "RADEC",
    RA: 320.62687495816675,
    DEC: -17.94136111150278,
    ROTPA: 131.35723576573005,
    ROTCOORD: "sky",
  };
}

/** Writes a file and its sidecar; `absent` leaves the file out. */
function frame(
  kind: Kind,
  seq: number,
  detector: string,
  more: {
    readonly header?: Record<string, unknown>;
    readonly suffix?: string;
    readonly folder?: string;
    readonly absent?: boolean;
  } = {},
): Frame {
  const name = `${nameOf(seq)}_${detector}${more.suffix ?? ""}`;
  const key = `LSSTCam/${day}/${more.folder ?? nameOf(seq)}/${name}.fits`;
  const at = path.join(folder, "store", kind, key);
  const header = { ...headerOf(seq, detector), ...more.header };
  mkdirSync(path.dirname(at), { recursive: true });
  if (more.absent !== true) writeFileSync(at, "SIMPLE  =                    T");
  writeFileSync(at.replace(/fits$/, "json"), JSON.stringify(header));
  return { key, uri: pathToFileURL(at).href, seq, detector, header };
}

const labItem = ({ key, uri, header }: Frame): LabItem => ({ key, uri, kind: "raw", header });

const lane = (kind: Kind, python: string): string => `
  ${kind}:
    kind: exposure
    buckets: [${kind}]
    storage: disk
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/(?:[^/]+_(?<detector>R\\d\\d_S[\\dGW]\\d)(?:_guider)?|[^/]+)\\.fits$'
    metadata: header
    identity: rubin
    sidecar: .json
    batchMax: 150
    workers: 2
    attemptsMax: 3
    backoffBase: 20 ms
    backoffMax: 50 ms
    workDeadline: 3 min
    needs: [{ match: "_guider", needs: exposure, waitMax: 3 s }]
    driver:
      type: subprocess
      command: ["${python}", -m, orrery_butler, --verbose, serve, "${repoOf(kind)}", --stub-formatters]
      env: { PYTHONPATH: "${path.join(bridgeFolder, "src")}", PYTHONDONTWRITEBYTECODE: "1" }
      startDeadline: 60 s
      batchDeadline: ${batchDeadlineMs} ms
`;

const siteText = (server: string, python: string): string => `
name: butler
node: { name: butler-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
storage:
  disk: { driver: file, root: "${path.join(folder, "store")}" }
lanes:${kinds.map((kind) => lane(kind, python)).join("")}
enqueuer:
  insecure: true
`;

let found: Found = { missing: "not looked for" };
const lacking = new Map<Kind, string>();
let lab: ButlerLab;
let nats: TestNats;
let site: TestSite;
beforeAll(async () => {
  found = await findButlerPython();
  if ("missing" in found) return;
  lab = new Lab(found.python);
  for (const kind of kinds) {
    const missing = await lab.open(kind, repoOf(kind));
    if (missing !== null) lacking.set(kind, missing);
  }
  nats = await startNats({ topology: null });
  site = await startSite(siteText(nats.server.url, found.python));
}, 400_000);
afterAll(async () => {
  await site?.stop();
  await nats?.stop();
  await lab?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function announce(kind: Kind, frames: ReadonlyArray<Frame>): Promise<void> {
  for (let i = 0; i < frames.length; i += 1_000) {
    const Records = frames.slice(i, i + 1_000).map(({ key }) => ({
      eventName: "ObjectCreated:Put",
      s3: { bucket: { name: kind }, object: { key, eTag: `etag-of-${key}`, size: 30 } },
    }));
    expect((await ask(site, { body: { Records } })).status).toBe(200);
  }
}

/** The record of each frame, by key, once all have come to their end. */
async function settledAll(
  kind: Kind,
  frames: ReadonlyArray<Frame>,
): Promise<ReadonlyMap<string, FileRecord>> {
  const records = new Map<string, FileRecord>();
  await until(
    async () => {
      const open = frames.filter(({ key }) => !records.has(key)).slice(0, 200);
      const looked = await Promise.all(open.map(({ key }) => recordOf(site, kind, day, kind, key)));
      looked.forEach((record, i) => {
        const key = open[i]?.key;
        if (key !== undefined && (record?.state === "known" || record?.state === "parked"))
          records.set(key, record);
      });
      return frames.length - records.size;
    },
    (left) => left === 0,
    long ? 300_000 : 240_000,
  );
  return records;
}

const bridgesOf = (kind: Kind): ReadonlyArray<number> =>
  site.log.flatMap(({ message, fields }) =>
    message.startsWith(`the bridge of lane ${kind} `) && message.endsWith("is ready")
      ? [Number((fields["about"] as { readonly pid?: unknown }).pid)]
      : [],
  );

const saidOf = (kind: Kind, pattern: RegExp): number =>
  site.log.filter(
    ({ message, fields }) => fields["lane"] === kind && fields["from"] === "bridge" && pattern.test(message),
  ).length;

/** Of all that the lane's bridges said of their batches: how many files became this. */
const toldOf = (kind: Kind, what: string): number =>
  site.log.reduce((sum, { message, fields }) => {
    const said = fields["lane"] === kind ? new RegExp(String.raw`\b(\d+) ${what}\b`).exec(message) : null;
    return sum + Number(said?.[1] ?? 0);
  }, 0);

/** Waits until the lane's bridge has a batch in hand which it had not before `act`. */
async function inHand(kind: Kind, act: () => Promise<void>): Promise<number> {
  const before = saidOf(kind, /batch \S+ begins/);
  await act();
  await until(
    () => saidOf(kind, /batch \S+ begins/),
    (now) => now > before,
    patienceMs,
  );
  const pid = bridgesOf(kind).at(-1);
  if (pid === undefined) throw new Error("no bridge");
  return pid;
}

const outcome = (record: FileRecord | undefined): string =>
  record === undefined
    ? "no record"
    : record.state === "parked"
      ? (record.errors.at(-1)?.reason ?? "parked")
      : record.state;

/** That the repository holds these files, and nothing else: no dataset, exposure or visit too many or too few. */
function holdsExactly(repository: Repository, kind: Kind, raws: ReadonlyArray<Frame>): void {
  const stored = repository.datasets.filter((dataset) => dataset.kind === "raw");
  const expected = raws.map(({ seq, detector, uri }) => ({
    kind: "raw",
    exposure: exposureOf(seq),
    detector: numberOf(detector),
    run: "LSSTCam/raw/all",
    uri,
    by_data_id: true,
  }));
  const byId = (a: { exposure: string; detector: number }, b: { exposure: string; detector: number }) =>
    a.exposure.localeCompare(b.exposure) || a.detector - b.detector;
  expect(stored.toSorted(byId), kind).toEqual(expected.toSorted(byId));
  const seqs = [...new Set(raws.map(({ seq }) => seq))].toSorted((a, b) => a - b);
  const ids = seqs.map(exposureOf);
  const said = (element: keyof Omit<Repository, "datasets" | "raws_of_visits">, field: string) =>
    repository[element].map((record) => String(record[field])).toSorted();
  expect(said("exposure", "id")).toEqual(ids);
  expect(said("exposure", "obs_id")).toEqual(seqs.map(nameOf));
  expect(said("visit", "id")).toEqual(ids);
  expect(said("visit", "name")).toEqual(seqs.map(nameOf));
  expect(said("visit_definition", "exposure")).toEqual(ids);
  expect(said("visit_definition", "visit")).toEqual(ids);
  expect(said("visit_system_membership", "visit")).toEqual(ids);
  const visits = seqs.map((seq) => ({
    visit: exposureOf(seq),
    name: nameOf(seq),
    exposures: [exposureOf(seq)],
    detectors: raws
      .filter((raw) => raw.seq === seq)
      .map(({ detector }) => numberOf(detector))
      .toSorted((a, b) => a - b),
  }));
  const byVisit = (a: { visit: string }, b: { visit: string }) => a.visit.localeCompare(b.visit);
  expect(repository.raws_of_visits.toSorted(byVisit)).toEqual(visits);
  for (const record of [...repository.exposure, ...repository.visit]) {
    expect(record).toMatchObject({ physical_filter: "i_39", day_obs: day, exposure_time: 30 });
  }
}

/** What was in a bridge that died, or waited for it, owes no attempt. One of them may have been a claim of its own, by chance. */
function expectOneCrashAtMost(records: ReadonlyArray<FileRecord>): void {
  for (const record of records) expect(record).toMatchObject({ state: "known", attempts: 0 });
  expect(Math.max(...records.map(({ crashes }) => crashes))).toBeLessThanOrEqual(1);
  expect(records.filter(({ crashesAlone }) => crashesAlone > 0).length).toBeLessThanOrEqual(1);
}

/**
 * Kills the lane's bridge, and stops it, while it works: each time in another batch, a little later in it. What it had written of
 * that batch is found again by the next one.
 */
async function strikes(kind: Kind): Promise<void> {
  for (const [i, signal] of (["SIGKILL", "SIGKILL", "SIGSTOP", "SIGKILL"] as const).entries()) {
    const ingested = toldOf(kind, "ingested");
    await until(
      () => toldOf(kind, "ingested"),
      (now) => now > ingested,
      patienceMs,
    );
    const pid = await inHand(kind, () => Promise.resolve());
    await new Promise((resolve) => setTimeout(resolve, 20 * i));
    process.kill(pid, signal);
    await until(
      () => bridgesOf(kind).at(-1),
      (now) => now !== pid,
      patienceMs,
    );
  }
}

async function aNight(kind: Kind): Promise<void> {
  const repo = repoOf(kind);
  const raws: Array<Frame> = [];
  const nightly = (seqs: ReadonlyArray<number>, count: number): Array<Frame> =>
    seqs.flatMap((seq) => detectors.slice(0, count).map((detector) => frame(kind, seq, detector)));

  // In the repository before Orrery hears of them: at the same place, and at another one.
  const known = nightly([1], 5);
  const elsewhere = detectors
    .slice(100, 103)
    .map((detector) => frame(kind, 1, detector, { folder: "before" }));
  const before = await lab.ingest(repo, [...known, ...elsewhere].map(labItem));
  expect(new Set(Object.values(before))).toEqual(new Set(["ingested"]));
  raws.push(...elsewhere);

  // The night, and among it everything that goes wrong.
  const files = nightly(
    Array.from({ length: night.exposures }, (_, i) => i + 1),
    night.detectors,
  ).filter(({ seq, detector }) => seq !== 1 || !elsewhere.some((moved) => moved.detector === detector));
  raws.push(...files);
  const wrong: ReadonlyArray<readonly [string, Frame]> = [
    ...elsewhere.map(({ detector }) => ["conflict_path", frame(kind, 1, detector)] as const),
    ["conflict_exposure", frame(kind, 1, "R43_S22", { header: { EXPTIME: 29.5 } })],
    ["unknown_detector", frame(kind, 2, "R99_S00")],
    ["unknown_filter", frame(kind, 900, "R22_S11", { header: { FILTER: "pink" } })],
    ["metadata", frame(kind, 901, "R22_S11", { header: { "DATE-BEG": "never", IMGTYPE: "DARK" } })],
    ["ObjectMissing", frame(kind, 2, "R43_S22", { absent: true })],
    ["ExposureNeverCame", frame(kind, 902, "R00_SG0", { suffix: "_guider" })],
  ];
  const guider = frame(kind, 2, "R00_SG0", { suffix: "_guider" });
  const middle = files.length >> 1;
  const all = [guider, ...files.slice(0, middle), ...wrong.map(([, one]) => one), ...files.slice(middle)];
  await announce(kind, all);
  if (long) await strikes(kind);
  const records = await settledAll(kind, all);
  for (const [what, one] of wrong) expect([one.key, outcome(records.get(one.key))]).toEqual([one.key, what]);
  for (const one of [...files, guider])
    expect([one.key, outcome(records.get(one.key))]).toEqual([one.key, "known"]);
  expect(toldOf(kind, "duplicate")).toBeGreaterThanOrEqual(known.length);

  // Killed with a batch in hand, which a lock keeps there.
  const killed = nightly([night.exposures + 1], 20);
  raws.push(...killed);
  await lab.hold(repo);
  process.kill(await inHand(kind, () => announce(kind, killed)), "SIGKILL");
  await lab.release(repo);
  expectOneCrashAtMost([...(await settledAll(kind, killed)).values()]);

  // Hung past its deadline: stopped, so that not even SIGTERM is heard.
  const hung = nightly([night.exposures + 2], 20);
  raws.push(...hung);
  await lab.hold(repo);
  process.kill(await inHand(kind, () => announce(kind, hung)), "SIGSTOP");
  await lab.release(repo);
  const late = [...(await settledAll(kind, hung)).values()];
  expectOneCrashAtMost(late);
  expect(late.some((record) => record.crashes > 0)).toBe(true);

  // The registry locked: for a while, which is waited for; and past the deadline, which costs nobody an attempt.
  const waiting = nightly([night.exposures + 3], 20);
  const given = nightly([night.exposures + 4], 20);
  raws.push(...waiting, ...given);
  await lab.hold(repo);
  const away = saidOf(kind, /ingested/);
  await inHand(kind, () => announce(kind, waiting));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(saidOf(kind, /ingested/)).toBe(away);
  await lab.release(repo);
  await settledAll(kind, waiting);
  await lab.hold(repo);
  const isAway = (): boolean =>
    site.log.some(({ message }) => message.includes(repo) && message.includes("repo_unavailable"));
  await inHand(kind, () => announce(kind, given));
  await until(isAway, Boolean);
  if (long) await new Promise((resolve) => setTimeout(resolve, 10_000));
  await lab.release(repo);
  for (const record of [
    ...(await settledAll(kind, waiting)).values(),
    ...(await settledAll(kind, given)).values(),
  ]) {
    expect(record).toMatchObject({ state: "known", attempts: 0, crashes: 0 });
  }

  const repository = await lab.look(repo);
  holdsExactly(repository, kind, raws);
  expect(repository.datasets.filter((dataset) => dataset.kind === "guider_raw")).toEqual([
    {
      kind: "guider_raw",
      exposure: exposureOf(2),
      detector: 189,
      run: "LSSTCam/raw/guider",
      uri: guider.uri,
      by_data_id: true,
    },
  ]);
}

/** Runs a program of the bridge's own checks; gives its output when it failed. */
function python(executable: string, args: ReadonlyArray<string>): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(executable, args, {
      cwd: bridgeFolder,
      env: { ...process.env, ...pythonEnv() },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    const take = (data: Buffer): void => void (said = (said + data.toString()).slice(-20_000));
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("error", (cause) => resolve(String(cause)));
    child.once("close", (code) => resolve(code === 0 ? "" : `${args.join(" ")}: exit ${code}\n${said}`));
  });
}

describe("a Butler behind a lane", () => {
  for (const kind of kinds)
    it.concurrent(
      `${kind}: each file's outcome is right and nothing is partial, whatever happens to its bridge`,
      async ({ skip }) => {
        if ("missing" in found) return skip(found.missing);
        const missing = lacking.get(kind);
        if (missing !== undefined) return skip(missing);
        await aNight(kind);
      },
      long ? 600_000 : 400_000,
    );

  it.concurrent("the bridge's own tests and types", async ({ skip }) => {
    if ("missing" in found) return skip(found.missing);
    const chosen = long ? [] : ["-m", "not slow"];
    expect(await python(found.python, ["-m", "mypy", "--cache-dir", path.join(folder, "mypy")])).toBe("");
    expect(await python(found.python, ["-m", "pytest", "--quiet", ...chosen])).toBe("");
  }, 900_000);
});
