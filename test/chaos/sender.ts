/** Who announces objects: webhooks to whichever node answers, each sent again until it is answered 200. */
import { setTimeout as sleep } from "node:timers/promises";
import { noDay, objectTail, recordKey } from "../../src/protocol/keys.ts";
import type { Accepted } from "./checker.ts";
import { slack } from "./slack.ts";

export interface Announced {
  readonly key: string;
  readonly etag: string;
  /** Default: {@link bucket}. */
  readonly bucket?: string;
}

export const bucket = "chaos";
export const lane = "files";

const answerMsMax = 4_000;

/** Lane and bucket have one name where there is a second lane. */
const laneOf = (of: string): string => (of === bucket ? lane : of);

/** The ledger key of an object: the first folder of eight digits in its key is its day. */
export function recordIn(of: string, key: string): string {
  const day = /(?:^|\/)(\d{8})\//.exec(key)?.[1] ?? noDay;
  return recordKey({ mailbox: laneOf(of), day, tail: objectTail(of, key) });
}

export const recordOf = (key: string): string => recordIn(bucket, key);

export const notification = (objects: ReadonlyArray<Announced>): string =>
  JSON.stringify({
    Records: objects.map(({ key, etag, bucket: of = bucket }) => ({
      eventName: "s3:ObjectCreated:Put",
      s3: { bucket: { name: of }, object: { key: encodeURIComponent(key), eTag: etag, size: 1 } },
    })),
  });

/** Longer than any fault, and than a busy machine needs to start a site's one node several times. */
export const patienceMs = 120_000 * slack;

export class Sender {
  /** What was answered 200. */
  readonly accepted: Array<Accepted> = [];
  /** Requests that were not answered 200 and sent again. */
  refused = 0;
  readonly #urls: () => ReadonlyArray<string>;
  #turn = 0;

  /** @param urls where nodes listen just now */
  constructor(urls: () => ReadonlyArray<string>) {
    this.#urls = urls;
  }

  /** Sends one notification until it is answered 200. Rejects when nobody did for {@link patienceMs}. */
  async send(objects: ReadonlyArray<Announced>): Promise<void> {
    const body = notification(objects);
    const end = performance.now() + patienceMs;
    while (performance.now() < end) {
      const urls = this.#urls();
      const url = urls[this.#turn++ % Math.max(1, urls.length)];
      if (url !== undefined && (await post(url, body)) === 200) {
        for (const { key, etag, bucket: of = bucket } of objects)
          this.accepted.push({ record: recordIn(of, key), etag });
        return;
      }
      this.refused++;
      await sleep(50);
    }
    throw new Error(`no node answered 200 within ${patienceMs} ms`);
  }

  /** Sends `count` objects, `each` in a notification and `pauseMs` apart, without waiting for answers; resolves when all are in. */
  async load(
    count: number,
    options: { readonly each?: number; readonly pauseMs?: number; readonly name?: (i: number) => string },
  ): Promise<void> {
    const { each = 1, pauseMs = 0, name = (i) => `20260101/load-${i}.fits` } = options;
    const sent: Array<Promise<void>> = [];
    for (let i = 0; i < count; i += each) {
      const keys = Array.from({ length: Math.min(each, count - i) }, (_, k) => name(i + k));
      sent.push(this.send(keys.map((key) => ({ key, etag: `etag-of-${key}` }))));
      if (pauseMs > 0) await sleep(pauseMs);
    }
    await Promise.all(sent);
  }
}

/** The answer's status; 0 when there was none. */
export async function post(url: string, body: string): Promise<number> {
  try {
    const answer = await fetch(`${url}/notify`, {
      method: "POST",
      body,
      signal: AbortSignal.timeout(answerMsMax),
    });
    await answer.text();
    return answer.status;
  } catch {
    // Killed, stopped, or not listening yet: whoever sends decides.
    return 0;
  }
}
