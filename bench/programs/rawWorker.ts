/**
 * The plain program of `settle` and `actor`: the same cycle and the same writes as a claims actor, with nothing around them.
 * take → slot → one atomic batch (records, exposures, slot) → acks. One batch after another, the client's own calls.
 *
 * Arguments: NATS address, stream, consumer, ledger bucket, items a batch, what it records (`files`, `items`, `nothing`).
 */
import { jetstream } from "@nats-io/jetstream";
import type { JsMsg } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { unpack } from "msgpackr";
import { serve } from "./serve.ts";

interface Message {
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  readonly size: number;
  readonly via: string;
  readonly receivedAt: string;
  readonly id: string;
  readonly body: unknown;
}

interface Record {
  readonly key: string;
  readonly value: unknown;
  readonly touches: string | null;
}

const now = (): string => new Date().toISOString();

function envelope(state: string, etag: string, claim: string, body: unknown): unknown {
  const history = [{ at: now(), event: state, node: "raw" }];
  const counts = { attempts: 0, crashes: 0, crashesAlone: 0 };
  return { v: 1, state, generation: 0, etag, claim, ...counts, errors: [], history, body };
}

const pattern =
  /^(?<instrument>[^/]+)\/(?<day>\d{8})\/(?<exposure>[^/]+)\/[^/]+_(?<detector>R\d\d_S\d\d)\.fits$/;

function fileRecord(message: Message, sequence: number, claim: string): Record {
  const { bucket, key, etag, size, via, receivedAt } = message;
  const { instrument = "", day = "", exposure = "", detector = "" } = pattern.exec(key)?.groups ?? {};
  const identity = { instrument, day, exposure, group: null, snap: null, detector, seq: null };
  const uri = `s3://${bucket}/${key}`;
  const body = { bucket, key, size, uri, identity, metadata: null, via, receivedAt, sequence };
  return {
    key: `file.raw.${day}.${bucket}/${key}`,
    value: envelope("known", etag, claim, body),
    touches: `exposure.${instrument}.${day}.${exposure}`,
  };
}

function itemRecord(message: Message, claim: string): Record {
  const { id, etag, body } = message;
  return {
    key: `item.raw.2025-11-21.${id}`,
    value: envelope("done", etag, claim, { id, item: body }),
    touches: null,
  };
}

await serve(async ([url = "", stream = "", consumer = "", bucket = "", batchText = "", records = ""]) => {
  const nc = await connect({ servers: url, noAsyncTraces: true });
  const js = jetstream(nc);
  const batchMax = Number(batchText);
  const prefix = `$KV.${bucket}.`;
  const encode = (value: unknown): string => JSON.stringify(value);
  const slotKey = "claim.raw.node.0";
  let slotRevision = 0;
  let batches = 0;

  const expecting = (revision: number) => {
    const hdrs = headers();
    hdrs.set("Nats-Expected-Last-Subject-Sequence", String(revision));
    return hdrs;
  };
  const sequenceOf = (data: Uint8Array): number => {
    const ack = JSON.parse(new TextDecoder().decode(data)) as { seq?: number; error?: unknown };
    if (ack.seq === undefined) throw new Error(JSON.stringify(ack));
    return ack.seq;
  };

  const round = async (messages: ReadonlyArray<JsMsg>): Promise<void> => {
    const id = `raw-${batches++}`;
    const found: ReadonlyArray<Record> = messages.map((message) => {
      const value = unpack(message.data) as Message;
      return records === "files" ? fileRecord(value, message.seq, id) : itemRecord(value, id);
    });
    const items = found.map(({ key }, i) => ({
      record: key,
      etag: "",
      generation: 0,
      sequence: messages[i]?.seq,
    }));
    const slot = encode({ v: 1, state: "claimed", id, epoch: "raw", since: now(), items });
    const claimed = await nc.request(prefix + slotKey, slot, {
      timeout: 10_000,
      headers: expecting(slotRevision),
    });
    const revision = sequenceOf(claimed.data);
    let sequence = 0;
    const inBatch = (revisionExpected: number | null) => {
      const hdrs = revisionExpected === null ? headers() : expecting(revisionExpected);
      hdrs.set("Nats-Batch-Id", id);
      hdrs.set("Nats-Batch-Sequence", String(++sequence));
      return hdrs;
    };
    if (records !== "nothing") {
      const touched = new Set<string>();
      for (const { key, value, touches } of found) {
        if (touches !== null) touched.add(touches);
        nc.publish(prefix + key, encode(value), { headers: inBatch(0) });
      }
      for (const key of touched) {
        nc.publish(prefix + key, encode({ v: 1, at: now(), lane: "raw" }), { headers: inBatch(null) });
      }
    }
    const last = sequence === 0 ? expecting(revision) : inBatch(revision);
    if (sequence > 0) last.set("Nats-Batch-Commit", "1");
    const idle = encode({ v: 1, state: "idle", last: id, how: "settled", by: "raw" });
    const settled = await nc.request(prefix + slotKey, idle, { timeout: 10_000, headers: last });
    slotRevision = sequenceOf(settled.data);
    for (const message of messages) message.ack();
  };

  // The client keeps three batches on their way, as Orrery's mailbox asks for the next one while it works.
  const messages = await (
    await js.consumers.get(stream, consumer)
  ).consume({
    max_messages: batchMax * 3,
    expires: 2_000,
  });
  const work = async (): Promise<void> => {
    let batch: Array<JsMsg> = [];
    for await (const message of messages) {
      batch.push(message);
      if (batch.length < batchMax && message.info.pending > 0) continue;
      await round(batch);
      batch = [];
    }
  };
  const working = work();
  working.catch((cause: unknown) => {
    process.stderr.write(`raw worker: ${String(cause)}\n`);
    process.exit(1);
  });
  return {
    http: null,
    stop: async () => {
      await messages.close();
      await nc.close();
    },
  };
});
