/** Streams that are needed and that the server does not hold: somebody deleted them, and only `topology apply` makes them anew. */
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import type { NatsService } from "./Nats.ts";
import { hasStream } from "./survey.ts";

export const missingStreams = (
  nats: NatsService,
  streams: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<string>, NatsUnavailable | JetStreamRejected> =>
  Effect.filter(streams, (stream) => Effect.map(hasStream(nats, stream), (is) => !is), { concurrency: 4 });

/** @param supernode its name, where it is one's and not a site's */
export function missingWords(streams: ReadonlyArray<string>, supernode: string | null): string {
  const are = streams.length === 1 ? "is" : "are";
  const names = `${streams.length === 1 ? "stream" : "streams"} ${streams.join(", ")}`;
  return `${names} ${are} missing: orrery topology apply${supernode === null ? "" : ` --supernode ${supernode}`}`;
}
