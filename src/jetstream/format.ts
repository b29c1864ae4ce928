/** The ledger's format, written where every node looks first: in the metadata of its stream. */
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { FormatNewer } from "../protocol/errors.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { ledgerFormat } from "../protocol/records.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";

const key = "orrery.format";
const streamNotFound = 10059;

export const formatMetadata: Readonly<Record<string, string>> = { [key]: String(ledgerFormat) };

/** Refuses a ledger that a newer program has written to; of one that is not there yet, or says nothing, there is nothing to refuse. */
export const checkFormat = (
  nats: NatsService,
): Effect.Effect<void, FormatNewer | NatsUnavailable | JetStreamRejected> =>
  managed("look at the ledger's format", () => nats.jsm.streams.info(kvStream(ledgerBucket))).pipe(
    Effect.flatMap(({ config }) => {
      const found = Number(config.metadata?.[key] ?? 0);
      return found > ledgerFormat
        ? Effect.fail(new FormatNewer({ found, known: ledgerFormat }))
        : Effect.void;
    }),
    Effect.catchIf(
      (error): error is JetStreamRejected =>
        error._tag === "JetStreamRejected" && error.code === streamNotFound,
      () => Effect.void,
    ),
  );
