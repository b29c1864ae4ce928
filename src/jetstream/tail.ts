/**
 * What came to a stream while it was archived. Of a bucket the archive lacks each key that was written again before the archive
 * reached it: its new value stands in the tail, so that both together are the bucket as it was when the tail had been read. A
 * transaction is in the tail whole or not at all.
 */
import { DeliverPolicy } from "@nats-io/jetstream";
import { setTimeout } from "node:timers/promises";
import { requestDeadlineMs, tailStepMax, tailTriesMax } from "../limits.ts";
import { JetStreamRejected } from "../protocol/errors.ts";
import { listUnsafe } from "./listing.ts";
import type { NatsService } from "./Nats.ts";
import type { Write } from "./transaction.ts";
import { commitUnsafe, publishUnsafe } from "./transaction.ts";

export interface TailMessage {
  readonly subject: string;
  readonly sequence: number;
  /** Only those that say what the message is; those by which it was published would be judged again. */
  readonly headers: Readonly<Record<string, string>>;
  /** Base64. */
  readonly data: string;
}

const meaningful = ["KV-Operation", "Nats-TTL", "Nats-Rollup", "Nats-Marker-Reason"] as const;

/**
 * Calls `each` with all that came behind `after`, oldest first, until there is no more.
 * @returns the last sequence that it reached; `after` where nothing came
 */
export async function tailUnsafe(
  nats: NatsService,
  stream: string,
  after: number,
  each: (message: TailMessage) => void,
): Promise<number> {
  let reached = after;
  for (let tries = 0; tries < tailTriesMax; tries++) {
    let whole = true;
    await listUnsafe(
      nats,
      stream,
      { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: reached + 1 },
      ({ message, sequence }) => {
        reached = sequence;
        const { headers } = message;
        // The last of a transaction says so; one that was read while it was being stored has its rest behind it.
        whole =
          (headers?.get("Nats-Batch-Id") ?? "") === "" || (headers?.get("Nats-Batch-Commit") ?? "") !== "";
        const kept: Record<string, string> = {};
        for (const name of meaningful) {
          const value = headers?.get(name) ?? "";
          if (value !== "") kept[name] = value;
        }
        each({
          subject: message.subject,
          sequence,
          headers: kept,
          data: Buffer.from(message.data).toString("base64"),
        });
      },
    );
    if (whole) return reached;
    await setTimeout(50);
  }
  throw new JetStreamRejected({
    operation: `read what came to ${stream} meanwhile`,
    code: 0,
    detail: "its last transaction does not end",
  });
}

const isPlain = ({ headers }: TailMessage): boolean =>
  !("Nats-TTL" in headers) && !("Nats-Rollup" in headers);

const toWrite = ({ subject, headers, data }: TailMessage): Write => ({
  subject,
  data: Buffer.from(data, "base64"),
  headers,
});

/** Writes a tail behind what was restored, in its order; each step is stored before the next is sent. @returns messages written */
export async function writeTailUnsafe(
  nats: NatsService,
  stream: string,
  messages: AsyncIterable<TailMessage>,
): Promise<number> {
  const operation = `restore ${stream}`;
  let written = 0;
  let step: Array<TailMessage> = [];
  const store = async (): Promise<void> => {
    if (step.length === 0) return;
    const answer = await commitUnsafe(nats, operation, step.map(toWrite), requestDeadlineMs);
    if ("_tag" in answer) throw answer;
    written += step.length;
    step = [];
  };
  for await (const message of messages) {
    if (isPlain(message)) {
      step.push(message);
      if (step.length >= tailStepMax) await store();
      continue;
    }
    // What rolls up or expires is no part of a batch.
    await store();
    const answer = await publishUnsafe(nats, operation, toWrite(message), requestDeadlineMs);
    if ("_tag" in answer) throw answer;
    written++;
  }
  await store();
  return written;
}
