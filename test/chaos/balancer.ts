/**
 * Who sends through a load balancer: a list of addresses, of which one after the other is tried until a notification is answered 200. All
 * that any address answered, or failed to, is kept with its time.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Accepted } from "./checker.ts";
import type { Announced } from "./sender.ts";
import { bucket, notification, patienceMs, recordIn } from "./sender.ts";
import { slack } from "./slack.ts";

export interface Tried {
  readonly node: string;
  /** Epoch milliseconds, of the request and of its answer. */
  readonly from: number;
  readonly to: number;
  /** HTTP status; 0 for none. */
  readonly status: number;
  /** Of none, why: `ECONNREFUSED`, `ECONNRESET`, `TimeoutError`, … */
  readonly why: string;
  /** `Retry-After` as it came. */
  readonly retryAfter: string | null;
}

const answerMsMax = 4_000 * slack;
const pauseMs = 20;

export class Balancer {
  readonly accepted: Array<Accepted>;
  /** Everything that was not answered 200. */
  readonly failed: Array<Tried> = [];
  /** Most tries that one notification took. */
  triesMost = 0;
  /** Longest that one notification took, from its first try to its 200. */
  msMost = 0;
  /** By node; an address stays here while its node is away. */
  readonly addresses = new Map<string, string>();
  #turn = 0;

  /** @param accepted where what was answered 200 is written */
  constructor(accepted: Array<Accepted>) {
    this.accepted = accepted;
  }

  async send(objects: ReadonlyArray<Announced>): Promise<void> {
    const body = notification(objects);
    const began = performance.now();
    const turn = this.#turn++;
    for (let tries = 1; performance.now() - began < patienceMs; tries++) {
      const nodes = [...this.addresses];
      const [node, url] = nodes[(turn + tries) % Math.max(1, nodes.length)] ?? [
        "nobody",
        "http://127.0.0.1:9",
      ];
      const tried = await this.#post(node, url, body);
      this.triesMost = Math.max(this.triesMost, tries);
      if (tried.status === 200) {
        this.msMost = Math.max(this.msMost, performance.now() - began);
        for (const { key, etag, bucket: of = bucket } of objects)
          this.accepted.push({ record: recordIn(of, key), etag });
        return;
      }
      this.failed.push(tried);
      await sleep(pauseMs);
    }
    throw new Error(`no node answered 200 within ${patienceMs} ms`);
  }

  async #post(node: string, url: string, body: string): Promise<Tried> {
    const from = Date.now();
    const ended = (status: number, why: string, retryAfter: string | null): Tried => ({
      node,
      from,
      to: Date.now(),
      status,
      why,
      retryAfter,
    });
    try {
      const answer = await fetch(`${url}/notify`, {
        method: "POST",
        body,
        signal: AbortSignal.timeout(answerMsMax),
      });
      const text = await answer.text();
      return ended(answer.status, answer.ok ? "" : text.slice(0, 200), answer.headers.get("retry-after"));
    } catch (cause) {
      const { name, cause: below } = cause as Error & { readonly cause?: { readonly code?: string } };
      return ended(0, below?.code ?? name, null);
    }
  }
}
