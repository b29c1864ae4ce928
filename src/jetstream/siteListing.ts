/**
 * A site's ledger listed from the supernode, through the leaf: keys, sequences and whether they ended, no values.
 *
 * It asks as the supernode's own source does, by the subjects that pass between the two for that (src/sites/leaf.ts): a consumer that
 * sends to `orrery.src.<site>.…`. So it needs nothing of a site that the supernode does not have, and reaches nothing but that ledger.
 */
import { randomBytes } from "node:crypto";
import type { Msg } from "@nats-io/transport-node";
import { requestDeadlineMs, siteComparedMsMax, siteListingSilentMsMax } from "../limits.ts";
import { kvStream, kvSubject, ledgerBucket } from "../protocol/keys.ts";
import { listingAnswers, listingDelivery } from "../protocol/sites.ts";
import type { NatsService } from "./Nats.ts";
import { errorOfCode, readAckSubject, unavailable } from "./wire.ts";

export interface SiteKey {
  readonly key: string;
  readonly sequence: number;
  /** A marker stands there. */
  readonly ended: boolean;
}

const stream = kvStream(ledgerBucket);
const heartbeat = 100;

const consumerOf = (deliver: string, filters: ReadonlyArray<string>, name: string) => ({
  stream_name: stream,
  config: {
    name,
    deliver_subject: deliver,
    deliver_policy: "all",
    ack_policy: "none",
    filter_subjects: filters.map((filter) => kvSubject(ledgerBucket, filter)),
    headers_only: true,
    flow_control: true,
    idle_heartbeat: 5_000_000_000,
    mem_storage: true,
    num_replicas: 1,
    // Nobody has to end it: it ends when nobody listens.
    inactive_threshold: 10_000_000_000,
  },
});

interface Created {
  readonly num_pending?: number;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

export interface SiteListingLimits {
  /** On the clock of `performance.now()`: given up then, however much still comes. Left out: the time of a comparison from now. */
  readonly until?: number;
  /** Given up when no key came for so long. */
  readonly silentMsMax?: number;
}

/**
 * Calls `each` with every key of the site that matches. Whole, or it rejects: when the site is not reached, or it breaks off, also
 * because what was still to come is purged meanwhile.
 * @param filters key patterns of the site's ledger
 */
export async function listSiteUnsafe(
  nats: NatsService,
  site: string,
  filters: ReadonlyArray<string>,
  each: (key: SiteKey) => void,
  limits: SiteListingLimits = {},
): Promise<void> {
  const id = randomBytes(9).toString("base64url");
  const listing = new Listing(nats, { operation: `list the ledger of ${site}`, id }, each, limits);
  const delivered = nats.connection.subscribe(listingDelivery(site, id), {
    callback: (error, message) => (error === null ? listing.take(message) : listing.broke(error.message)),
  });
  const answered = nats.connection.subscribe(listingAnswers(id), {
    callback: (error, message) => (error === null ? listing.begin(message) : listing.broke(error.message)),
  });
  const watchdog = setInterval(() => listing.watch(), 1_000);
  // At once as well: many short ones end before the first tick.
  listing.watch();
  try {
    const request = JSON.stringify(consumerOf(listingDelivery(site, id), filters, `keeper-${id}`));
    nats.connection.publish(`$JS.${site}.API.CONSUMER.CREATE.${stream}.keeper-${id}`, request, {
      reply: listingAnswers(id),
    });
    await listing.whole;
  } finally {
    clearInterval(watchdog);
    delivered.unsubscribe();
    answered.unsubscribe();
  }
}

/**
 * What it asks for, by which a consumer of that name asks whether what it sent came. A site may send any subject there; whoever listens may
 * publish to more than the site may, a purge of all sites among it.
 */
const flowControl = (id: string): string => `$JS.FC.${stream}.keeper-${id}.`;

/**
 * Invariant: it ends, whatever the site sends, and nothing is written anywhere but to the site's own consumer. Only keys keep it from being given up as silent: heartbeats come for ever where what was
 * still to come is gone, and from a site that means harm. A heartbeat that says how far the consumer has come is no end either: it is
 * sent also while a server looks for what is next, and what was then left out would be dropped at the supernode.
 */
class Listing {
  readonly whole: Promise<void>;
  readonly #nats: NatsService;
  readonly #operation: string;
  readonly #flowControl: string;
  readonly #each: (key: SiteKey) => void;
  #heardAt = performance.now();
  #begun = false;
  #seen = 0;
  #end: (error: unknown) => void = () => undefined;
  readonly #silentMsMax: number;
  readonly #until: number;

  constructor(
    nats: NatsService,
    { operation, id }: { readonly operation: string; readonly id: string },
    each: (key: SiteKey) => void,
    { until, silentMsMax = siteListingSilentMsMax }: SiteListingLimits,
  ) {
    this.#silentMsMax = silentMsMax;
    this.#until = until ?? this.#heardAt + siteComparedMsMax;
    this.#nats = nats;
    this.#operation = operation;
    this.#flowControl = flowControl(id);
    this.#each = each;
    this.whole = new Promise((resolve, reject) => {
      this.#end = (error) => (error === null ? resolve() : reject(error));
    });
  }

  broke(why: string): void {
    this.#end(unavailable(this.#operation)(new Error(why)));
  }

  watch(): void {
    const now = performance.now();
    const silentMs = now - this.#heardAt;
    if (now > this.#until) this.broke("it took too long");
    else if (!this.#begun && silentMs > requestDeadlineMs) this.broke("the site does not answer");
    else if (silentMs > this.#silentMsMax) this.broke(`no key came for ${this.#silentMsMax / 1_000} s`);
  }

  begin(message: Msg): void {
    // Once: an answer that is said again is no sign of life.
    if (this.#begun) return;
    this.#heardAt = performance.now();
    this.#begun = true;
    this.#guarded(() => this.#read(message));
  }

  /** What a site sends may be anything: thrown into the client, it would leave the connection deaf. */
  #guarded(read: () => void): void {
    try {
      read();
    } catch (cause) {
      this.#end(cause instanceof Error && "_tag" in cause ? cause : unavailable(this.#operation)(cause));
    }
  }

  #read(message: Msg): void {
    // What is no answer of the site: the server says that nobody hears the question.
    if (message.data.length === 0) return this.broke("the site is not joined now");
    const { error, num_pending: pending = 0 } = message.json<Created>();
    if (error !== undefined)
      this.#end(errorOfCode(this.#operation, error.err_code ?? 0, error.description ?? ""));
    else if (pending === 0) this.#end(null);
    return undefined;
  }

  take(message: Msg): void {
    this.#guarded(() => this.#take(message));
  }

  #take(message: Msg): void {
    const { reply = "", headers } = message;
    if (headers?.code === heartbeat) {
      const asked = reply === "" ? (headers.get("Nats-Consumer-Stalled") ?? "") : reply;
      if (asked === "") return undefined;
      if (!asked.startsWith(this.#flowControl))
        return this.broke("the site asks to be answered where it may not be");
      // It sends on only when it is told that what it sent came.
      this.#nats.connection.publish(asked);
      return undefined;
    }
    const at = readAckSubject(reply);
    const count = Number(reply.split(".").at(-3));
    if (at === null || ++this.#seen !== count) return this.broke("messages were lost on the way");
    this.#heardAt = performance.now();
    this.#each({
      key: message.subject.slice(kvSubject(ledgerBucket, "").length),
      sequence: at.sequence,
      ended: (headers?.get("KV-Operation") ?? "") !== "" || (headers?.get("Nats-Marker-Reason") ?? "") !== "",
    });
    if (at.pending === 0) this.#end(null);
    return undefined;
  }
}
