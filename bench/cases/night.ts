/**
 * `night`: a whole night of LSSTCam through one node with every role, on the observatory's own site file: webhooks of one record each,
 * interleaved as they come. Flat out, at ten times the real cadence, and at the real one; afterwards the day's statistics must be
 * right to the unit, or the benchmark fails.
 */
import { join } from "node:path";
import { presenceKey, presentSubject } from "../../src/protocol/keys.ts";
import { post } from "../http.ts";
import { statsOf, untilSettled, wrongIn } from "../nightAccount.ts";
import { writeNight } from "../nightFiles.ts";
import type { NightPlan } from "../nightPlan.ts";
import { cadenceMs, groupOf, instrument, planNight } from "../nightPlan.ts";
import { Heard, sendNight } from "../nightSender.ts";
import { nightSite, secret } from "../nightSite.ts";
import { rawStreams } from "../rawStreams.ts";
import type { Case, CaseOptions, Result } from "../result.ts";
import { percentile, round } from "../result.ts";
import type { Stage } from "../stage.ts";
import { cpuMsOf, peakMbOf, withStage } from "../stage.ts";
import { notification } from "./notify.ts";

const day = "20251121";
const bucket = "rubinobs-raw-lsstcam";
const nightExposures = 1_085;
const connections = 256;
/** As docs/performance.md tells whoever has little memory: else V8 keeps 128 MB for what has just been made. */
const nodeOptions = "--max-semi-space-size=16";
const presentMsMax = 300_000;
const settleMsMax = 300_000;
const goals = { nightSeconds: 40, presentMs: 50, nodeMb: 300, statsSeconds: 10 };

type Metadata = "sidecar" | "key";

interface Run {
  readonly name: string;
  readonly metadata: Metadata;
  readonly exposures: number;
  /** Times the real cadence; null: flat out. */
  readonly speed: number | null;
}

interface Played {
  readonly received: number;
  /** From the first webhook to the last item's settling. */
  readonly seconds: number;
  /** From the webhook to the announcement of its group, ms. */
  readonly latencies: ReadonlyArray<number>;
  readonly nodeMb: number | null;
  readonly serverMb: number | null;
  readonly nodeCpuUs: number | null;
  readonly serverCpuUs: number | null;
  readonly statsSeconds: number;
}

const etagOf = (n: number): string => n.toString(16).padStart(32, "0");

/** What is announced of each file; null for corner detectors, of which nobody may ask. */
function subjectsOf(plan: NightPlan, metadata: Metadata): ReadonlyArray<string | null> {
  return plan.files.map((file) => {
    if (file.fate !== "known" || !/^R\d\d_S\d\d$/.test(file.detector)) return null;
    const group = metadata === "key" ? file.exposure : groupOf(file, day);
    const snap = metadata === "key" ? 0 : file.snap;
    return presentSubject(presenceKey(instrument, group, snap, file.detector));
  });
}

interface Sent {
  readonly heard: Heard;
  readonly sentAt: Float64Array;
  readonly started: number;
}

/** Sends the night and waits until all that can be present is. */
async function sendAll(
  options: CaseOptions,
  stage: Stage,
  plan: NightPlan,
  speed: number | null,
  to: { readonly url: string; readonly wildcard: string; readonly subjects: ReadonlyArray<string | null> },
): Promise<Sent> {
  const heard = new Heard(stage.nats, to.wildcard, to.subjects);
  await stage.nats.connection.flush();
  const sentAt = new Float64Array(plan.files.length);
  const { announcements, files } = plan;
  const first = announcements[0]?.at ?? 0;
  const of = (n: number): number => announcements[n]?.file ?? 0;
  const started = performance.now();
  await sendNight(
    {
      url: to.url,
      count: announcements.length,
      connections,
      request: (n) => post("/notify", notification(files[of(n)]?.key ?? "", etagOf(of(n)), bucket, secret)),
      due: speed === null ? null : (n) => ((announcements[n]?.at ?? 0) - first) / speed,
      sentAt: (n, at) => {
        // The first time counts: what is announced again was present already.
        if (sentAt[of(n)] === 0) sentAt[of(n)] = at;
      },
    },
    options.say,
  );
  await heard.until(heard.wanted, presentMsMax);
  heard.stop();
  return { heard, sentAt, started };
}

async function play(options: CaseOptions, run: Run): Promise<Played> {
  const plan = planNight({ exposures: run.exposures, day, seed: 1, lostFiles: run.metadata === "sidecar" });
  return withStage(async (stage) => {
    const files = run.metadata === "sidecar" ? join(stage.folder, "files") : null;
    if (files !== null) writeNight(files, bucket, plan);
    const env = { NOTIFICATION_SECRET: secret };
    const node = await stage.startNode({
      name: "night",
      roles: [],
      env: { ...env, NODE_OPTIONS: nodeOptions },
      site: (natsUrl, dataDir) => nightSite({ natsUrl, dataDir, files }),
    });
    const cpuBefore = node.cpuMs();
    const serverBefore = cpuMsOf(stage.serverPid);
    const { heard, sentAt, started } = await sendAll(options, stage, plan, run.speed, {
      url: node.ready.http ?? "",
      wildcard: presentSubject(">"),
      subjects: subjectsOf(plan, run.metadata),
    });
    options.say(`  all present after ${round((heard.lastAt - started) / 1_000, 1)} s`);
    await untilSettled(stage.nats, settleMsMax);
    const seconds = (performance.now() - started) / 1_000;
    const cpuAfter = node.cpuMs();
    const serverAfter = cpuMsOf(stage.serverPid);
    const [nodeMb, serverMb] = [peakMbOf(node.pid), peakMbOf(stage.serverPid)];
    const site = join(stage.folder, "night", "site.yaml");
    const { summary, seconds: statsSeconds } = await statsOf(site, day, env);
    const wrong = wrongIn(summary, plan.expected);
    if (wrong.length > 0) throw new Error(`the statistics of the night are wrong\n  ${wrong.join("\n  ")}`);
    const latencies: Array<number> = [];
    plan.files.forEach((_, n) => {
      if (heard.at(n) > 0) latencies.push(heard.at(n) - (sentAt[n] ?? Number.NaN));
    });
    const received = plan.expected.received;
    const each = (before: number | null, after: number | null): number | null =>
      before === null || after === null ? null : ((after - before) * 1_000) / received;
    const nodeCpuUs = each(cpuBefore, cpuAfter);
    const serverCpuUs = each(serverBefore, serverAfter);
    options.say(
      `  ${run.name}: ${received} notifications settled in ${round(seconds, 1)} s, present p99 ${percentile(latencies, 0.99)} ms, ` +
        `node ${round(nodeMb ?? 0)} MB and ${round(nodeCpuUs ?? 0)} µs each, server ${round(serverMb ?? 0)} MB and ${round(serverCpuUs ?? 0)} µs each, stats ${round(statsSeconds, 1)} s`,
    );
    return { received, seconds, latencies, nodeMb, serverMb, nodeCpuUs, serverCpuUs, statsSeconds };
  });
}

/** Notifications a second that the plain program makes present, of a part of the night: it has no batches. */
async function playRaw(options: CaseOptions, exposures: number): Promise<number> {
  const plan = planNight({ exposures, day, seed: 1, lostFiles: false });
  return withStage(async (stage) => {
    const files = join(stage.folder, "files");
    writeNight(files, bucket, plan);
    const plain = await rawStreams(stage.nats, "relay");
    const raw = await stage.start("rawRelay", [
      stage.natsUrl,
      plain.stream,
      plain.subject,
      plain.consumer,
      plain.bucket,
      files,
    ]);
    const subjects = plan.files.map((file) => {
      const group = groupOf(file, day).replaceAll(/[^A-Za-z0-9-]/g, "_");
      return `rawPresent.${group}.${file.snap + 1}.${file.detector}`;
    });
    const { heard, started } = await sendAll(options, stage, plan, null, {
      url: raw.ready.http ?? "",
      wildcard: "rawPresent.>",
      subjects,
    });
    const rate = plan.expected.received / ((heard.lastAt - started) / 1_000);
    options.say(`  raw: ${plan.expected.received} notifications, ${round(rate)}/s`);
    return rate;
  });
}

interface Said {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  readonly goal?: { readonly text: string; readonly met: boolean };
  readonly raw?: number | null;
  readonly latencies?: ReadonlyArray<number>;
  readonly cpuUs?: number | null;
  readonly note: string;
}

function said({ name, unit, value, goal, raw = null, latencies = [], cpuUs = null, note }: Said): Result {
  return {
    name,
    unit,
    ours: round(value, 1),
    raw: raw === null ? null : round(raw, 1),
    ratio: raw === null ? null : round(value / raw, 3),
    goal: goal?.text ?? "",
    goal_met: goal?.met ?? true,
    p50_ms: percentile(latencies, 0.5),
    p99_ms: percentile(latencies, 0.99),
    raw_p50_ms: null,
    raw_p99_ms: null,
    cpu_us: cpuUs === null ? null : round(cpuUs, 1),
    raw_cpu_us: null,
    rounds: [{ ours: round(value, 1), raw: raw === null ? null : round(raw, 1) }],
    note,
  };
}

const modes: Readonly<Record<Metadata, string>> = {
  sidecar: "metadata: header, from sidecars on a local file store",
  key: "metadata: key, nothing is read",
};

function memory(name: string, { nodeMb, serverMb }: Played): ReadonlyArray<Result> {
  const rows: Array<Result> = [];
  if (nodeMb !== null) {
    const goal = { text: `< ${goals.nodeMb} MB`, met: nodeMb < goals.nodeMb };
    rows.push(
      said({
        name: `${name}: node`,
        unit: "MB at most",
        value: nodeMb,
        goal,
        note: `resident set, with NODE_OPTIONS=${nodeOptions}`,
      }),
    );
  }
  if (serverMb !== null) {
    rows.push(said({ name: `${name}: server`, unit: "MB at most", value: serverMb, note: "resident set" }));
  }
  return rows;
}

async function flatOut(options: CaseOptions, metadata: Metadata): Promise<ReadonlyArray<Result>> {
  const exposures = options.quick ? 60 : nightExposures;
  const raw = metadata === "sidecar" ? await playRaw(options, options.quick ? 20 : 60) : null;
  const name = `night, flat out (${metadata})`;
  const played = await play(options, { name, metadata, exposures, speed: null });
  const { received, seconds, statsSeconds, latencies, nodeCpuUs: cpuUs } = played;
  // Of a part of the night, as many seconds as the part is of the whole.
  const part = exposures / nightExposures;
  const within = goals.nightSeconds * part;
  return [
    said({
      name,
      unit: "notifications/s",
      value: received / seconds,
      goal: { text: `night < ${goals.nightSeconds} s`, met: seconds < within },
      raw,
      latencies,
      cpuUs,
      note:
        `${received} notifications of ${exposures} exposures in ${round(seconds, 1)} s, from the first webhook to the last settle, over ${connections} connections; ` +
        `${modes[metadata]}. raw: node:http → publish → consume → sidecar → KV put → announce, one by one, without ledger, claims, exposures or visits`,
    }),
    ...memory(name, played),
    said({
      name: `${name}: orrery stats`,
      unit: "s",
      value: statsSeconds,
      goal: { text: `< ${goals.statsSeconds} s`, met: statsSeconds < goals.statsSeconds },
      note: "right to the unit: received, duplicates, known, parked, highest number, gaps, missing detectors",
    }),
  ];
}

async function paced(options: CaseOptions, speed: number, exposures: number): Promise<ReadonlyArray<Result>> {
  const name = speed === 1 ? "night, real cadence" : `night, ${speed} × real cadence`;
  const played = await play(options, { name, metadata: "sidecar", exposures, speed });
  const p99 = percentile(played.latencies, 0.99) ?? Number.NaN;
  return [
    said({
      name,
      unit: "ms (p99)",
      value: p99,
      ...(speed === 1 ? {} : { goal: { text: `p99 < ${goals.presentMs} ms`, met: p99 < goals.presentMs } }),
      latencies: played.latencies,
      cpuUs: played.nodeCpuUs,
      note:
        `${played.received} notifications of ${exposures} exposures, one every ${cadenceMs / 1_000 / speed} s, most of its files within ${6 / speed} s; ` +
        `from the moment a webhook was due to the announcement of its group; ${modes.sidecar}`,
    }),
    ...memory(name, played),
  ];
}

const parts: Readonly<Record<string, (options: CaseOptions) => Promise<ReadonlyArray<Result>>>> = {
  "night-flat": (options) => flatOut(options, "sidecar"),
  "night-key": (options) => flatOut(options, "key"),
  "night-x10": (options) => paced(options, 10, options.quick ? 5 : 20),
  "night-real": (options) => paced(options, 1, options.quick ? 1 : 2),
};

/** The night as a whole, and its parts by names of their own. */
export const nights: ReadonlyArray<Case> = [
  {
    name: "night",
    run: async (options) => {
      const results: Array<Result> = [];
      for (const part of Object.values(parts)) results.push(...(await part(options)));
      return results;
    },
  },
  ...Object.entries(parts).map(([name, run]) => ({ name, run })),
];
