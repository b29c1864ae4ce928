/**
 * What is being written to a bucket, as it passes by on core NATS: before it is stored, also when it will be refused, and not what was
 * missed while the connection was away. Only good for being quick; whoever must know reads the ledger.
 */
import { kvSubject } from "../protocol/keys.ts";
import type { NatsService } from "./Nats.ts";

export interface Passing {
  readonly key: string;
  /** Empty for a key that ends. */
  readonly data: Uint8Array;
}

/** @returns what ends it */
export function watchPassing(
  nats: NatsService,
  bucket: string,
  keys: ReadonlyArray<string>,
  each: (passing: Passing) => void,
): () => void {
  const prefix = kvSubject(bucket, "");
  const subscriptions = keys.map((key) =>
    nats.connection.subscribe(kvSubject(bucket, key), {
      callback: (error, message) => {
        if (error === null) each({ key: message.subject.slice(prefix.length), data: message.data });
      },
    }),
  );
  return () => {
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
}
