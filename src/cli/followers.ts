/** What those that follow the ledger have made of a file: receivers that were told of it, and the visit that it is of. */
import * as Effect from "effect/Effect";
import type { Site } from "../config/Site.ts";
import { get } from "../jetstream/ledger.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { ledgerBucket, mailboxKind, notifiedKey } from "../protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { decodeVisit, visitFactOf, visitKeyOf } from "../protocol/visits.ts";
import { decodeNotified, toldOf } from "../protocol/webhooks.ts";
import type { CommandFailed } from "./failures.ts";
import { ofCause, ofJetStream } from "./failures.ts";
import { moment } from "./words.ts";

type Ask<A> = Effect.Effect<A, CommandFailed>;
type Line = readonly [name: string, words: string];

const valueOf = <A>(
  nats: NatsService,
  key: string,
  decode: (key: string, data: Uint8Array) => A,
): Ask<A | null> =>
  get(nats, ledgerBucket, key).pipe(
    Effect.mapError(ofJetStream),
    Effect.flatMap((entry) =>
      Effect.try({
        try: () => (entry === null || entry.ended ? null : decode(key, entry.data)),
        catch: ofCause,
      }),
    ),
  );

/** One line a receiver of the file's lane, and one for its visit. */
export const followersOf = (
  site: Site,
  nats: NatsService,
  lane: string,
  key: string,
  found: LedgerRecord | null,
): Ask<ReadonlyArray<Line>> =>
  Effect.gen(function* () {
    const lines: Array<Line> = [];
    if (found === null || mailboxKind(lane) !== "file") return lines;
    const record = found as LedgerRecord<FileBody>;
    const told = toldOf(key, record);
    for (const { name, lanes } of site.webhooks.values()) {
      if (told === null || !lanes.includes(lane)) continue;
      const notified = yield* valueOf(
        nats,
        notifiedKey(name, told.day, told.instrument, told.exposure),
        decodeNotified,
      );
      const refusal = notified?.refused.findLast((one) => one.filenames.includes(told.filename));
      if (refusal !== undefined) lines.push(["not told", `${name}: ${refusal.reason}`]);
      else if (notified?.told.includes(told.mark) !== true) lines.push(["not told", `${name}: not yet`]);
      else
        lines.push([
          "told",
          `${name}${notified.at === null ? "" : `, last at ${moment(Date.parse(notified.at))} UTC`}`,
        ]);
    }
    const { visits } = site;
    const fact =
      visits === null || !visits.lanes.includes(lane)
        ? null
        : visitFactOf(visits.system, visits.observationTypes, record);
    if (fact === null) return lines;
    const visit = yield* valueOf(nats, visitKeyOf(fact), decodeVisit);
    const size =
      visit === null ? "not defined yet" : `${visit.exposures.length} of ${visit.promised ?? "?"} exposures`;
    return [...lines, ["visit", `${fact.visit}: ${size}`]];
  });
