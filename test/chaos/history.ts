/**
 * Everything that was ever written to the ledger, in order: the server publishes each revision again as it is stored, and this
 * listens. What is written while the listener is cut off is missed; revisions are numbered without gaps, so that is known.
 */
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { connect } from "@nats-io/transport-node";
import { scanUnsafe } from "../../src/jetstream/ledger.ts";
import type { ConnectSettings, NatsService } from "../../src/jetstream/Nats.ts";
import { connectionOptions } from "../../src/jetstream/Nats.ts";
import { kvStream, kvSubject, ledgerBucket } from "../../src/protocol/keys.ts";
import type { Revision } from "./checker.ts";
import { slack } from "./slack.ts";

const republished = "history.";
const prefix = republished + kvSubject(ledgerBucket, "");
const decoder = new TextDecoder();
const refreshMs = 1_000;

function parse(data: Uint8Array): unknown {
  return data.length === 0 ? null : JSON.parse(decoder.decode(data));
}

/** Tells the server to publish what the ledger stores. The bucket must be there. */
async function republish(nats: NatsService): Promise<void> {
  const stream = kvStream(ledgerBucket);
  const { config } = await nats.jsm.streams.info(stream);
  const src = kvSubject(ledgerBucket, ">");
  await nats.jsm.streams.update(stream, { ...config, republish: { src, dest: `${republished}${src}` } });
}

export class History {
  /** In order of revision. */
  readonly revisions: Array<Revision> = [];
  /** The last known value of each key. */
  readonly latest = new Map<string, Revision>();
  readonly #nats: NatsService;
  readonly #listener: NatsConnection;
  #watchers = new Set<() => void>();

  private constructor(nats: NatsService, listener: NatsConnection) {
    this.#nats = nats;
    this.#listener = listener;
  }

  /** @param nats a connection that this may use for its own reads */
  static async start(nats: NatsService, settings: ConnectSettings): Promise<History> {
    await republish(nats);
    // Back before any node is: what is written before it is back is not seen.
    const listener = await connect({
      ...connectionOptions(settings),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 10,
      reconnectJitter: 0,
      reconnectJitterTLS: 0,
    });
    const history = new History(nats, listener);
    listener.subscribe(`${republished}>`, {
      callback: (error, message) => {
        if (error === null) history.#see(message);
      },
    });
    await listener.flush();
    return history;
  }

  #see(message: Msg): void {
    const text = (name: string): string => message.headers?.get(name) ?? "";
    const revision: Revision = {
      key: message.subject.slice(prefix.length),
      revision: Number(text("Nats-Sequence")),
      at: Date.parse(text("Nats-Time-Stamp")),
      ended: text("KV-Operation") !== "" || text("Nats-Marker-Reason") !== "",
      value: parse(message.data),
    };
    this.revisions.push(revision);
    this.#keep(revision);
    for (const watcher of this.#watchers) watcher();
  }

  #keep(revision: Revision): void {
    if ((this.latest.get(revision.key)?.revision ?? 0) < revision.revision)
      this.latest.set(revision.key, revision);
  }

  /** Every key that has a value, as the ledger itself says. */
  async scan(filters: ReadonlyArray<string> = [">"]): Promise<ReadonlyArray<Revision>> {
    const found: Array<Revision> = [];
    await scanUnsafe(this.#nats, ledgerBucket, filters, ({ key, revision, at, data }) =>
      found.push({ key, revision, at, ended: false, value: parse(data) }),
    );
    return found;
  }

  /** Resolves with what `find` found, as soon as it finds something; rejects after `withinMs`. Asked at every revision. */
  until<A>(what: string, within: number, find: () => A | null | undefined | false): Promise<A> {
    const withinMs = within * slack;
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(late);
        clearInterval(refresh);
        this.#watchers.delete(look);
      };
      const look = (): void => {
        const found = find();
        if (found === null || found === undefined || found === false) return;
        done();
        resolve(found);
      };
      const late = setTimeout(() => {
        done();
        reject(new Error(`${what}: not within ${withinMs} ms`));
      }, withinMs);
      // What was missed while the server was away is read instead.
      const refresh = setInterval(() => {
        this.scan()
          .then((found) => found.forEach((revision) => this.#keep(revision)))
          .then(look, () => undefined);
      }, refreshMs);
      this.#watchers.add(look);
      look();
    });
  }

  async end(): Promise<void> {
    await this.#listener.close();
  }
}
