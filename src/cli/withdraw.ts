/**
 * `orrery withdraw FILE…`: files that should not have come. What follows is told first; with --yes their records are parked as
 * `Withdrawn`, and whoever decides about jobs takes them for not there. The objects stay where they are.
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { writesOf } from "../jetstream/claims.ts";
import type { Held } from "../jetstream/ledger.ts";
import { commitUnsafe } from "../jetstream/transaction.ts";
import { previewFilesMax } from "../limits.ts";
import { mailboxKind } from "../protocol/keys.ts";
import { withdrawn } from "../protocol/lifecycle.ts";
import type { PreviewAnswer } from "../protocol/operatorQuestions.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { fileName } from "../protocol/route.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, no, ofCause, ofJetStream } from "./failures.ts";
import type { Found } from "./ids.ts";
import { nameOf, needRecord } from "./ids.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import type { MissionLink } from "./mission.ts";
import { askJobs, openMission } from "./mission.ts";
import { operator } from "./operator.ts";
import { sayPreview } from "./previews.ts";
import { standingOf } from "./standing.ts";
import { harmless, plural } from "./words.ts";

export interface WithdrawOptions {
  readonly site: string | null;
  readonly files: ReadonlyArray<string>;
  readonly note: string | null;
  readonly yes: boolean;
  readonly json: boolean;
}

interface Target {
  readonly found: Found & { readonly held: Held<unknown> };
  readonly name: string;
}

const commitDeadlineMs = 5_000;

export const withdraw = (
  io: IoService,
  options: WithdrawOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (options.files.length === 0) return yield* misused("name at least one file");
    if (options.files.length > previewFilesMax) {
      return yield* misused(`at most ${previewFilesMax} files can be withdrawn together`);
    }
    const link = yield* openMission(io, options.site);
    const targets: Array<Target> = [];
    for (const file of new Set(options.files)) targets.push(yield* targetOf(link, file));
    const names = targets.map((target) => target.name);
    const preview = yield* askJobs<PreviewAnswer>(link, "preview", { added: [], withdrawn: names });
    if (!options.json) sayPreview(io, preview);
    if (!options.yes) {
      if (options.json) sayJson(io, { preview, withdrawn: [] });
      else tell(io, "Nothing was withdrawn: the same with --yes does it.");
      return undefined;
    }
    if ((options.note ?? "").trim() === "") {
      return yield* misused('say why: --note "the boresight was wrong"');
    }
    const done = yield* Effect.tryPromise({
      try: () => park(link, targets, options.note ?? ""),
      catch: ofCause,
    });
    if (options.json) sayJson(io, { preview, withdrawn: done });
    else {
      for (const one of done) if (one.done) say(io, `${harmless(one.name)}: withdrawn`);
      tell(io, "orrery parked replay FILE takes one back in.");
    }
    const left = done.filter((one) => !one.done);
    if (left.length === 0) return undefined;
    return yield* failed(
      `${plural(left.length, "file")} changed meanwhile and stayed as before: ${left.map((one) => one.name).join(", ")}`,
    );
  });

const targetOf = (link: MissionLink, file: string): Effect.Effect<Target, CommandFailed> =>
  Effect.gen(function* () {
    const found = yield* needRecord(link.site, link.nats, file);
    const record = found.held.record as LedgerRecord<FileBody>;
    if (mailboxKind(found.place.mailbox) !== "file" || record.body.dataset === undefined) {
      return yield* misused(`${nameOf(found.place)} is no file that the jobs of the mission are made of`);
    }
    const standing = standingOf(record);
    if (standing !== "known") {
      return yield* no(`${nameOf(found.place)} is ${standing}: only a file that is known can be withdrawn`);
    }
    if ((record.refused?.length ?? 0) > 0) {
      return yield* no(
        `other content came under the name ${nameOf(found.place)} and was refused: decide about that first, by orrery parked`,
      );
    }
    return { found, name: fileName(nameOf(found.place)) };
  });

interface Withdrawn {
  readonly name: string;
  readonly key: string;
  readonly done: boolean;
}

async function park(
  link: MissionLink,
  targets: ReadonlyArray<Target>,
  note: string,
): Promise<ReadonlyArray<Withdrawn>> {
  const moment = { now: link.nats.now(), random: 0, node: operator(), claim: null };
  const done: Array<Withdrawn> = [];
  // One by one: of a conflict in a batch nobody says whose it is.
  for (const { found, name } of targets) {
    const { key, place, held } = found;
    const settlement = withdrawn(place, held.record, moment, note);
    const answer = await commitUnsafe(
      link.nats,
      "withdraw",
      writesOf(key, held.revision, settlement),
      commitDeadlineMs,
    );
    if ("_tag" in answer && answer._tag !== "TransactionConflict") throw ofJetStream(answer);
    done.push({ name, key, done: !("_tag" in answer) });
  }
  return done;
}
