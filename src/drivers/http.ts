/**
 * The driver that posts batches to a service: the protocol of docs/driver-protocol.md, one batch a request.
 *
 * Keeps     connections; nothing else. The service is somebody else's to start.
 * Fails     `CatalogAway` while the service cannot be reached, refuses the door, or says `fatal`.
 *           A batch whose answer never came may have been its end, or only gone under with it: an empty batch is asked until
 *           the service answers again. Then each item is a crash, as with a bridge that died; if it does not answer in time,
 *           the catalog is away, and nothing is recorded.
 */
import * as Effect from "effect/Effect";
import * as Redacted from "effect/Redacted";
import * as Result from "effect/Result";
import * as Semaphore from "effect/Semaphore";
import { serviceAskEveryMs, serviceAskMs, subprocessLineBytesMax } from "../limits.ts";
import type { JudgedAnswer, Request } from "./bridgeProtocol.ts";
import {
  cutRequests,
  encodeRequest,
  judgeAnswer,
  protocolReason,
  readBridgeLine,
  tooLongReason,
} from "./bridgeProtocol.ts";
import type { CatalogAway, IngestDriver, IngestItem, IngestResult, OpenDriver } from "./Driver.ts";
import type { Posted } from "./post.ts";
import { NoAnswer, Poster } from "./post.ts";
import type { BridgeLog } from "./subprocess.ts";

export interface HttpSettings {
  /** Of the lane; said in logs and errors. */
  readonly name: string;
  readonly url: Redacted.Redacted;
  readonly headers: ReadonlyMap<string, Redacted.Redacted>;
  /** For a service that lost a batch to answer an empty one. */
  readonly startDeadlineMs: number;
  /** From a request to the end of its answer. */
  readonly batchDeadlineMs: number;
}

const away = (detail: string): CatalogAway => ({ _tag: "CatalogAway", detail });

type Said =
  | ({ readonly type: "answer" } & JudgedAnswer)
  | { readonly type: "away"; readonly why: string }
  /** Whatever worked on it is gone. */
  | { readonly type: "lost"; readonly why: string }
  | { readonly type: "too-long" };

/** The service failed on this very batch, or went away under it behind a proxy. */
const lostWith = new Set([500, 502, 504]);

class HttpService {
  readonly #settings: HttpSettings;
  readonly #log: BridgeLog;
  readonly #poster: Poster;
  readonly #headers: Readonly<Record<string, string>>;
  #batches = 0;

  constructor(settings: HttpSettings, log: BridgeLog) {
    this.#settings = settings;
    this.#log = log;
    this.#poster = new Poster(Redacted.value(settings.url), 1);
    this.#headers = Object.fromEntries(
      [...settings.headers].map(([name, value]) => [name, Redacted.value(value)]),
    );
  }

  close(): void {
    this.#poster.close();
  }

  get #title(): string {
    return `the service of lane ${this.#settings.name} (${this.#settings.url.label ?? "its url"})`;
  }

  ingest(items: ReadonlyArray<IngestItem>): Effect.Effect<ReadonlyArray<IngestResult>, CatalogAway> {
    return Effect.gen({ self: this }, function* () {
      const { requests, tooLong } = cutRequests(items, subprocessLineBytesMax);
      const results = new Map<number, IngestResult>();
      const refuse = (place: number, detail: string): void =>
        void results.set(place, { status: "permanent", reason: tooLongReason, detail });
      for (const place of tooLong) {
        refuse(place, `the item alone is longer than the ${subprocessLineBytesMax} bytes of a request`);
      }
      const left = [...requests];
      let cut: CatalogAway | null = null;
      for (let request = left.shift(); request !== undefined; request = left.shift()) {
        if (cut !== null) {
          const { detail } = cut;
          for (const place of request.places)
            results.set(place, { status: "retry", reason: "CatalogAway", detail });
          continue;
        }
        const keys = request.places.map((place) => items[place]?.record ?? "");
        const said = yield* Effect.result(this.#exchange(request, keys));
        if (Result.isFailure(said)) {
          // Nothing was done yet: the batch goes back as it is. Else what was done must be told.
          if (results.size === 0) return yield* Effect.fail(said.failure);
          cut = said.failure;
          left.unshift(request);
        } else if (said.success !== "too-long") {
          const answered = said.success;
          request.places.forEach((place, i) => {
            const result = answered[i];
            if (result !== undefined) results.set(place, result);
          });
        } else if (request.places.length > 1) left.unshift(...halves(request));
        else for (const place of request.places) refuse(place, `${this.#title} says 413 to the item alone`);
      }
      return items.map((_, place) => results.get(place) ?? { status: "crash", detail: "it was not asked" });
    });
  }

  #exchange(
    request: Request,
    keys: ReadonlyArray<string>,
  ): Effect.Effect<ReadonlyArray<IngestResult> | "too-long", CatalogAway> {
    return Effect.gen({ self: this }, function* () {
      const batch = `b${++this.#batches}`;
      const posted = yield* Effect.result(this.#post(batch, request.items, this.#settings.batchDeadlineMs));
      if (Result.isFailure(posted)) return yield* this.#noAnswer(posted.failure, keys);
      const said = this.#judge(posted.success, batch, keys);
      if (said.type === "away") return yield* Effect.fail(away(said.why));
      if (said.type === "lost") {
        return yield* this.#noAnswer(new NoAnswer(said.why, { sent: true, late: false }), keys);
      }
      if (said.type === "too-long") return said.type;
      if (said.breach !== null)
        this.#log("warn", `${this.#title} broke the protocol: ${said.breach}`, { batch });
      return said.results;
    });
  }

  #post(batch: string, items: ReadonlyArray<string>, deadlineMs: number): Effect.Effect<Posted, NoAnswer> {
    return Effect.tryPromise({
      try: (signal) =>
        this.#poster.post({
          headers: this.#headers,
          body: encodeRequest(batch, deadlineMs, items),
          deadlineMs,
          answerBytesMax: subprocessLineBytesMax,
          signal,
        }),
      catch: (cause) =>
        cause instanceof NoAnswer ? cause : new NoAnswer(String(cause), { sent: false, late: false }),
    });
  }

  #noAnswer(
    fault: NoAnswer,
    keys: ReadonlyArray<string>,
  ): Effect.Effect<ReadonlyArray<IngestResult>, CatalogAway> {
    return Effect.gen({ self: this }, function* () {
      if (!fault.sent) {
        return yield* Effect.fail(away(`${this.#title} cannot be reached: ${fault.message}`));
      }
      const how = `${this.#title} gave no answer (${fault.message}) with ${keys.length} in hand`;
      if (!(yield* this.#answersAgain)) {
        const withinMs = this.#settings.startDeadlineMs;
        return yield* Effect.fail(away(`${how}, and none to an empty batch within ${withinMs} ms`));
      }
      this.#log("warn", `${how}; it answers again`, { items: keys.length });
      return keys.map((): IngestResult => ({ status: "crash", detail: how }));
    });
  }

  /** Whether the service answers an empty batch within its time to start. */
  get #answersAgain(): Effect.Effect<boolean> {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const batch = `b${++this.#batches}`;
        const posted = yield* Effect.result(this.#post(batch, [], serviceAskMs));
        if (Result.isSuccess(posted) && this.#judge(posted.success, batch, []).type === "answer") return true;
        yield* Effect.sleep(serviceAskEveryMs);
      }
    }).pipe(
      Effect.timeoutOption(this.#settings.startDeadlineMs),
      Effect.map((answered) => answered._tag === "Some"),
    );
  }

  #judge(posted: Posted, batch: string, keys: ReadonlyArray<string>): Said {
    const breach = (why: string): Said => ({
      type: "answer",
      results: keys.map(() => ({ status: "retry", reason: protocolReason, detail: why })),
      breach: why,
    });
    const message = readBridgeLine(posted.body);
    if (message.type === "fatal") {
      return { type: "away", why: `${this.#title} cannot go on: ${message.fatal}: ${message.detail}` };
    }
    if (posted.status === 413) return { type: "too-long" };
    if (posted.status !== 200) {
      const why = `HTTP ${posted.status}: ${posted.body.replaceAll(/\s+/g, " ").slice(0, 200)}`;
      if (lostWith.has(posted.status)) return { type: "lost", why };
      return { type: "away", why: `${this.#title} answers ${why}` };
    }
    if (posted.cut) return breach(`its answer is longer than ${subprocessLineBytesMax} bytes`);
    switch (message.type) {
      case "answer":
        return message.batch === batch
          ? { type: "answer", ...judgeAnswer(keys, message.items) }
          : breach(`it answered batch ${message.batch} when asked for ${batch}`);
      case "ready":
        return breach("it said ready when asked for a batch");
      default:
        return breach(message.why);
    }
  }
}

function halves({ places, items }: Request): ReadonlyArray<Request> {
  const middle = Math.ceil(places.length / 2);
  return [
    { places: places.slice(0, middle), items: items.slice(0, middle) },
    { places: places.slice(middle), items: items.slice(middle) },
  ];
}

/** Opens the driver of one worker. Opening never fails: a service that is away is found out by the first batch. */
export const openHttp = (settings: HttpSettings, log: BridgeLog): OpenDriver =>
  Effect.gen(function* () {
    const service = new HttpService(settings, log);
    const oneAtATime = yield* Semaphore.make(1);
    yield* Effect.addFinalizer(() => Effect.sync(() => service.close()));
    const driver: IngestDriver = {
      name: "http",
      ingest: (items) =>
        items.length === 0 ? Effect.succeed([]) : oneAtATime.withPermit(service.ingest(items)),
    };
    return driver;
  });
