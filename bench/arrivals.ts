/** The load of the claims benches: arrivals as the enqueuer would have stored them, of full focal planes, one after another. */
import { commitUnsafe } from "../src/jetstream/transaction.ts";
import type { Write } from "../src/jetstream/transaction.ts";
import type { NatsService } from "../src/jetstream/Nats.ts";
import { encodeArrival } from "../src/protocol/arrival.ts";
import { bucket } from "./stage.ts";

const detectors = 189;
export const day = "20251121";

/** Key of the n-th file: 189 to an exposure. */
export function objectKey(n: number): string {
  const exposure = `MC_O_${day}_${String(Math.floor(n / detectors)).padStart(6, "0")}`;
  const d = n % detectors;
  const detector = `R${String(Math.floor(d / 9)).padStart(2, "0")}_S${Math.floor((d % 9) / 3)}${d % 3}`;
  return `LSSTCam/${day}/${exposure}/${exposure}_${detector}.fits`;
}

export const etagOf = (n: number): string => n.toString(16).padStart(32, "0");

export function arrival(n: number, subject: string): Write {
  return {
    subject,
    data: encodeArrival({
      bucket,
      key: objectKey(n),
      etag: etagOf(n),
      size: 8_388_608,
      instrument: "LSSTCam",
      day,
      generation: 0,
      via: "webhook",
      receivedAt: "2025-11-21T07:03:14.565Z",
    }),
  };
}

const batch = 500;
const batchesAtOnce = 4;

/** Stores them in batches, a few at a time. */
export async function store(nats: NatsService, writes: ReadonlyArray<Write>): Promise<void> {
  let next = 0;
  const storeSome = async (): Promise<void> => {
    while (next < writes.length) {
      const from = next;
      next += batch;
      const answer = await commitUnsafe(nats, "store the load", writes.slice(from, from + batch), 30_000);
      if ("_tag" in answer) throw answer;
    }
  };
  await Promise.all(Array.from({ length: batchesAtOnce }, storeSome));
}
