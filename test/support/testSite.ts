/** A whole node for tests of what it does for others: from YAML text to a front door that answers, and the ledger behind it. */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { request } from "node:http";
import type { Agent, OutgoingHttpHeaders } from "node:http";
import { parseSite } from "../../src/config/loadSite.ts";
import { getRecordUnsafe, scanUnsafe } from "../../src/jetstream/ledger.ts";
import type { NodeOptions, RunningNode } from "../../src/node.ts";
import { startNode } from "../../src/node.ts";
import { arrivalsStream, objectTail, recordKey } from "../../src/protocol/keys.ts";
import type { FileBody, LedgerRecord, State } from "../../src/protocol/records.ts";
import { saidLine } from "./said.ts";
import type { LogLine } from "./testNode.ts";

export interface TestSite {
  readonly node: RunningNode;
  readonly log: ReadonlyArray<LogLine>;
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts it, or leaves nothing running. The text's `http.port` should be 0. */
export async function startSite(
  text: string,
  options: Pick<Partial<NodeOptions>, "actors" | "aroundDriver" | "aroundClock"> & {
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<TestSite> {
  const { site } = await Effect.runPromise(parseSite(text, "test.yaml", { env: options.env ?? {} }));
  const log: Array<LogLine> = [];
  const scope = Scope.makeUnsafe();
  const stop = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void));
  const started = startNode({
    site,
    ...(options.actors === undefined ? {} : { actors: options.actors }),
    ...(options.aroundDriver === undefined ? {} : { aroundDriver: options.aroundDriver }),
    ...(options.aroundClock === undefined ? {} : { aroundClock: options.aroundClock }),
    log: (level, message, fields = {}) => {
      log.push({ level, message, fields });
      saidLine("log of a node", { level, message, fields });
    },
  });
  const node = await Effect.runPromise(Scope.provide(started, scope)).catch(async (cause: unknown) => {
    await stop();
    throw cause;
  });
  return { node, log, url: node.httpUrl() ?? "", stop };
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: OutgoingHttpHeaders;
  /** Text or bytes go as they are; anything else as JSON. */
  readonly body?: unknown;
  readonly agent?: Agent;
}

/** One request on a connection of its own, unless an agent says otherwise. */
export function ask(
  site: Pick<TestSite, "url">,
  { method = "POST", path = "/notify", headers = {}, body, agent }: Ask,
): Promise<Answer> {
  const bytes =
    body === undefined || typeof body === "string" || body instanceof Uint8Array
      ? body
      : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(site.url + path, { method, headers, agent: agent ?? false }, (response) => {
      const chunks: Array<Buffer> = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body:
            text !== "" && /json/.test(String(response.headers["content-type"]))
              ? (JSON.parse(text) as unknown)
              : text,
        });
      });
    });
    sent.on("error", reject);
    sent.end(bytes);
  });
}

/** Of a machine that has much else to do: a test that passes never waits so long. */
export const patienceMs = 90_000;

/**
 * Asks again until the answer fits, also when asking fails: a machine that stands still lets requests run out. Rejects after `withinMs`
 * with the last answer, or with why there was none.
 */
export async function until<A>(
  look: () => Promise<A> | A,
  fits: (value: A) => boolean,
  withinMs = patienceMs,
): Promise<A> {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = await attempt(look);
    if ("value" in found && fits(found.value)) return found.value;
    if (performance.now() > end) {
      if ("value" in found) throw new Error(`still so after ${withinMs} ms: ${JSON.stringify(found.value)}`);
      throw new Error(`still no answer after ${withinMs} ms`, { cause: found.cause });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function attempt<A>(
  look: () => Promise<A> | A,
): Promise<{ readonly value: A } | { readonly cause: unknown }> {
  try {
    return { value: await look() };
  } catch (cause) {
    return { cause };
  }
}

export type FileRecord = LedgerRecord<FileBody>;

export async function recordOf(
  site: TestSite,
  lane: string,
  day: string,
  bucket: string,
  key: string,
): Promise<FileRecord | null> {
  const name = recordKey({ mailbox: lane, day, tail: objectTail(bucket, key) });
  return (await getRecordUnsafe<FileBody>(site.node.context.nats, name))?.record ?? null;
}

/** The record once it is in one of these states. */
export async function settled(
  site: TestSite,
  lane: string,
  day: string,
  bucket: string,
  key: string,
  states: ReadonlyArray<State> = ["known", "parked"],
): Promise<FileRecord> {
  const found = await until(
    () => recordOf(site, lane, day, bucket, key),
    (record) => record !== null && states.includes(record.state),
  );
  if (found === null) throw new Error("no record");
  return found;
}

/** Every key that matches and its value as it is stored. */
export async function keysOf(
  site: TestSite,
  filter: string,
): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  const found = new Map<string, Record<string, unknown>>();
  await scanUnsafe(site.node.context.nats, "ledger", [filter], (entry) => {
    found.set(entry.key, JSON.parse(Buffer.from(entry.data).toString()) as Record<string, unknown>);
  });
  return found;
}

/** Messages of ARRIVALS on subjects that match. */
export async function arrivals(site: TestSite, filter = "arrive.>"): Promise<number> {
  const info = await site.node.context.nats.jsm.streams.info(arrivalsStream, { subjects_filter: filter });
  return Object.values(info.state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
}

export function counted(site: TestSite, name: string): number {
  return site.node.context.counters.totals()[name] ?? 0;
}
