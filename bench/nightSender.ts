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

/** Connections that are opened as they are needed; the server closes those that are not. */
class Connections {
  readonly #url: string;
  readonly #max: number;
  readonly #free: Array<Socket> = [];
  readonly #busy = new Map<Socket, () => void>();
  readonly #failed: (cause: unknown) => void;
  #open = 0;
  #ended = false;

  constructor(url: string, max: number, failed: (cause: unknown) => void) {
    this.#url = url;
    this.#max = max;
    this.#failed = failed;
  }

  /** Sends on one that is free; false where none is, and then `more` is called once there may be. */
  send(request: () => string, answered: () => void, more: () => void): boolean {
    const socket = this.#free.pop();
    if (socket !== undefined) {
      this.#busy.set(socket, answered);
      socket.write(request());
      return true;
    }
    if (this.#open < this.#max) {
      this.#open++;
      connectTo(this.#url).then((fresh) => {
        this.#listen(fresh);
        this.#free.push(fresh);
        more();
      }, this.#failed);
    }
    return false;
  }

  end(): void {
    this.#ended = true;
    for (const socket of [...this.#free, ...this.#busy.keys()]) socket.destroy();
  }

  #listen(socket: Socket): void {
    let text = "";
    socket.on("data", (chunk: string) => {
      const answered = this.#busy.get(socket);
      // Said while nothing was asked: it is about to be closed.
      if (answered === undefined) return;
      text = text === "" ? chunk : text + chunk;
      try {
        const length = answerLength(text);
        if (length === 0) return;
        text = text.slice(length);
      } catch (cause) {
        this.#failed(cause);
        return;
      }
      this.#busy.delete(socket);
      this.#free.push(socket);
      answered();
    });
    socket.once("close", () => {
      this.#open--;
      const place = this.#free.indexOf(socket);
      if (place >= 0) this.#free.splice(place, 1);
      if (this.#busy.delete(socket) && !this.#ended) {
        this.#failed(new Error("a connection was closed under load"));
      }
    });
  }
}

/** Resolves once each is answered 200; rejects with the first other answer. @returns ms from the first to the last answer */
export async function sendNight(load: NightLoad, say: (line: string) => void): Promise<number> {
  const { count, due } = load;
  const started = performance.now();
  let next = 0;
  let answered = 0;
  const timers: Array<NodeJS.Timeout> = [];
  let connections: Connections | null = null;
  try {
    await new Promise<void>((resolve, reject) => {
      const pool = new Connections(load.url, load.connections, reject);
      connections = pool;
      const done = (): void => {
        if (++answered === count) resolve();
        else pump();
      };
      const pump = (): void => {
        while (next < count) {
          const now = performance.now();
          const at = due === null ? now : started + due(next);
          if (at > now || !pool.send(() => load.request(next), done, pump)) return;
          load.sentAt(next++, at);
        }
      };
      timers.push(setInterval(() => say(`  ${answered} of ${count} answered`), sayEveryMs));
      if (due !== null) timers.push(setInterval(pump, tickMs));
      pump();
    });
  } finally {
    for (const timer of timers) clearInterval(timer);
    (connections as Connections | null)?.end();
  }
  return performance.now() - started;
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
