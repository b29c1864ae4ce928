/** What a supernode holds of each site, and how it comes, for people. */
import * as Effect from "effect/Effect";
import type { NatsService } from "../jetstream/Nats.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import { countSince } from "../jetstream/survey.ts";
import { sourceSilentMsMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import { sitesBucket, siteSubjects } from "../protocol/sites.ts";
import type { Cell, TableOptions } from "./table.ts";
import { table } from "./table.ts";
import { count, duration } from "./words.ts";

export interface Sourced extends SourceState {
  /** Keys of files. */
  readonly files: number;
  /** Nothing was heard of it for too long, or it cannot be sourced. */
  readonly silent: boolean;
}

const isSilent = ({ silentMs, error }: SourceState): boolean =>
  error !== null || silentMs === null || silentMs > sourceSilentMsMax;

export const readSourced = (
  nats: NatsService,
): Effect.Effect<ReadonlyArray<Sourced>, NatsUnavailable | JetStreamRejected> =>
  Effect.flatMap(
    sourceStates(nats),
    Effect.forEach((state) =>
      Effect.map(
        countSince(nats, kvStream(sitesBucket), siteSubjects(state.site, state.epoch, "file"), 0),
        (files) => ({ ...state, files, silent: isSilent(state) }),
      ),
    ),
  );

function heard({ silentMs, silent, error, lag }: Sourced): Cell {
  const ago = silentMs === null ? "never" : `${duration(silentMs)} ago`;
  if (silent) return { text: error === null ? `not heard of: ${ago}` : `${ago}: ${error}`, style: "red" };
  return lag === 0 ? { text: "all is here", style: "green" } : { text: "catching up", style: "yellow" };
}

export const sourcedTable = (rows: ReadonlyArray<Sourced>, options: TableOptions): string =>
  table(
    [
      { title: "SITE" },
      { title: "EPOCH" },
      { title: "FILES", right: true },
      { title: "LAG", right: true },
      { title: "STATE", give: 10, prose: true },
    ],
    rows.map((row) => [row.site, row.epoch, count(row.files), count(row.lag), heard(row)]),
    options,
  );
