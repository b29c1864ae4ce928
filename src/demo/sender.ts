/** The camera's side: writes files where the store keeps them, and announces them by webhook. Remembers what it announced. */
import * as Effect from "effect/Effect";
import { keyFacts } from "../protocol/route.ts";
import { encodeToken, objectTail, recordKey } from "../protocol/keys.ts";
import type { State } from "../protocol/records.ts";
import type { StorageDriver } from "../storage/Storage.ts";
import { cephRecord, namelessRecord } from "./ceph.ts";
import type { DemoParts } from "./demoSite.ts";
import type { Lookups } from "./lookups.ts";
import type { Content, PlannedExposure, PlannedObject } from "./nightPlan.ts";
import { nightBucket, otherContent } from "./nightPlan.ts";
import type { NightPicture } from "./picture.ts";

const writesAtOnce = 8;
const postsAtOnce = 8;
const postTries = 8;
const postMsMax = 20_000;
const seenMsMax = 20_000;
const settledMsMax = 120_000;

/** One object as it was announced. */
export interface Sent {
  readonly object: PlannedObject;
  /** Its record's key in the ledger. */
  readonly record: string;
  readonly etags: ReadonlyArray<string>;
  /** Notifications that were answered 200. */
  readonly announced: number;
}

/** What a notification says of an object. */
interface Facts {
  readonly etag: string;
  readonly bytes: number;
  readonly sidecarBytes: number | null;
}

function record(object: PlannedObject, facts: Pick<Facts, "etag" | "bytes">, key = object.key): object {
  return cephRecord({ bucket: object.bucket, key, etag: facts.etag, size: facts.bytes, at: Date.now() });
}

export interface SenderNeeds {
  readonly parts: DemoParts;
  readonly storage: StorageDriver;
  /** Where it POSTs. */
  readonly url: string;
  readonly picture: NightPicture;
  readonly lookups: Lookups;
  readonly signal: AbortSignal;
}

/** The ledger key that an object's record must have. */
export function recordOf(parts: DemoParts, object: PlannedObject): string {
  const tail = objectTail(object.bucket, object.key);
  if (object.bucket !== nightBucket) return recordKey({ mailbox: "unrouted", day: "-", tail });
  const { day } = keyFacts(parts.lane.pattern, object.key);
  return recordKey({ mailbox: parts.lane.name, day: encodeToken(day), tail });
}

/** Runs `each` on all of them, a few at once. */
export async function atOnce<A>(
  most: number,
  all: ReadonlyArray<A>,
  each: (one: A) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let one = all[next++]; one !== undefined; one = all[next++]) await each(one);
  };
  await Promise.all(Array.from({ length: Math.min(most, all.length) }, worker));
}

export class Sender {
  readonly #needs: SenderNeeds;
  readonly #facts = new Map<string, Facts>();
  readonly sent = new Map<string, Sent>();
  readonly exposures: Array<PlannedExposure> = [];
  /** Webhooks that were answered 200. */
  webhooks = 0;
  /** Answers 200 that did not name just what was to be queued. */
  readonly wrongAnswers: Array<string> = [];
  nameless = 0;

  constructor(needs: SenderNeeds) {
    this.#needs = needs;
  }

  /** One webhook an object, as Ceph sends them. */
  async exposure(exposure: PlannedExposure): Promise<void> {
    this.#begin(exposure);
    await this.#objects(exposure.early);
    for (const object of exposure.early) await this.#untilSeen(object);
    await this.#objects(exposure.objects);
    const again = exposure.objects.filter((object) => object.times > 1);
    for (let time = 1; time < Math.max(1, ...again.map((object) => object.times)); time++) {
      await atOnce(
        postsAtOnce,
        again.filter((object) => object.times > time),
        (object) => this.#announce([object]),
      );
    }
  }

  /** Several exposures in one webhook: what a link delivers that was away for a while. */
  async burst(exposures: ReadonlyArray<PlannedExposure>): Promise<void> {
    for (const exposure of exposures) this.#begin(exposure);
    const objects = exposures.flatMap(({ early, objects }) => [...early, ...objects]);
    await atOnce(writesAtOnce, objects, async (object) => void (await this.#upload(object)));
    await this.#announce(objects);
    const again = objects.filter((object) => object.times > 1);
    if (again.length > 0) await this.#announce(again);
  }

  async strays(objects: ReadonlyArray<PlannedObject>): Promise<void> {
    for (const object of objects) this.#needs.picture.expect(recordOf(this.#needs.parts, object));
    await this.#objects(objects);
  }

  /** A record that names no object, beside one that does and was announced before. */
  async namelessBeside(object: PlannedObject, mark: string): Promise<void> {
    const facts = this.#factsOf(object, object.content());
    await this.#post([namelessRecord(nightBucket, mark), record(object, facts)], 1);
    this.nameless++;
    this.#note(object, facts.etag);
  }

  /** The same name again, with other content: once the first is known, for whichever is known first stays. */
  async changed(object: PlannedObject): Promise<void> {
    await this.#until(object, (state) => state === "known", settledMsMax);
    const content = otherContent(object);
    await this.#write(object, content);
    await this.#post([record(object, { etag: content.etag, bytes: content.fits?.length ?? 0 })], 1);
    this.#note(object, content.etag);
  }

  #begin(exposure: PlannedExposure): void {
    const { picture, parts } = this.#needs;
    this.exposures.push(exposure);
    picture.expectExposure(exposure.name, exposure.science, parts.needed);
  }

  async #objects(objects: ReadonlyArray<PlannedObject>): Promise<void> {
    await atOnce(writesAtOnce, objects, async (object) => {
      const content = await this.#upload(object, object.late);
      await this.#announce([object]);
      if (object.late) {
        await this.#untilSeen(object);
        await this.#write(object, content);
      }
    });
  }

  /** Who comes too early, or is uploaded too late, is that by the ledger's word, not by the clock's. */
  #untilSeen(object: PlannedObject): Promise<void> {
    return this.#until(object, (state) => state !== null, seenMsMax);
  }

  async #until(object: PlannedObject, holds: (state: State | null) => boolean, msMax: number): Promise<void> {
    const { picture, parts, signal } = this.#needs;
    const record = recordOf(parts, object);
    const until = performance.now() + msMax;
    while (!holds(picture.state(record)) && performance.now() < until && !signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** @param later not yet, only made */
  async #upload(object: PlannedObject, later = false): Promise<Content> {
    const content = object.content();
    this.#factsOf(object, content);
    if (object.bucket === nightBucket && !later) await this.#write(object, content);
    return content;
  }

  #factsOf(object: PlannedObject, content: Content): Facts {
    const facts = {
      etag: content.etag,
      bytes: content.fits?.length ?? 0,
      sidecarBytes: content.sidecar?.length ?? null,
    };
    this.#facts.set(object.key, facts);
    return facts;
  }

  /** The sidecar first, as the camera does it. */
  async #write(object: PlannedObject, { fits, sidecar }: Content): Promise<void> {
    const { storage } = this.#needs;
    const { bucket, key, sidecarKey } = object;
    if (sidecar !== null) await Effect.runPromise(storage.write(bucket, sidecarKey, sidecar));
    if (fits !== null) await Effect.runPromise(storage.write(bucket, key, fits));
  }

  /** The store announces sidecars too: they miss the lane's pattern and are skipped. */
  async #announce(objects: ReadonlyArray<PlannedObject>): Promise<void> {
    const { lookups } = this.#needs;
    const known = objects.map(
      (object) => this.#facts.get(object.key) ?? this.#factsOf(object, object.content()),
    );
    const records = objects.flatMap((object, i) => {
      const facts = known[i] ?? { etag: "", bytes: 0, sidecarBytes: null };
      const sidecar = { etag: `${facts.etag}-json`, bytes: facts.sidecarBytes ?? 0 };
      const file = record(object, facts);
      return facts.sidecarBytes === null ? [file] : [record(object, sidecar, object.sidecarKey), file];
    });
    for (const { group, expected, key } of objects) {
      if (group !== null && expected.state === "known" && !this.sent.has(key)) lookups.waitFor(group);
    }
    await this.#post(records, objects.filter((object) => object.bucket === nightBucket).length);
    objects.forEach((object, i) => this.#note(object, known[i]?.etag ?? ""));
  }

  #note(object: PlannedObject, etag: string): void {
    const record = recordOf(this.#needs.parts, object);
    const before = this.sent.get(object.key);
    const etags = before?.etags ?? [];
    this.sent.set(object.key, {
      object: before?.object ?? object,
      record,
      etags: etags.includes(etag) ? etags : [...etags, etag],
      announced: (before?.announced ?? 0) + 1,
    });
  }

  /** Sends until it is answered 200, as a store does. @param queued how many records the answer must name */
  async #post(records: ReadonlyArray<object>, queued: number): Promise<void> {
    const body = JSON.stringify({ Records: records });
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#try(body);
      if (typeof answer !== "string") {
        this.webhooks++;
        if (answer.length !== queued) {
          this.wrongAnswers.push(`a webhook with ${queued} files was answered with ${answer.length} queued`);
        }
        return;
      }
      if (this.#needs.signal.aborted || attempt === postTries)
        throw new Error(`POST ${this.#needs.url}: ${answer}`);
      await new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** attempt, 2_000)));
    }
  }

  /** The queued records; or why there are none. */
  async #try(body: string): Promise<ReadonlyArray<unknown> | string> {
    const { url, signal } = this.#needs;
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(postMsMax)]),
      });
      const text = await answer.text();
      if (answer.status !== 200) return `${answer.status} ${text.slice(0, 200)}`;
      const queued: unknown = JSON.parse(text);
      return Array.isArray(queued) ? queued : `answered ${text.slice(0, 200)}`;
    } catch (cause) {
      return cause instanceof Error ? cause.message : String(cause);
    }
  }
}
