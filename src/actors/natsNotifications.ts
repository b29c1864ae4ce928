/**
 * Notifications that S3 servers publish on NATS.
 *
 * Receives  messages of `enqueuer.natsSubject`, shared with the other nodes of the site. Who may publish there is NATS's business:
 *           its permissions are the secret.
 * Keeps     what waits, bounded. Beyond it a request is answered 503; what was merely published is lost and counted: nobody
 *           can be told, and core NATS knows no other end of it.
 * Emits     arrivals; to a request `{"status":…,"body":…}` as the webhook would answer. A plain publish is tried until stored.
 * Fails     when its subscription ends (permissions): the supervisor starts it again.
 */
import * as Effect from "effect/Effect";
import { setTimeout as sleep } from "node:timers/promises";
import type { Site } from "../config/Site.ts";
import { messageBytesMax, natsAtOnceMax, natsWaitingBytesMax } from "../limits.ts";
import type { NatsRequest } from "../jetstream/requests.ts";
import { serve } from "../jetstream/requests.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import type { Answer } from "./enqueuer.ts";
import { answerBytes, refusal } from "./enqueuer.ts";
import type { FrontDoor } from "./frontDoor.ts";
import type { NodeContextService } from "./NodeContext.ts";

/** What is in hand when the actor ends has this long to be stored. */
const drainWithinMs = 500;
const overflowLogMs = 10_000;
/** What a small message costs beside its bytes. */
const overheadBytes = 512;

const againFirstMs = 100;
const againMostMs = 5_000;

/** A notification and how often it was tried. */
interface Held {
  readonly message: NatsRequest;
  tries: number;
}

class Intake {
  readonly #node: NodeContextService;
  readonly #take: (data: Uint8Array) => Promise<Answer>;
  readonly #waiting = new Set<Held>();
  /** To be tried again, each when its timer ends: meanwhile it holds up no other, of a lane that has room. */
  readonly #resting = new Map<Held, NodeJS.Timeout>();
  #waitingBytes = 0;
  #atOnce = 0;
  #loggedAt = Number.NEGATIVE_INFINITY;
  #ended = false;
  #idle: () => void = () => undefined;

  constructor(node: NodeContextService, take: (data: Uint8Array) => Promise<Answer>) {
    this.#node = node;
    this.#take = take;
  }

  receive(message: NatsRequest): void {
    const bytes = message.data.length + overheadBytes;
    if (this.#waitingBytes + bytes > natsWaitingBytesMax) {
      this.#overflow(message);
      return;
    }
    this.#waitingBytes += bytes;
    this.#waiting.add({ message, tries: 0 });
    this.#next();
  }

  /** Resolves when nothing is left; from now on each is tried once more at most. */
  drain(): Promise<void> {
    this.#ended = true;
    for (const held of this.#resting.keys()) this.#wake(held);
    return new Promise((resolve) => {
      this.#idle = resolve;
      this.#next();
    });
  }

  #next(): void {
    for (const held of this.#waiting) {
      if (this.#atOnce >= natsAtOnceMax) return;
      this.#waiting.delete(held);
      this.#atOnce++;
      const handled = this.#handle(held).catch((cause: unknown) => {
        // Nobody else would hear of it, and a process ends by a rejection that nobody hears.
        this.#node.log("error", "a notification on NATS could not be answered", { cause: String(cause) });
        return true;
      });
      void handled.then((isDone) => {
        this.#atOnce--;
        if (isDone) this.#waitingBytes -= held.message.data.length + overheadBytes;
        else this.#rest(held);
        this.#next();
      });
    }
    if (this.#atOnce === 0) this.#idle();
  }

  #rest(held: Held): void {
    const ms = Math.min(againFirstMs * 2 ** held.tries++, againMostMs);
    this.#resting.set(
      held,
      setTimeout(() => {
        this.#wake(held);
        this.#next();
      }, ms),
    );
    // It ended while this was tried.
    if (this.#ended) this.#wake(held);
  }

  #wake(held: Held): void {
    clearTimeout(this.#resting.get(held));
    this.#resting.delete(held);
    this.#waiting.add(held);
  }

  /** @returns false where it is to be tried again */
  async #handle({ message }: Held): Promise<boolean> {
    const ended = this.#ended;
    const answer = await this.#take(message.data).catch((cause: unknown) =>
      refusal(503, String(cause), "send the notification again"),
    );
    this.#node.counters.requests("nats", answer.status);
    if (message.reply !== undefined && message.reply !== "") {
      this.#respond(message, answer);
      return true;
    }
    if (answer.status === 200) return true;
    // Nobody waits for an answer and nobody sends it again: it is held until it is stored.
    if (answer.status === 503 && !ended) return false;
    this.#node.log("warn", "a notification on NATS was refused", { subject: message.subject, answer });
    return true;
  }

  #overflow(message: NatsRequest): void {
    if (message.reply !== undefined && message.reply !== "") {
      this.#node.counters.requests("nats", 503);
      this.#respond(message, refusal(503, "too many notifications wait", "send the notification again"));
      return;
    }
    this.#node.counters.skipped("overflow", 1);
    const now = performance.now();
    if (now - this.#loggedAt < overflowLogMs) return;
    this.#loggedAt = now;
    this.#node.log(
      "error",
      "notifications published on NATS come faster than they can be stored, and are lost",
      {
        subject: message.subject,
        fix: "let the senders ask (request-reply) or use the webhook; what was lost comes with: orrery replay",
      },
    );
  }

  #respond(message: NatsRequest, answer: Answer): void {
    const { connection } = this.#node.nats;
    // Closed: the asker hears nothing, as from a node that is gone, and asks again.
    if (connection.isClosed()) return;
    const whole = JSON.stringify(answer);
    // It names each record twice, so it may be larger than the notification, and than what the server takes as one message.
    const fits = Buffer.byteLength(whole) <= (connection.info?.max_payload ?? messageBytesMax);
    message.respond(fits ? whole : JSON.stringify({ status: answer.status, body: null }));
  }
}

/** Runs until interrupted. Ready once the server knows the subscription. */
export const natsNotifications = (
  node: NodeContextService,
  site: Site,
  subject: string,
  door: FrontDoor,
  ready: Effect.Effect<void>,
): Effect.Effect<never, NatsUnavailable> =>
  Effect.scoped(
    Effect.gen(function* () {
      const intake = new Intake(node, (data) =>
        data.length > site.enqueuer.bodyBytesMax
          ? Promise.resolve(refusal(413, "the message is too large", "send fewer records"))
          : answerBytes(site, door, data, "nats", true),
      );
      // Runs after the subscription's own end: what was handed over is still stored.
      yield* Effect.addFinalizer(() =>
        Effect.promise(() => Promise.race([intake.drain(), sleep(drainWithinMs)])),
      );
      const ended = yield* serve(node.nats, {
        subjects: [subject],
        queue: "enqueuer",
        each: (request) => intake.receive(request),
      });
      yield* ready;
      return yield* ended;
    }),
  );
