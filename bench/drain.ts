/** How fast a durable consumer is worked off: seen from outside, the same way for every program. */
import type { NatsService } from "../src/jetstream/Nats.ts";

const pollMs = 20;
const drainMsMax = 60_000;

interface Seen {
  readonly at: number;
  readonly left: number;
}

/** Stops deliveries while the load is stored: what is measured begins with a full queue. */
export async function pause(nats: NatsService, stream: string, consumer: string): Promise<void> {
  await nats.jsm.consumers.pause(stream, consumer, new Date(Date.now() + 600_000));
}

/**
 * Lets deliveries go and waits until nothing is left.
 * @returns acknowledged messages a second, from a tenth of the queue to its end
 */
export async function drain(nats: NatsService, stream: string, consumer: string): Promise<number> {
  const look = async (): Promise<Seen> => {
    const info = await nats.jsm.consumers.info(stream, consumer);
    return { at: performance.now(), left: info.num_pending + info.num_ack_pending };
  };
  const { left: total } = await look();
  const until = performance.now() + drainMsMax;
  await nats.jsm.consumers.resume(stream, consumer);
  let first: Seen | null = null;
  for (;;) {
    const seen = await look();
    if (first === null && seen.left <= total * 0.9) first = seen;
    if (seen.left === 0 && first !== null) return ((first.left - seen.left) / (seen.at - first.at)) * 1_000;
    if (performance.now() > until)
      throw new Error(`${consumer}: ${seen.left} of ${total} left after a minute`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
