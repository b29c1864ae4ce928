/** Announces a night over HTTP: one record a webhook, at a pace or as fast as it is taken, and listens to what becomes present. */
import type { Socket } from "node:net";
import type { NatsService } from "../src/jetstream/Nats.ts";
import { answerLength, connectTo } from "./http.ts";

export interface NightLoad {
  readonly url: string;
  readonly count: number;
  readonly connections: number;
  /** The n-th request, as it goes over the wire. */
  readonly request: (n: number) => string;
  /** When the n-th is due, ms after the start, never before the one before it; null: as soon as a connection is free. */
  readonly due: ((n: number) => number) | null;
  /** Told from when on its time counts: when it was due, or was sent where nothing is due. */
  readonly sentAt: (n: number, at: number) => void;
}

const tickMs = 1;
const sayEveryMs = 5_000;

/** Resolves once each is answered 200; rejects with the first other answer. @returns ms from the first to the last answer */
export async function sendNight(load: NightLoad, say: (line: string) => void): Promise<number> {
  const { count, due } = load;
  const sockets = await Promise.all(Array.from({ length: load.connections }, () => connectTo(load.url)));
  const free = [...sockets];
  const started = performance.now();
  let next = 0;
  let answered = 0;
  const timers: Array<NodeJS.Timeout> = [];
  try {
    await new Promise<void>((resolve, reject) => {
      const pump = (): void => {
        while (next < count) {
          const now = performance.now();
          const at = due === null ? now : started + due(next);
          if (at > now) return;
          const socket = free.pop();
          if (socket === undefined) return;
          load.sentAt(next, at);
          socket.write(load.request(next++));
        }
      };
      for (const socket of sockets) {
        listen(socket, reject, () => {
          free.push(socket);
          if (++answered === count) resolve();
          else pump();
        });
      }
      timers.push(setInterval(() => say(`  ${answered} of ${count} answered`), sayEveryMs));
      if (due !== null) timers.push(setInterval(pump, tickMs));
      pump();
    });
  } finally {
    for (const timer of timers) clearInterval(timer);
    for (const socket of sockets) socket.destroy();
  }
  return performance.now() - started;
}

function listen(socket: Socket, failed: (cause: unknown) => void, answered: () => void): void {
  let text = "";
  socket.on("data", (chunk: string) => {
    text = text === "" ? chunk : text + chunk;
    try {
      const length = answerLength(text);
      if (length === 0) return;
      text = text.slice(length);
    } catch (cause) {
      failed(cause);
      return;
    }
    answered();
  });
  socket.once("close", () => failed(new Error("a connection was closed under load")));
}

/** When each of the subjects was first heard. */
export class Heard {
  readonly #at: Float64Array;
  readonly #places = new Map<string, number>();
  readonly #subscription;
  heard = 0;
  /** Of the last one that was new. */
  lastAt = 0;

  /** @param subjects by number; null for what nobody announces */
  constructor(nats: NatsService, wildcard: string, subjects: ReadonlyArray<string | null>) {
    this.#at = new Float64Array(subjects.length);
    subjects.forEach((subject, n) => {
      if (subject !== null) this.#places.set(subject, n);
    });
    this.#subscription = nats.connection.subscribe(wildcard, {
      callback: (_error, message) => {
        const n = this.#places.get(message.subject);
        if (n === undefined || this.#at[n] !== 0) return;
        this.lastAt = performance.now();
        this.#at[n] = this.lastAt;
        this.heard++;
      },
    });
  }

  get wanted(): number {
    return this.#places.size;
  }

  /** 0: not yet. */
  at(n: number): number {
    return this.#at[n] ?? 0;
  }

  async until(all: number, withinMs: number): Promise<void> {
    const end = performance.now() + withinMs;
    while (this.heard < all) {
      if (performance.now() > end) throw new Error(`${this.heard} of ${all} became present`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  stop(): void {
    this.#subscription.unsubscribe();
  }
}
