/**
 * The driver that hands batches to a bridge: a long-lived child that answers item by item (docs/driver-protocol.md).
 *
 * Keeps     one bridge alive: started when the driver opens, started again whenever it ends, with backoff while it keeps failing.
 * Fails     `CatalogAway` while there is no bridge: at once where one is waited out, so that the batch can go elsewhere.
 *           A bridge that dies or hangs with a batch in hand gives each of its items as a crash: which one did it only
 *           shows when they are tried alone, and that is not decided here. One that breaks the protocol is ended.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Random from "effect/Random";
import * as Result from "effect/Result";
import type * as Scope from "effect/Scope";
import * as Semaphore from "effect/Semaphore";
import { subprocessLineBytesMax, subprocessRestartFirstMs, subprocessRestartMostMs } from "../limits.ts";
import { backoffMs } from "../protocol/lifecycle.ts";
import type { JudgedAnswer, Request } from "./bridgeProtocol.ts";
import {
  cutRequests,
  encodeRequest,
  judgeAnswer,
  protocolReason,
  readBridgeLine,
  tooLongReason,
} from "./bridgeProtocol.ts";
import type { BridgeCommand, Received } from "./BridgeProcess.ts";
import { BridgeProcess } from "./BridgeProcess.ts";
import type { CatalogAway, IngestDriver, IngestItem, IngestResult, OpenDriver } from "./Driver.ts";

export interface SubprocessSettings extends BridgeCommand {
  /** Of the lane; said in logs and errors. */
  readonly name: string;
  /** From its start to its `ready` line. */
  readonly startDeadlineMs: number;
  /** From a request to its answer. */
  readonly batchDeadlineMs: number;
}

export type BridgeLog = (
  level: "info" | "warn",
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export interface RestartRules {
  readonly firstMs: number;
  readonly mostMs: number;
}

const restartRules: RestartRules = { firstMs: subprocessRestartFirstMs, mostMs: subprocessRestartMostMs };

/** Bytes of a bridge's last words in an error. */
const lastWordsMax = 600;

/** What there is to hand a batch to. `changed` is done when it is over. */
type Phase = { readonly changed: Deferred.Deferred<void> } & (
  | { readonly type: "starting" }
  | { readonly type: "ready"; readonly bridge: BridgeProcess }
  | { readonly type: "down"; readonly why: string }
  | { readonly type: "closed" }
);
type PhaseNow =
  | { readonly type: "starting" | "closed" }
  | { readonly type: "ready"; readonly bridge: BridgeProcess }
  | { readonly type: "down"; readonly why: string };

const away = (detail: string): CatalogAway => ({ _tag: "CatalogAway", detail });

/** How long to wait before the next start: not at all after a life in which it served, else longer each time. */
export function restartDelayMs(
  failures: number,
  started: boolean,
  rules: RestartRules,
  random: number,
): number {
  if (started && failures <= 1) return 0;
  const bounds = {
    backoffBaseMs: rules.firstMs,
    backoffMaxMs: rules.mostMs,
    attemptsMax: 0,
    crashesAloneMax: 0,
  };
  return backoffMs(started ? failures - 1 : failures, bounds, random);
}

class Subprocess {
  readonly #settings: SubprocessSettings;
  readonly #log: BridgeLog;
  readonly #restart: RestartRules;
  #phase: Phase = { type: "starting", changed: Deferred.makeUnsafe() };
  #batches = 0;
  /** Lives in a row that ended before an answer without fault. */
  #failures = 0;

  constructor(settings: SubprocessSettings, log: BridgeLog, restart: RestartRules) {
    this.#settings = settings;
    this.#log = log;
    this.#restart = restart;
  }

  get #title(): string {
    return `the bridge of lane ${this.#settings.name} (${this.#settings.command.join(" ").slice(0, 200)})`;
  }

  #enter(phase: PhaseNow): void {
    const before = this.#phase;
    this.#phase = { ...phase, changed: Deferred.makeUnsafe() };
    Deferred.doneUnsafe(before.changed, Effect.void);
  }

  close(): void {
    this.#enter({ type: "closed" });
  }

  /** Keeps a bridge alive until interrupted; then it is ended with its group. */
  readonly keep: Effect.Effect<never> = Effect.suspend(() => Effect.forever(this.#round));

  get #round(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      this.#enter({ type: "starting" });
      const life = yield* this.#life;
      const failures = ++this.#failures;
      const delay = restartDelayMs(failures, life.started, this.#restart, yield* Random.next);
      const again = delay === 0 ? "at once" : `in ${delay} ms`;
      this.#log("warn", `${this.#title} ${life.how}; it is started again ${again}`, { failures });
      if (delay === 0) return;
      this.#enter({ type: "down", why: `${this.#title} ${life.how}. ${this.#remedy(again)}${life.words}` });
      yield* Effect.sleep(delay);
    });
  }

  #remedy(again: string): string {
    const { startDeadlineMs } = this.#settings;
    return `It is started again ${again}; nothing was recorded on the items. Run the lane's driver.command by hand, in its cwd and with its env: it must print {"ready":true} within ${startDeadlineMs} ms, and go on.`;
  }

  /** From start to end, told in words; nothing of it is left afterwards. */
  get #life(): Effect.Effect<{ readonly started: boolean; readonly how: string; readonly words: string }> {
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        const bridge = yield* this.#spawned;
        const first = yield* Effect.promise(() => bridge.receive()).pipe(
          Effect.timeoutOption(this.#settings.startDeadlineMs),
        );
        const fault = this.#startFault(first);
        if (fault !== null) {
          // Its end is awaited: it may still be saying why.
          yield* Effect.promise(() => bridge.stop());
          return { started: false, how: `did not start: ${fault}`, words: words(bridge) };
        }
        this.#enter({ type: "ready", bridge });
        const how = yield* Effect.promise(() => bridge.ended);
        return { started: true, how, words: words(bridge) };
      }),
    ).pipe(
      Effect.catch((cause) =>
        Effect.succeed({ started: false, how: `cannot be started: ${cause}`, words: "" }),
      ),
    );
  }

  get #spawned(): Effect.Effect<BridgeProcess, string, Scope.Scope> {
    const { name } = this.#settings;
    return Effect.acquireRelease(
      Effect.try({
        try: () =>
          new BridgeProcess(this.#settings, (line) =>
            this.#log("info", line, { lane: name, from: "bridge" }),
          ),
        catch: String,
      }),
      (bridge) => Effect.promise(() => bridge.stop()),
    );
  }

  /** Why what came first is no `ready`; null where it is. */
  #startFault(first: Option.Option<Received>): string | null {
    if (Option.isNone(first)) return `it was not ready within ${this.#settings.startDeadlineMs} ms`;
    const received = first.value;
    if (received.type === "ended") return `it ${received.how}`;
    if (received.type === "overlong") return `its first line is longer than ${subprocessLineBytesMax} bytes`;
    const message = readBridgeLine(received.line);
    switch (message.type) {
      case "ready":
        this.#log("info", `${this.#title} is ready`, { about: message.about });
        return null;
      case "fatal":
        return `${message.fatal}: ${message.detail}`;
      case "answer":
        return "its first line is an answer, not ready";
      default:
        return `its first line is not ready (${message.why})`;
    }
  }

  /** The bridge that is ready; waits while one is starting. */
  get #bridge(): Effect.Effect<BridgeProcess, CatalogAway> {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const phase = this.#phase;
        if (phase.type === "closed") return yield* Effect.fail(away(`${this.#title} is closed`));
        if (phase.type === "down") return yield* Effect.fail(away(phase.why));
        if (phase.type === "ready" && !phase.bridge.isOver) return phase.bridge;
        yield* Deferred.await(phase.changed);
      }
    });
  }

  ingest(items: ReadonlyArray<IngestItem>): Effect.Effect<ReadonlyArray<IngestResult>, CatalogAway> {
    // At once, not when the bridge is free: it need not wait for this.
    const { requests, tooLong } = cutRequests(items, subprocessLineBytesMax);
    return Effect.gen({ self: this }, function* () {
      const results = new Map<number, IngestResult>();
      let cut: CatalogAway | null = null;
      for (const request of requests) {
        const keys = request.places.map((place) => items[place]?.record ?? "");
        const answered: Result.Result<ReadonlyArray<IngestResult>, CatalogAway> = cut === null
          ? yield* Effect.result(this.#exchange(request, keys))
          : Result.fail(cut);
        if (Result.isFailure(answered)) {
          // Nothing was done yet: the batch goes back as it is. Else what was done must be told.
          if (results.size === 0) return yield* Effect.fail(answered.failure);
          cut = answered.failure;
        }
        request.places.forEach((place, i) => {
          const result = Result.isSuccess(answered) ? answered.success[i] : undefined;
          results.set(place, result ?? { status: "retry", reason: "CatalogAway", detail: cut?.detail ?? "" });
        });
      }
      const detail = `the item alone is longer than the ${subprocessLineBytesMax} bytes of a request`;
      for (const place of tooLong) results.set(place, { status: "permanent", reason: tooLongReason, detail });
      return items.map((_, place) => results.get(place) ?? { status: "crash", detail: "it was not asked" });
    });
  }

  #exchange(
    request: Request,
    keys: ReadonlyArray<string>,
  ): Effect.Effect<ReadonlyArray<IngestResult>, CatalogAway> {
    const { batchDeadlineMs } = this.#settings;
    return Effect.gen({ self: this }, function* () {
      const bridge = yield* this.#bridge;
      const batch = `b${++this.#batches}`;
      const line = encodeRequest(batch, batchDeadlineMs, request.items);
      const received = yield* Effect.promise(() => bridge.request(line)).pipe(
        Effect.timeoutOption(batchDeadlineMs),
        // Nobody will read its answer, and the next one must not be mistaken for it. Not waited for: a drain is short.
        Effect.onInterrupt(() => Effect.sync(() => void bridge.stop())),
      );
      const crash = (how: string): ReadonlyArray<IngestResult> =>
        keys.map(() => ({
          status: "crash",
          detail: `its bridge ${how} with ${keys.length} in hand.${words(bridge)}`,
        }));
      if (Option.isNone(received)) {
        yield* Effect.promise(() => bridge.stop());
        return crash(`gave no answer within ${batchDeadlineMs} ms and was ended`);
      }
      if (received.value.type === "ended") {
        return this.#phase.type === "closed"
          ? yield* Effect.fail(away(`${this.#title} is closed`))
          : crash(received.value.how);
      }
      const said = this.#judge(received.value, batch, keys);
      if (said.type === "fatal") {
        yield* Effect.promise(() => bridge.stop());
        return yield* Effect.fail(
          away(`${this.#title} cannot go on: ${said.why}. ${this.#remedy("with backoff")}${words(bridge)}`),
        );
      }
      if (said.breach === null) this.#failures = 0;
      else {
        this.#log("warn", `${this.#title} broke the protocol and is ended: ${said.breach}`, { batch });
        yield* Effect.promise(() => bridge.stop());
      }
      return said.results;
    });
  }

  #judge(received: Exclude<Received, { type: "ended" }>, batch: string, keys: ReadonlyArray<string>): Said {
    const breach = (why: string): Said => ({
      type: "answer",
      results: keys.map(() => ({ status: "retry", reason: protocolReason, detail: why })),
      breach: why,
    });
    if (received.type === "overlong")
      return breach(`its answer is longer than ${subprocessLineBytesMax} bytes`);
    const message = readBridgeLine(received.line);
    switch (message.type) {
      case "answer":
        return message.batch === batch
          ? { type: "answer", ...judgeAnswer(keys, message.items) }
          : breach(`it answered batch ${message.batch} when asked for ${batch}`);
      case "fatal":
        return { type: "fatal", why: `${message.fatal}: ${message.detail}` };
      case "ready":
        return breach("it said ready when asked for a batch");
      default:
        return breach(message.why);
    }
  }
}

type Said = ({ readonly type: "answer" } & JudgedAnswer) | { readonly type: "fatal"; readonly why: string };

function words(bridge: BridgeProcess): string {
  return bridge.lastWords === "" ? "" : ` It last wrote: ${bridge.lastWords.slice(-lastWordsMax)}`;
}

/**
 * Opens the driver of one worker. Opening never fails and does not wait: the bridge starts meanwhile, so a node whose catalog
 * is away starts like any other, and each batch says `CatalogAway` until the bridge is ready. The scope's end ends it.
 */
export const openSubprocess = (
  settings: SubprocessSettings,
  log: BridgeLog,
  restart: RestartRules = restartRules,
): OpenDriver =>
  Effect.gen(function* () {
    const subprocess = new Subprocess(settings, log, restart);
    const oneAtATime = yield* Semaphore.make(1);
    yield* Effect.forkScoped(subprocess.keep);
    // Runs before the bridge is ended: what then is in hand was not its fault.
    yield* Effect.addFinalizer(() => Effect.sync(() => subprocess.close()));
    const driver: IngestDriver = {
      name: "subprocess",
      ingest: (items) =>
        items.length === 0 ? Effect.succeed([]) : oneAtATime.withPermit(subprocess.ingest(items)),
    };
    return driver;
  });
