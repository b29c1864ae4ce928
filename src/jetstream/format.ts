/** The ledger's format, written where every node looks first: in the metadata of its stream. */
import * as Effect from "effect/Effect";
import { nodeLeaseMs } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { FormatNewer, FormatOlder } from "../protocol/errors.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { ledgerFormat } from "../protocol/records.ts";
import { liveNodes } from "./lease.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";

const key = "orrery.format";
const streamNotFound = 10059;
const lookAgainMs = 200;

export const formatMetadata: Readonly<Record<string, string>> = { [key]: String(ledgerFormat) };

type ReadError = NatsUnavailable | JetStreamRejected;

/**
 * Refuses a ledger that a newer program has written to, and one that this program would make newer while others run that know only the
 * format before. Of one that is not there yet, or says nothing, there is nothing to refuse.
 */
export const checkFormat = (nats: NatsService): Effect.Effect<void, FormatNewer | FormatOlder | ReadError> =>
  managed("look at the ledger's format", () => nats.jsm.streams.info(kvStream(ledgerBucket))).pipe(
    Effect.flatMap(({ config }): Effect.Effect<void, FormatNewer | FormatOlder | ReadError> => {
      const found = Number(config.metadata?.[key] ?? 0);
      if (found > ledgerFormat) return Effect.fail(new FormatNewer({ found, known: ledgerFormat }));
      return found > 0 && found < ledgerFormat ? onceAlone(nats, found) : Effect.void;
    }),
    Effect.catchIf(
      (error): error is JetStreamRejected =>
        error._tag === "JetStreamRejected" && error.code === streamNotFound,
      () => Effect.void,
    ),
  );

/** The leases of nodes that were killed are waited out: they are not running any more. */
const onceAlone = (nats: NatsService, found: number): Effect.Effect<void, FormatOlder | ReadError> =>
  Effect.gen(function* () {
    for (let waitedMs = 0; ; waitedMs += lookAgainMs) {
      const nodes = [...(yield* liveNodes(nats)).keys()].sort();
      if (nodes.length === 0) return;
      if (waitedMs > nodeLeaseMs * 2) return yield* new FormatOlder({ found, writes: ledgerFormat, nodes });
      yield* Effect.sleep(lookAgainMs);
    }
  });
