/**
 * Everything that a stream holds now and a filter lets through, in one go. It speaks the pull protocol itself, on one inbox: with the
 * client's iterator each message goes through a promise and an object of its own, a third of what it costs this side.
 *
 * A listing is whole or it fails: a message that was lost on the way (nothing here is acknowledged) leaves a gap in the consumer's
 * own count, which ends it.
 */
import type { ConsumerConfig } from "@nats-io/jetstream";
import { AckPolicy } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { createInbox } from "@nats-io/transport-node";
import type { NatsService } from "./Nats.ts";
import { unavailable } from "./wire.ts";

/** Messages on their way at once: with fewer it waits for the server more than it works. */
const listedAtOnce = 5_000;
const expiresMs = 30_000;
const heartbeatMs = 5_000;
/** Without a message for so long it is given up. */
const silentMsMax = 20_000;
const heartbeat = 100;
const requestOver = 408;
const nobodyListens = 503;
/** In a cluster a consumer that was just made is not asked by all servers yet. */
const notYetMs = 50;
const notYetMax = 40;

export interface Listed {
  readonly message: Msg;
  readonly sequence: number;
  /** Epoch milliseconds, by the server's clock. */
  readonly at: () => number;
}

/** Which messages. */
export type ListedOf = Pick<ConsumerConfig, "deliver_policy"> &
  Partial<
    Pick<
      ConsumerConfig,
      "filter_subject" | "filter_subjects" | "headers_only" | "opt_start_seq" | "opt_start_time"
    >
  >;

/**
 * Calls `each` with every message that matches when the listing begins, and with some that come meanwhile, in the stream's order.
 * Rejects when the server is away or the listing breaks off, and with whatever `each` throws.
 */
export async function listUnsafe(
  nats: NatsService,
  stream: string,
  what: ListedOf,
  each: (listed: Listed) => void,
): Promise<void> {
  const info = await nats.jsm.consumers.add(stream, {
    ...what,
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: 30_000_000_000,
  });
  try {
    if (info.num_pending > 0) await pullAll(nats, stream, info.name, each);
  } finally {
    // The server ends it by itself after its inactive threshold when this is lost.
    await nats.jsm.consumers.delete(stream, info.name).catch(() => false);
  }
}

function pullAll(
  nats: NatsService,
  stream: string,
  consumer: string,
  each: (listed: Listed) => void,
): Promise<void> {
  const { connection, apiPrefix } = nats;
  const inbox = createInbox(nats.inboxPrefix);
  let heardAt = performance.now();
  return new Promise<void>((resolve, reject) => {
    /** Asked for and not yet here. */
    let wanted = 0;
    let seen = 0;
    let notYet = 0;
    const brokeOff = (why: string): void =>
      end(() => reject(unavailable(`list ${stream}`)(new Error(`the listing broke off: ${why}`))));
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) end(() => reject(unavailable(`list ${stream}`)(error)));
        else if (message.reply === undefined || message.reply === "") status(message);
        else take(message, message.reply);
      },
    });
    const watchdog = setInterval(() => {
      if (performance.now() - heardAt > silentMsMax) brokeOff(`nothing came for ${silentMsMax / 1_000} s`);
    }, 1_000);
    let ended = false;
    const end = (how: () => void): void => {
      if (ended) return;
      ended = true;
      clearInterval(watchdog);
      subscription.unsubscribe();
      how();
    };
    const ask = (): void => {
      if (ended || wanted > listedAtOnce / 2) return;
      const batch = listedAtOnce - wanted;
      wanted += batch;
      const request = { batch, expires: expiresMs * 1_000_000, idle_heartbeat: heartbeatMs * 1_000_000 };
      const subject = `${apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
      connection.publish(subject, JSON.stringify(request), { reply: inbox });
    };
    const status = ({ headers }: Msg): void => {
      const code = headers?.code ?? 0;
      if (code === heartbeat) return;
      if (code === nobodyListens && seen === 0 && notYet < notYetMax) {
        notYet++;
        wanted = 0;
        setTimeout(ask, notYetMs);
        return;
      }
      if (code !== requestOver) {
        brokeOff(`${code} ${headers?.description ?? ""}`.trim());
        return;
      }
      wanted -= Number(headers?.get("Nats-Pending-Messages") ?? 0);
      ask();
    };
    const take = (message: Msg, reply: string): void => {
      if (ended) return;
      heardAt = performance.now();
      wanted--;
      const parts = reply.split(".");
      // $JS.ACK.[domain.account.]stream.consumer.delivered.sequence.count.time.pending[.token]
      const at = parts.length === 9 ? 4 : 6;
      seen++;
      if (Number(parts[at + 2]) !== seen) {
        brokeOff("messages were lost on the way");
        return;
      }
      try {
        each({
          message,
          sequence: Number(parts[at + 1]),
          at: () => Number((parts[at + 3] ?? "").slice(0, -6)),
        });
        if (Number(parts[at + 4]) === 0) end(resolve);
        else ask();
      } catch (cause) {
        end(() => reject(cause));
      }
    };
    ask();
  });
}
