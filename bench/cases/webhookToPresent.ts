/** `webhook-to-present`: from the webhook's sending to the announcement of its group, with everything between on disk. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeSample } from "../../src/demo/fitsWriter.ts";
import type { Sample } from "../../src/demo/fitsWriter.ts";
import { presenceKey, presentSubject } from "../../src/protocol/keys.ts";
import type { Side, Turn } from "../compare.ts";
import { compare } from "../compare.ts";
import { answerLength, connectTo, post } from "../http.ts";
import { rawStreams } from "../rawStreams.ts";
import type { Case } from "../result.ts";
import { percentile } from "../result.ts";
import type { Program, Stage } from "../stage.ts";
import { bucket, withStage } from "../stage.ts";
import { notification } from "./notify.ts";

const perSecond = 200;
const connections = 8;
const lateMs = 10_000;
const goalMs = 20;

interface Exposure {
  readonly sample: Sample;
  readonly group: string;
}

function exposure(n: number): Exposure {
  const group = `2025-11-21T07:03:14.565#${n}`;
  const camera = { instrument: "LSSTCam", day: "20251121", raftBay: "R22", ccdSlot: "S11" } as const;
  return { group, sample: makeSample({ ...camera, seqNum: n + 1, group }) };
}

async function write(folder: string, exposures: ReadonlyArray<Exposure>): Promise<void> {
  for (const { sample } of exposures) {
    const file = join(folder, bucket, sample.key);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, sample.fits);
    await writeFile(join(folder, bucket, sample.sidecarKey), sample.sidecar);
  }
}

/** A webhook every 5 ms, whatever became of the ones before. */
async function send(
  url: string,
  exposures: ReadonlyArray<Exposure>,
  sentAt: (n: number, at: number) => void,
): Promise<void> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => connectTo(url)));
  const free = [...sockets];
  const waiting: Array<number> = [];
  let answered = 0;
  try {
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        const n = waiting[0];
        const socket = n === undefined ? undefined : free.pop();
        if (n === undefined || socket === undefined) return;
        waiting.shift();
        let text = "";
        const listen = (chunk: string): void => {
          text += chunk;
          try {
            if (answerLength(text) === 0) return;
          } catch (cause) {
            reject(cause);
            return;
          }
          socket.off("data", listen);
          free.push(socket);
          if (++answered === exposures.length) resolve();
          else next();
        };
        socket.on("data", listen);
        socket.write(
          post("/notify", notification(exposures[n]?.sample.key ?? "", n.toString(16).padStart(32, "0"))),
        );
      };
      const started = performance.now();
      let scheduled = 0;
      const timer = setInterval(() => {
        const now = performance.now();
        while (scheduled < exposures.length && now - started >= (scheduled * 1_000) / perSecond) {
          // Measured from when it was due: a sender that is held up is a part of what a caller sees.
          sentAt(scheduled, started + (scheduled * 1_000) / perSecond);
          waiting.push(scheduled++);
          next();
        }
        if (scheduled === exposures.length) clearInterval(timer);
      }, 1);
    });
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

interface Announced {
  readonly wildcard: string;
  readonly subjectOf: (group: string) => string;
}

async function turn(
  stage: Stage,
  program: Program,
  exposures: ReadonlyArray<Exposure>,
  { wildcard, subjectOf }: Announced,
): Promise<Turn> {
  const sent: Array<number> = [];
  const heard = new Map<string, number>();
  let all: () => void = () => undefined;
  const complete = new Promise<void>((resolve) => {
    all = resolve;
  });
  const subscription = stage.nats.connection.subscribe(wildcard, {
    callback: (_error, message) => {
      if (!heard.has(message.subject)) heard.set(message.subject, performance.now());
      if (heard.size === exposures.length) all();
    },
  });
  await stage.nats.connection.flush();
  await send(program.ready.http ?? "", exposures, (n, at) => {
    sent[n] = at;
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${heard.size} of ${exposures.length} became present`)),
      lateMs,
    );
  });
  await Promise.race([complete, late]);
  clearTimeout(timer);
  subscription.unsubscribe();
  const latencies = exposures.map(
    ({ group }, n) => (heard.get(subjectOf(group)) ?? Number.NaN) - (sent[n] ?? Number.NaN),
  );
  return { value: percentile(latencies, 0.99) ?? Number.NaN, done: exposures.length, latencies };
}

const ourAnnouncements: Announced = {
  wildcard: presentSubject(">"),
  subjectOf: (group) => presentSubject(presenceKey("LSSTCam", group, 0, "R22_S11")),
};
const rawAnnouncements: Announced = {
  wildcard: "rawPresent.>",
  subjectOf: (group) => `rawPresent.${group.replaceAll(/[^A-Za-z0-9-]/g, "_")}.1.R22_S11`,
};

export const webhookToPresent: Case = {
  name: "webhook-to-present",
  run: (options) =>
    withStage(async (stage) => {
      const rounds = options.quick ? 1 : 3;
      const each = perSecond * (options.quick ? 1 : 2);
      const plain = await rawStreams(stage.nats, "relay");
      const folder = join(stage.folder, "files");
      const node = await stage.startNode({
        name: "node",
        roles: ["enqueuer", "ingester", "reclaimer", "presence"],
        lane: { metadata: "header", identity: "rubin", sidecar: ".json" },
      });
      const raw = await stage.start("rawRelay", [
        stage.natsUrl,
        plain.stream,
        plain.subject,
        plain.consumer,
        plain.bucket,
        folder,
      ]);
      let made = 0;
      const side = (program: Program, announced: Announced): Side => ({
        program,
        turn: async () => {
          const exposures = Array.from({ length: each }, () => exposure(made++));
          await write(folder, exposures);
          return turn(stage, program, exposures, announced);
        },
      });
      const compared = await compare(
        "webhook-to-present",
        options,
        rounds,
        side(raw, rawAnnouncements),
        side(node, ourAnnouncements),
      );
      return [
        {
          name: "webhook-to-present",
          unit: "ms (p99)",
          ...compared,
          goal: `p99 < ${goalMs} ms`,
          goal_met: compared.ours < goalMs,
          note:
            `${perSecond} webhooks/s, each for a new exposure with a sidecar on disk, one node with every role; from the moment ` +
            "the webhook was due to the announcement of its group. raw: node:http → publish → consume → sidecar → KV put → announce",
        },
      ];
    }),
};
