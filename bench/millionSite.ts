/** A site after some nights: its file, and a ledger filled with what those nights would have left, by the product's own functions. */
import * as Effect from "effect/Effect";
import { parseSite } from "../src/config/loadSite.ts";
import type { Site } from "../src/config/Site.ts";
import { writesOf } from "../src/jetstream/claims.ts";
import { Mailbox } from "../src/jetstream/mailbox.ts";
import type { NatsService } from "../src/jetstream/Nats.ts";
import { apply, receiverConsumer, visitsConsumer, arrivalsConsumer } from "../src/jetstream/topology.ts";
import type { Write } from "../src/jetstream/transaction.ts";
import { commitUnsafe, ledgerPut } from "../src/jetstream/transaction.ts";
import { siteTopology } from "../src/node/link.ts";
import { encodeArrival } from "../src/protocol/arrival.ts";
import type { JobRecord } from "../src/protocol/jobs.ts";
import { evaluate, partitionKey, runPlace } from "../src/protocol/jobs.ts";
import {
  arrivalsStream,
  arrivalSubject,
  exposureKey,
  kvStream,
  kvSubject,
  ledgerBucket,
  notifiedKey,
  objectTail,
  presenceBucket,
  presenceKey,
  recordKey,
  visitKey,
} from "../src/protocol/keys.ts";
import type { Place } from "../src/protocol/keys.ts";
import { settle } from "../src/protocol/lifecycle.ts";
import type { FileBody, LedgerRecord } from "../src/protocol/records.ts";
import { encodeJson, encodeText, recordVersion } from "../src/protocol/records.ts";
import type { RunBody } from "../src/protocol/runs.ts";
import type { VisitFact, VisitRecord } from "../src/protocol/visits.ts";
import { withFact } from "../src/protocol/visits.ts";
import type { Told } from "../src/protocol/webhooks.ts";
import { accepted, markOf, nothingNotified } from "../src/protocol/webhooks.ts";
import { bucket, lane } from "./stage.ts";

const detectors = 189;
export const nights = 5;
const instrument = "LSSTCam";
const groupsKeptSeconds = 86_400;
const receiver = "summit";
const inFlight = 4;

/** Everything follows the ledger here: jobs, a receiver of webhooks, visits. */
export const siteText = (natsUrl: string, dataDir: string): string =>
  JSON.stringify({
    name: "million",
    nats: { mode: "external", servers: [natsUrl] },
    http: { host: "127.0.0.1", port: 0 },
    lanes: {
      [lane]: {
        kind: "exposure",
        buckets: [bucket],
        metadata: "key",
        batchMax: 300,
        retention: "30 days",
        pattern:
          "^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$",
      },
    },
    presence: { instruments: [instrument] },
    jobs: {
      quicklook: {
        version: "1",
        partition: "exposure",
        lane: "quick",
        inputs: [{ lane, detectors: ["R22_S11"] }],
        outputs: [],
        command: ["true"],
        timeLimit: "10 s",
      },
    },
    // Nobody listens there: whatever it would be told again would be seen as waiting.
    webhooks: { [receiver]: { url: "http://127.0.0.1:9/never" } },
    visits: {},
    dataDir,
    log: { level: process.env["ORRERY_BENCH_LOG"] ?? "error", format: "pretty" },
  });

const detectorName = (d: number): string =>
  `R${String(Math.floor(d / 9) + 2).padStart(2, "0")}_S${Math.floor((d % 9) / 3)}${d % 3}`;

interface Night {
  readonly day: string;
  readonly startedAt: number;
}

/** The last nights, newest last: what is past its retention would be purged. */
function nightsOf(now: number): ReadonlyArray<Night> {
  return Array.from({ length: nights }, (_, i) => {
    const startedAt = now - (nights - i) * 86_400_000;
    return { day: new Date(startedAt).toISOString().slice(0, 10).replaceAll("-", ""), startedAt };
  });
}

export interface Filled {
  readonly files: number;
  readonly exposures: number;
  readonly lastDay: string;
  /** A file in the middle, and a group of the last night. */
  readonly someKey: string;
  readonly group: { readonly name: string; readonly detector: string };
}

/** One exposure: its files, and what followers have made of it. */
function exposureWrites(
  night: Night,
  n: number,
  site: Site,
): { ledger: Write[]; arrivals: Write[]; groups: Write[] } {
  const ledger: Array<Write> = [];
  const arrivals: Array<Write> = [];
  const groups: Array<Write> = [];
  const { day } = night;
  const exposure = `MC_O_${day}_${String(n).padStart(6, "0")}`;
  const now = night.startedAt + n * 30_000;
  const at = new Date(now).toISOString();
  const laneRules = site.lanes.get(lane);
  const job = site.jobs.get("quicklook");
  if (laneRules === undefined || job === undefined)
    throw new Error("the bench's site has lost its lane or job");
  const told: Array<Told> = [];
  let visit: VisitRecord | null = null;
  for (let d = 0; d < detectors; d++) {
    const detector = detectorName(d);
    const key = `${instrument}/${day}/${exposure}/${exposure}_${detector}.fits`;
    const etag = `${n.toString(16)}${d.toString(16)}`.padStart(32, "0");
    const place: Place = { mailbox: lane, day, tail: objectTail(bucket, key) };
    const record = recordKey(place);
    const uri = `s3://${bucket}/${key}`;
    const body: FileBody = {
      bucket,
      key,
      size: 8_388_608,
      uri,
      identity: { instrument, day, exposure, group: at, snap: 0, detector, seq: n },
      metadata: {
        source: "sidecar",
        exposureId: `${day}${String(n).padStart(5, "0")}`,
        groupFromHeader: true,
        physicalFilter: "r_57",
        observationType: "science",
        reason: "survey",
        exposureSeconds: 30,
        begin: at,
        end: at,
        groupSize: 1,
      },
      via: "webhook",
      receivedAt: at,
      sequence: n * detectors + d + 1,
    };
    const subject = { place, etag, generation: 0, before: null, body, alone: false };
    const moment = { now: now + 40, random: 0.5, node: "node-1", claim: `epoch.${lane}-0.${n}` };
    ledger.push(...writesOf(record, 0, settle(subject, { type: "done", body }, laneRules, moment, "known")));
    arrivals.push({
      subject: arrivalSubject(lane, instrument, day),
      data: encodeArrival({
        bucket,
        key,
        etag,
        instrument,
        day,
        size: body.size,
        generation: 0,
        via: "webhook",
        receivedAt: at,
      }),
    });
    groups.push({
      subject: kvSubject(presenceBucket, presenceKey(instrument, at, 0, detector)),
      data: encodeText(uri),
      ttlSeconds: groupsKeptSeconds,
    });
    told.push({
      instrument,
      day,
      exposure,
      filename: `${exposure}_${detector}.fits`,
      mark: markOf(record, etag),
    });
    const fact: VisitFact = {
      system: "one-to-one",
      instrument,
      day,
      visit: exposure,
      group: at,
      exposure,
      detector,
      promised: 1,
    };
    visit = withFact(visit, fact);
  }
  ledger.push(
    ledgerPut(exposureKey(instrument, day, exposure), encodeJson({ v: recordVersion, at, lane })),
    ledgerPut(
      notifiedKey(receiver, day, instrument, exposure),
      encodeJson(accepted(nothingNotified(exposure), told, now)),
    ),
    ledgerPut(visitKey(instrument, day, exposure), encodeJson(visit)),
    ...jobWrites(job, { instrument, day, exposure }, now),
  );
  return { ledger, arrivals, groups };
}

function jobWrites(
  job: NonNullable<ReturnType<Site["jobs"]["get"]>>,
  partition: { readonly instrument: string; readonly day: string; readonly exposure: string },
  now: number,
): ReadonlyArray<Write> {
  const { day, exposure } = partition;
  const key = `${instrument}/${day}/${exposure}/${exposure}_R22_S11.fits`;
  const file = {
    record: recordKey({ mailbox: lane, day, tail: objectTail(bucket, key) }),
    lane,
    bucket,
    key,
    etag: "e",
    uri: `s3://${bucket}/${key}`,
    detector: "R22_S11",
  };
  const ready = evaluate(job, partition, [file]);
  if (ready.type !== "ready") throw new Error("the bench's job is not made ready by its input");
  const place = runPlace(job, partition, ready.hash);
  const at = new Date(now).toISOString();
  const body: RunBody = {
    job: job.name,
    version: job.version,
    partition,
    hash: ready.hash,
    inputs: ready.inputs,
    createdAt: at,
    started: null,
    outputs: [],
    result: {
      exit: 0,
      timedOut: false,
      startedAt: at,
      endedAt: at,
      peakRssBytes: null,
      log: "log",
      manifest: "manifest",
      version: job.version,
      node: "node-1",
    },
  };
  const run: LedgerRecord<RunBody> = {
    v: recordVersion,
    state: "done",
    generation: 0,
    etag: ready.hash,
    claim: "epoch.0",
    attempts: 0,
    crashes: 0,
    crashesAlone: 0,
    errors: [],
    history: [{ at, event: "done", node: "node-1", detail: "0 outputs in 1.0 s" }],
    body,
  };
  const record: JobRecord = {
    v: recordVersion,
    job: job.name,
    version: job.version,
    partition,
    state: "done",
    blockedOn: [],
    inputs: ready.hash,
    run: recordKey(place),
  };
  return [
    ledgerPut(partitionKey(job.name, partition), encodeJson(record)),
    ledgerPut(recordKey(place), encodeJson(run)),
  ];
}

/** Sends in batches, a few at a time, as they are made: nothing of a million is held. */
class Filler {
  readonly #nats: NatsService;
  readonly #waiting: Array<Write> = [];
  readonly #open = new Set<Promise<void>>();

  constructor(nats: NatsService) {
    this.#nats = nats;
  }

  async add(writes: ReadonlyArray<Write>): Promise<void> {
    this.#waiting.push(...writes);
    while (this.#waiting.length >= 1_000) await this.#send(this.#waiting.splice(0, 1_000));
  }

  async #send(batch: ReadonlyArray<Write>): Promise<void> {
    if (this.#open.size >= inFlight) await Promise.race(this.#open);
    const sent = commitUnsafe(this.#nats, "fill", batch, 60_000).then((answer) => {
      if ("_tag" in answer) throw answer;
      this.#open.delete(sent);
    });
    this.#open.add(sent);
  }

  async end(): Promise<void> {
    if (this.#waiting.length > 0) await this.#send(this.#waiting.splice(0));
    await Promise.all(this.#open);
  }
}

/** Takes and acknowledges everything: a cursor that stands at the end, as after those nights. */
async function catchUp(nats: NatsService, stream: string, consumer: string, turns: boolean): Promise<void> {
  const mailbox = new Mailbox(nats, stream, consumer, turns);
  try {
    for (;;) {
      const some = await mailbox.take(2_000, 1_000);
      for (const { reply } of some) mailbox.ack(reply);
      if (some.length === 0) return;
      mailbox.prefetch(2_000);
    }
  } finally {
    mailbox.close();
  }
}

export async function fill(
  nats: NatsService,
  natsUrl: string,
  dataDir: string,
  files: number,
  say: (line: string) => void,
): Promise<Filled> {
  const { site } = await Effect.runPromise(parseSite(siteText(natsUrl, dataDir), "million.yaml"));
  await Effect.runPromise(apply(nats, siteTopology(site, [])));
  const started = performance.now();
  const all = nightsOf(Date.now());
  const perNight = Math.ceil(files / nights / detectors);
  const ledger = new Filler(nats);
  const arrivals = new Filler(nats);
  const groups = new Filler(nats);
  for (const night of all) {
    const last = night === all.at(-1);
    for (let n = 1; n <= perNight; n++) {
      const writes = exposureWrites(night, n, site);
      await ledger.add(writes.ledger);
      await arrivals.add(writes.arrivals);
      if (last) await groups.add(writes.groups);
    }
    say(`  filled ${night.day} (${Math.round((performance.now() - started) / 1_000)} s)`);
  }
  await Promise.all([ledger.end(), arrivals.end(), groups.end()]);
  await Promise.all([
    catchUp(nats, arrivalsStream, arrivalsConsumer(lane), false),
    catchUp(nats, kvStream(ledgerBucket), visitsConsumer, false),
    catchUp(nats, kvStream(ledgerBucket), receiverConsumer(receiver), true),
  ]);
  say(`  cursors at the end (${Math.round((performance.now() - started) / 1_000)} s)`);
  const [first] = all;
  const newest = all.at(-1);
  if (first === undefined || newest === undefined) throw new Error("no nights");
  const middle = Math.ceil(perNight / 2);
  const exposure = `MC_O_${first.day}_${String(middle).padStart(6, "0")}`;
  return {
    files: perNight * nights * detectors,
    exposures: perNight * nights,
    lastDay: newest.day,
    someKey: `${instrument}/${first.day}/${exposure}/${exposure}_R22_S11.fits`,
    group: { name: new Date(newest.startedAt + middle * 30_000).toISOString(), detector: "R22_S11" },
  };
}
