/** What is true at the end of the night, read from the ledger, the streams and the services themselves, not from the view. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { readStreamUnsafe, scanUnsafe } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { decodeArrival } from "../protocol/arrival.ts";
import {
  arrivalsStream,
  decodeKeyPart,
  ledgerBucket,
  noDay,
  presenceRequestSubject,
} from "../protocol/keys.ts";
import type { ClaimSlot, FileBody, LedgerRecord } from "../protocol/records.ts";
import { decodeRecord, decodeSlot } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { decodeRun } from "../protocol/runs.ts";
import { presencePath } from "./lookups.ts";
import type { PlannedGroup, PlannedObject } from "./nightPlan.ts";
import { nightInstrument } from "./nightPlan.ts";
import { nightKeys } from "./picture.ts";
import { atOnce } from "./sender.ts";

/** What a look-up answered: the URI of a group that is here, null for one that is not, or the fault. */
export type Found = string | null | { readonly fault: string };

export interface Presence {
  readonly group: PlannedGroup;
  readonly object: PlannedObject;
  readonly http: Found;
  readonly nats: Found;
}

export interface Evidence {
  /** All `file.` records whose key names the night or no day. */
  readonly files: ReadonlyMap<string, LedgerRecord<FileBody>>;
  readonly runs: ReadonlyMap<string, LedgerRecord<RunBody>>;
  readonly slots: ReadonlyMap<string, ClaimSlot>;
  /** Keys of `due`, `waiting` and `parked` that stand. */
  readonly indexes: ReadonlyArray<string>;
  /** Arrivals of the night as they came in, by object key: how many were stored of each content. */
  readonly arrivals: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly presence: ReadonlyArray<Presence>;
  /** Exposures whose picture is there and is a PNG. */
  readonly pictures: ReadonlySet<string>;
}

export interface EvidenceNeeds {
  readonly nats: NatsService;
  /** Base URL of the first node. */
  readonly http: string;
  readonly day: string;
  readonly lane: string;
  readonly objects: ReadonlyArray<PlannedObject>;
  readonly exposures: ReadonlyArray<string>;
  /** Of the storage, and the bucket of the products. */
  readonly root: string;
  readonly products: string;
}

export async function readEvidence(needs: EvidenceNeeds): Promise<Evidence> {
  const { nats, day } = needs;
  const files = new Map<string, LedgerRecord<FileBody>>();
  const runs = new Map<string, LedgerRecord<RunBody>>();
  const slots = new Map<string, ClaimSlot>();
  const indexes: Array<string> = [];
  const filters = [...nightKeys(day), `due.>`, `waiting.>`, `parked.>`];
  await scanUnsafe(nats, ledgerBucket, filters, ({ key, data }) => {
    if (key.startsWith("file.")) files.set(key, decodeRecord<FileBody>(key, data));
    else if (key.startsWith("run.")) runs.set(key, decodeRun(key, data));
    else if (key.startsWith("claim.")) slots.set(key, decodeSlot(key, data));
    else indexes.push(key);
  });
  return {
    files,
    runs,
    slots,
    indexes,
    arrivals: await readArrivals(nats, needs.lane, day),
    presence: await askAll(needs),
    pictures: await readPictures(needs),
  };
}

async function readArrivals(
  nats: NatsService,
  lane: string,
  day: string,
): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  const arrivals = new Map<string, Map<string, number>>();
  for (const place of [`${nightInstrument}.${day}`, `*.${noDay}`]) {
    await readStreamUnsafe(nats, arrivalsStream, `arrive.${lane}.${place}`, ({ data }) => {
      const arrival = decodeArrival(data);
      // What was put back is told by its generation: it came in once.
      if (arrival === null || arrival.generation > 0) return;
      const contents = arrivals.get(arrival.key) ?? new Map<string, number>();
      contents.set(arrival.etag, (contents.get(arrival.etag) ?? 0) + 1);
      arrivals.set(arrival.key, contents);
    });
  }
  return arrivals;
}

const asksAtOnce = 16;
const askMsMax = 5_000;

async function askAll(needs: EvidenceNeeds): Promise<ReadonlyArray<Presence>> {
  const presence: Array<Presence> = [];
  await atOnce(asksAtOnce, needs.objects, async (object) => {
    const { group } = object;
    if (group === null) return;
    const [http, nats] = await Promise.all([askHttp(needs.http, group), askNats(needs.nats, group)]);
    presence.push({ group, object, http, nats });
  });
  return presence;
}

function readAnswer(text: string): Found {
  const body = JSON.parse(text) as {
    readonly error?: boolean;
    readonly present?: boolean;
    readonly uri?: string;
  };
  if (body.error !== false) return { fault: text.trim() };
  return body.present === true ? (body.uri ?? "") : null;
}

const faultOf = (cause: unknown): Found => ({
  fault: cause instanceof Error ? cause.message : String(cause),
});

const askHttp = (url: string, group: PlannedGroup): Promise<Found> =>
  fetch(url + presencePath(group), { signal: AbortSignal.timeout(askMsMax) })
    .then((answer) => answer.text())
    .then(readAnswer)
    .catch(faultOf);

const askNats = (nats: NatsService, { instrument, group, snap, detector }: PlannedGroup): Promise<Found> =>
  Effect.runPromise(
    nats.request(
      "ask for a group",
      presenceRequestSubject,
      JSON.stringify({ instrument, group, snap, detector }),
    ),
  )
    .then((answer) => readAnswer(answer.string()))
    .catch(faultOf);

const pngBegin = "89504e470d0a1a0a";

export const picturePath = (root: string, bucket: string, day: string, exposure: string): string =>
  join(root, bucket, "quicklook", day, exposure, "quicklook.png");

async function readPictures(needs: EvidenceNeeds): Promise<ReadonlySet<string>> {
  const pictures = new Set<string>();
  for (const exposure of needs.exposures) {
    try {
      const file = await open(picturePath(needs.root, needs.products, needs.day, exposure));
      try {
        const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 0);
        if (buffer.toString("hex") === pngBegin) pictures.add(exposure);
      } finally {
        await file.close();
      }
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    }
  }
  return pictures;
}

/** The object name in a record's key, for people. */
export function nameOfRecord(key: string): string {
  const tail = key.split(".").slice(3).join(".");
  const name = decodeKeyPart(tail) ?? tail;
  return name.slice(name.lastIndexOf("/") + 1);
}
