import { DeliverPolicy } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listUnsafe } from "../../src/jetstream/listing.ts";
import type { Write } from "../../src/jetstream/transaction.ts";
import { commitUnsafe } from "../../src/jetstream/transaction.ts";
import { arrivalsStream } from "../../src/protocol/keys.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";

let server: TestNats;
/** More than are on their way at once. */
const count = 12_000;

beforeAll(async () => {
  server = await startNats();
  for (let from = 0; from < count; from += 1_000) {
    const writes = Array.from({ length: 1_000 }, (_, i): Write => ({
      subject: `arrive.listed.x.${(from + i) % 7}`,
      data: Buffer.from(String(from + i)),
    }));
    await commitUnsafe(server.nats, "fill", writes, 10_000);
  }
});
afterAll(() => server.stop());

const all = { deliver_policy: DeliverPolicy.All, filter_subject: "arrive.listed.>" };

async function consumersLeft(): Promise<number> {
  const { state } = await server.nats.jsm.streams.info(arrivalsStream);
  return state.consumer_count;
}

describe("a listing", () => {
  it("gives each message once, in order, with its sequence and the server's time, and leaves no consumer", async () => {
    const before = await consumersLeft();
    const began = Date.now();
    const seen: Array<string> = [];
    const sequences: Array<number> = [];
    let oldest = Number.POSITIVE_INFINITY;
    await listUnsafe(server.nats, arrivalsStream, all, ({ message, sequence, at }) => {
      seen.push(message.string());
      sequences.push(sequence);
      oldest = Math.min(oldest, at());
    });
    expect(seen).toEqual(Array.from({ length: count }, (_, i) => String(i)));
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    expect(Math.abs(began - oldest)).toBeLessThan(120_000);
    expect(await consumersLeft()).toBe(before);
  });

  it("gives the last of each subject", async () => {
    const last = { deliver_policy: DeliverPolicy.LastPerSubject, filter_subjects: ["arrive.listed.>"] };
    const seen: Array<string> = [];
    await listUnsafe(server.nats, arrivalsStream, last, ({ message }) => void seen.push(message.subject));
    expect(seen.sort()).toEqual(Array.from({ length: 7 }, (_, i) => `arrive.listed.x.${i}`));
  });

  it("of nothing ends at once", async () => {
    const none = { ...all, filter_subject: "arrive.nobody.>" };
    await listUnsafe(server.nats, arrivalsStream, none, () => expect.unreachable());
  });

  it("ends with what its reader throws", async () => {
    const before = await consumersLeft();
    const listing = listUnsafe(server.nats, arrivalsStream, all, () => {
      throw new Error("unreadable");
    });
    await expect(listing).rejects.toThrow("unreadable");
    expect(await consumersLeft()).toBe(before);
  });

  it("that loses a message on the way fails: it never passes for whole", async () => {
    const { connection } = server.nats;
    let messages = 0;
    const lossy = new Proxy(connection, {
      get: (target, name) => {
        if (name !== "subscribe") {
          const value: unknown = Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        }
        return (subject: string, options: Parameters<typeof connection.subscribe>[1]) =>
          target.subscribe(subject, {
            callback: (error, message) => {
              if (messages++ !== 100) void options?.callback?.(error, message);
            },
          });
      },
    });
    const listing = listUnsafe({ ...server.nats, connection: lossy }, arrivalsStream, all, () => undefined);
    await expect(listing).rejects.toThrow("lost on the way");
  });
});
