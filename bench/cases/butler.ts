/**
 * `butler`: files into a Butler repository, through Orrery and through its bridge alone; and what one file costs that Butler refuses.
 *
 * Both sides run the same bridge, on a repository of their own of the same kind, and get the same files in the same batches.
 * The bridge alone is given ready-made requests: what Orrery adds is the queue, the claims, the sidecars and the ledger.
 */
import path from "node:path";
import { arrivalsConsumer } from "../../src/jetstream/topology.ts";
import { encodeArrival } from "../../src/protocol/arrival.ts";
import { arrivalsStream, arrivalSubject } from "../../src/protocol/keys.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { workersPerBridge } from "../../src/limits.ts";
import { bridgeFolder, ButlerLab, findButlerPython } from "../../test/support/butler.ts";
import { store } from "../arrivals.ts";
import { BareBridge } from "../bareBridge.ts";
import type { ButlerFile } from "../butlerFiles.ts";
import { butlerDay, ButlerFiles, ingestItemOf, labItemOf } from "../butlerFiles.ts";
import { compare } from "../compare.ts";
import { drain, pause } from "../drain.ts";
import type { Case, CaseOptions, Result } from "../result.ts";
import { bucket, lane, withStage } from "../stage.ts";

const kinds = ["sqlite", "postgresql"] as const;
type Kind = (typeof kinds)[number];
const batchMax = 300;
const batchWithOneBad = 450;

const arrivalOf = ({ key }: ButlerFile): Write => ({
  subject: arrivalSubject(lane, "LSSTCam", butlerDay),
  data: encodeArrival({
    bucket,
    key,
    etag: `etag of ${key}`,
    size: 30,
    instrument: "LSSTCam",
    day: butlerDay,
    generation: 0,
    via: "webhook",
    receivedAt: "2026-01-01T23:20:30.400Z",
  }),
});

const env = { PYTHONPATH: path.join(bridgeFolder, "src"), PYTHONDONTWRITEBYTECODE: "1" };
const commandOf = (python: string, repo: string): readonly [string, ...ReadonlyArray<string>] => [
  python,
  "-m",
  "orrery_butler",
  "serve",
  repo,
  "--stub-formatters",
];

async function throughput(
  kind: Kind,
  options: CaseOptions,
  python: string,
  lab: ButlerLab,
): Promise<ReadonlyArray<Result>> {
  return withStage(async (stage) => {
    const repos = { ours: path.join(stage.folder, "ours"), bare: path.join(stage.folder, "bare") };
    const missing = await lab.open(kind, repos.ours);
    if (missing !== null) {
      options.say(`butler on ${kind} is left out: ${missing}`);
      return [];
    }
    await lab.open(kind, repos.bare);
    const bare = await BareBridge.start(commandOf(python, repos.bare), env);
    try {
      const node = await stage.startNode({
        name: "node",
        roles: ["ingester"],
        lane: {
          batchMax,
          // Both on the one bridge.
          workers: workersPerBridge,
          metadata: "header",
          identity: "rubin",
          sidecar: ".json",
          driver: { type: "subprocess", command: commandOf(python, repos.ours), env },
        },
      });
      const files = new ButlerFiles(path.join(stage.folder, "files"));
      const count = batchMax * (options.quick ? 6 : 14);
      let round: ReadonlyArray<ButlerFile> = [];
      let total = 0;
      const compared = await compare(
        `butler-${kind}`,
        options,
        options.quick ? 2 : 5,
        {
          program: bare,
          turn: async () => {
            round = files.take(count);
            total += count;
            const { items, ms } = await bare.serve(round.map(ingestItemOf), batchMax);
            return { value: (items / ms) * 1_000, done: count };
          },
        },
        {
          program: node,
          turn: async () => {
            await pause(stage.nats, arrivalsStream, arrivalsConsumer(lane));
            await store(stage.nats, round.map(arrivalOf));
            const value = await drain(stage.nats, arrivalsStream, arrivalsConsumer(lane));
            return { value, done: count };
          },
        },
      );
      for (const repo of [repos.ours, repos.bare]) {
        const held = await lab.count(repo);
        if (held !== total) throw new Error(`${repo} holds ${held} files in place of ${total}`);
      }
      return [
        {
          name: `butler-${kind}`,
          unit: "files/s",
          ...compared,
          goal: "≥ 80 % of the bridge alone",
          goal_met: (compared.ratio ?? 0) >= 0.8,
          note:
            `${count} files a round in batches of ${batchMax}, 189 an exposure, sidecars of 5 KiB, on local disk. ` +
            "raw: the same bridge on another repository, its requests ready-made",
        },
        ...(await oneBad(kind, options, bare, files, lab, repos.bare)),
      ];
    } finally {
      await bare.stop();
    }
  });
}

/** What is wrong with the one file, in words, and who makes it so. */
type Spoil = readonly [string, (file: ButlerFile) => Promise<ButlerFile>];

async function oneBad(
  kind: Kind,
  options: CaseOptions,
  bare: BareBridge,
  files: ButlerFiles,
  lab: ButlerLab,
  repo: string,
): Promise<ReadonlyArray<Result>> {
  const spoils: ReadonlyArray<Spoil> = [
    ["missing", async (file) => ({ ...file, uri: `${file.uri}.gone` })],
    [
      "refused",
      async (file) => {
        // Butler finds out only when the whole batch is in its hands.
        const elsewhere = { ...labItemOf(file), uri: file.uri.replace(/fits$/, "json") };
        await lab.ingest(repo, [elsewhere], { foreignIds: true });
        return file;
      },
    ],
  ];
  const results: Array<Result> = [];
  for (const [what, spoil] of spoils) {
    const rate = async (bad: number): Promise<number> => {
      const batch = [...files.take(batchWithOneBad)];
      const at = Math.floor(batchWithOneBad * 0.617);
      const victim = batch[at];
      if (bad > 0 && victim !== undefined) batch[at] = await spoil(victim);
      return (batchWithOneBad / (await bare.once(batch.map(ingestItemOf), bad))) * 1_000;
    };
    const compared = await compare(
      `butler-${kind}-one-${what}`,
      options,
      options.quick ? 3 : 9,
      { program: bare, turn: async () => ({ value: await rate(0), done: batchWithOneBad }) },
      { program: bare, turn: async () => ({ value: await rate(1), done: batchWithOneBad }) },
    );
    results.push({
      name: `butler-${kind}-one-${what}`,
      unit: "files/s",
      ...compared,
      goal: "",
      goal_met: true,
      note: `batches of ${batchWithOneBad}; ours: one of them is ${what}, the others are ingested; raw: none is`,
    });
  }
  return results;
}

export const butler: Case = {
  name: "butler",
  run: async (options) => {
    const found = await findButlerPython().catch((cause: unknown) => ({ missing: String(cause) }));
    if ("missing" in found) {
      options.say(`butler is left out, no Python with lsst-daf-butler can be made here: ${found.missing}`);
      return [];
    }
    const lab = new ButlerLab(found.python);
    try {
      const results: Array<Result> = [];
      for (const kind of kinds) results.push(...(await throughput(kind, options, found.python, lab)));
      return results;
    } finally {
      await lab.stop();
    }
  },
};
