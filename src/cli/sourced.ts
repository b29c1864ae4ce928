/** What a supernode holds of each site, and how it comes, for people. */
import * as Effect from "effect/Effect";
import type { NatsService } from "../jetstream/Nats.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import { countSince } from "../jetstream/survey.ts";
import { sourceSilentMsMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream } from "../protocol/keys.ts";
import {
  allSubjects,
  lifeSubjects,
  sitesBucket,
  sitesPresenceBucket,
  siteSubjects,
} from "../protocol/sites.ts";
import type { Cell, TableOptions } from "./table.ts";
import { table } from "./table.ts";
import { count, duration, plural } from "./words.ts";

export interface Sourced extends SourceState {
  /** Keys of files. */
  readonly files: number;
  /** Keys of its former lives that are kept here. */
  readonly former: number;
  /** Nothing was heard of its ledger for too long, or it cannot be sourced. */
  readonly silent: boolean;
  /** How its groups come; null: they are not sourced, which `orrery site apply` puts right. */
  readonly groups: SourceState | null;
  /** As {@link silent}, of its groups. */
  readonly groupsSilent: boolean;
  /** What takes over the site's present life, where this is a former one. */
  readonly rebuilt: string | null;
}

/** Of a site whose epoch is another by now, the command that has it taken over. */
export type Rebuilt = (source: Pick<SourceState, "site" | "epoch">) => string | null;

const isSilent = ({ silentMs, error }: SourceState): boolean =>
  error !== null || silentMs === null || silentMs > sourceSilentMsMax;

const streamNotFound = 10059;
/** A supernode of before groups were sourced has no bucket for them. */
const groupStates = (nats: NatsService) =>
  sourceStates(nats, sitesPresenceBucket).pipe(
    Effect.catchIf(
      (error) => error._tag === "JetStreamRejected" && error.code === streamNotFound,
      () => Effect.succeed([]),
    ),
  );

/** @param rebuilt told from the folder of deployments, where there is one */
export const readSourced = (
  nats: NatsService,
  rebuilt: Rebuilt = () => null,
): Effect.Effect<ReadonlyArray<Sourced>, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    const states = yield* sourceStates(nats);
    const ofGroups = new Map((yield* groupStates(nats)).map((state) => [state.site, state]));
    return yield* Effect.forEach(states, (state) => {
      const groups = ofGroups.get(state.site) ?? null;
      const groupsSilent = groups === null || isSilent(groups);
      const countOf = (subjects: string) => countSince(nats, kvStream(sitesBucket), subjects, 0);
      return Effect.map(
        Effect.all([
          countOf(siteSubjects(state.site, state.epoch, "file")),
          countOf(allSubjects(state.site)),
          // Behind the count of all: what comes meanwhile is of the present life.
          countOf(lifeSubjects(state.site, state.epoch)),
        ]),
        ([files, all, present]) => ({
          ...state,
          files,
          former: Math.max(0, all - present),
          silent: isSilent(state),
          groups,
          groupsSilent,
          rebuilt: rebuilt(state),
        }),
      );
    });
  });

function heard(row: Sourced): Cell {
  const { silentMs, error, lag, groups, rebuilt } = row;
  // All of a former life may be here, and nothing of the present one.
  if (rebuilt !== null) return { text: `rebuilt: ${rebuilt}`, style: "red" };
  const ago = silentMs === null ? "never" : `${duration(silentMs)} ago`;
  if (row.silent) return { text: error === null ? `not heard of: ${ago}` : `${ago}: ${error}`, style: "red" };
  if (row.groupsSilent) {
    const why = groups === null ? "not sourced: apply" : (groups.error ?? "not heard of");
    return { text: `its groups: ${why}`, style: "red" };
  }
  if (row.former > 0 && lag === 0) {
    return { text: `all is here; of former lives ${plural(row.former, "key")}`, style: "yellow" };
  }
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
