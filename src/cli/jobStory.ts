/** The story of a run, and of a job's partition: what it is made of, how it went, what it waits for. */
import * as Effect from "effect/Effect";
import { didYouMean } from "../config/nearMiss.ts";
import { liveNodes } from "../jetstream/lease.ts";
import type { Held } from "../jetstream/ledger.ts";
import { getManyUnsafe, getRecordUnsafe, scan } from "../jetstream/ledger.ts";
import { decodeJob } from "../protocol/jobs.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { decodeKeyPart, encodeToken, ledgerBucket, placeOfRecordKey } from "../protocol/keys.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import type { RunBody } from "../protocol/runs.ts";
import { partitionName } from "../protocol/runs.ts";
import type { CommandFailed } from "./failures.ts";
import { misused, no, ofCause, ofJetStream } from "./failures.ts";
import type { Found } from "./ids.ts";
import { nameOf } from "./ids.ts";
import { readRunObject } from "./log.ts";
import type { SiteLink } from "./site.ts";
import { reasonOf, standingOf } from "./standing.ts";
import type { Story } from "./story.ts";
import { historyEvents } from "./story.ts";
import { bytes, duration, moment, sentence, timeOf } from "./words.ts";

const inputsShownMax = 20;
const logLinesMax = 15;

type Fact = readonly [name: string, words: string];

const inputFacts = (link: SiteLink, body: RunBody): Effect.Effect<ReadonlyArray<Fact>, CommandFailed> =>
  Effect.gen(function* () {
    const shown = body.inputs.slice(0, inputsShownMax);
    const entries = yield* Effect.tryPromise({
      try: () =>
        getManyUnsafe(
          link.nats,
          ledgerBucket,
          shown.map((input) => input.record),
        ),
      catch: ofCause,
    });
    const facts = shown.map((input, i): Fact => {
      const entry = entries[i] ?? null;
      // Its record is in another site's ledger.
      if (input.site !== undefined) return ["input", `${input.bucket}/${input.key} at site ${input.site}`];
      const record = entry === null || entry.ended ? null : decodeRecord(input.record, entry.data);
      const state = record === null ? "not in the ledger any more" : standingOf(record);
      const changed = record !== null && record.etag !== input.etag ? ", with other content since" : "";
      return ["input", `${input.bucket}/${input.key} (${state}${changed})`];
    });
    const more = body.inputs.length - shown.length;
    return more > 0 ? [...facts, ["input", `… and ${more} more`]] : facts;
  });

function resultFacts({ result }: RunBody): ReadonlyArray<Fact> {
  if (result === null) return [];
  const began = timeOf(result.startedAt);
  const ended = timeOf(result.endedAt);
  const took = began === null || ended === null ? "" : ` after ${duration(ended - began)}`;
  const how = result.timedOut
    ? "ended at its time limit"
    : result.exit === null
      ? "ended from outside"
      : `exit ${result.exit}`;
  const peak = result.peakRssBytes === null ? "" : `, at most ${bytes(result.peakRssBytes)} of memory`;
  const cpu = result.cpuMs == null ? "" : `, ${duration(result.cpuMs)} of processor time`;
  return [["last try", `${how}${took} on node ${result.node}${peak}${cpu}`]];
}

/** What its node tells of a run whose command is under way. */
const underWay = (link: SiteLink, run: string): Effect.Effect<ReadonlyArray<Fact>, CommandFailed> =>
  Effect.map(Effect.mapError(liveNodes(link.nats), ofJetStream), (nodes) =>
    [...nodes.values()].flatMap(({ runs = [] }) =>
      runs
        .filter((running) => running.run === run && running.line !== "")
        .map(({ line }): Fact => ["says now", line]),
    ),
  );

function outlook(record: LedgerRecord<RunBody>, key: string): Pick<Story, "now" | "next" | "commands"> {
  const { body } = record;
  const last = record.errors.at(-1);
  const why = last === undefined ? "no reason is recorded" : `${last.reason}: ${last.detail}`;
  switch (record.state) {
    case "done":
    case "known":
      if (body.ended !== undefined) {
        const { how, detail } = body.ended;
        return {
          now: sentence(
            how === "no-data"
              ? `There was nothing to make: ${detail}`
              : `Its program says not yet: ${detail}`,
          ),
          next: "Nothing is left to do with it; another run is made when what it is made of changes.",
          commands: [],
        };
      }
      return {
        now: "It is done, and its outputs were announced.",
        next: "Nothing is left to do with it.",
        commands: [],
      };
    case "parked":
      if (standingOf(record) === "discarded") {
        return {
          now: sentence(`Given up on: ${why}`),
          next: sentence(`Nothing: it is closed, ${record.history.at(-1)?.detail ?? "for good"}`),
          commands: [],
        };
      }
      return {
        now: sentence(`Given up on: ${why}`),
        next: "Nothing, until somebody decides.",
        commands: [`orrery parked replay '${key}'`, `orrery parked discard '${key}' --note "why"`],
      };
    case "failing":
    case "waiting":
      return {
        now: sentence(`To be tried again after attempt ${record.attempts} (${why})`),
        next: "It is put back into the queue of its lane when its time has come.",
        commands: ["orrery status"],
      };
    default: {
      const { started } = body;
      return started === null || started.generation !== record.generation
        ? {
            now: "All its inputs are known; it waits for a free runner.",
            next: "A runner of its lane starts it.",
            commands: ["orrery status"],
          }
        : {
            now: `It runs on node ${started.node} since ${moment(timeOf(started.at) ?? 0)} UTC.`,
            next:
              body.cancel === undefined
                ? "Its outputs are checked and announced when its command ends."
                : `Its command is ended: cancelled by ${body.cancel.by}.`,
            commands: [],
          };
    }
  }
}

function excerptOf(text: string, name: string): NonNullable<Story["excerpt"]> {
  const lines = text.trimEnd().split("\n");
  const tail = lines.slice(-logLinesMax);
  const title =
    lines.length > tail.length
      ? `the last ${tail.length} of ${lines.length} lines of its log (orrery log ${name})`
      : `its log (orrery log ${name})`;
  return { title, text: tail.join("\n") };
}

export const runStory = (
  link: SiteLink,
  found: Found,
  held: Held<unknown>,
): Effect.Effect<Story, CommandFailed> =>
  Effect.gen(function* () {
    const record = held.record as LedgerRecord<RunBody>;
    const { body } = record;
    const name = nameOf(found.place);
    const { job, version, partition } = body;
    const log = body.result === null ? null : yield* readRunObject(link, body.result.log);
    const inputs = yield* inputFacts(link, body);
    const outputs = (body.outputs ?? []).map((output): Fact => [
      "output",
      `${output.bucket}/${output.key} (${bytes(output.size)})`,
    ]);
    const standing = standingOf(record);
    const running = body.started === null ? [] : yield* underWay(link, found.key);
    return {
      name,
      key: found.key,
      standing,
      summary: `${standing}: job ${job} (version ${version}) for ${partition.instrument} ${partitionName(partition)}`,
      events: historyEvents(record.history),
      facts: [...inputs, ...running, ...resultFacts(body), ...outputs],
      ...(log === null || log.trim() === "" ? {} : { excerpt: excerptOf(log, `'${name}'`) }),
      ...outlook(record, found.key),
    };
  });

interface FoundJob {
  readonly key: string;
  readonly record: JobRecord;
}

export const findJobs = (
  link: SiteLink,
  job: string,
  partition: string | null,
): Effect.Effect<ReadonlyArray<FoundJob>, CommandFailed> => {
  const jobs: Array<FoundJob> = [];
  // A whole key names its own partition.
  const filter = partition === null ? job : `job.${job}.>`;
  return scan(link.nats, ledgerBucket, [filter], (entry) => {
    const record = decodeJob(entry.key, entry.data);
    const name = partitionName(record.partition);
    if (partition === null || name === partition || name.endsWith(partition)) {
      jobs.push({ key: entry.key, record });
    }
  }).pipe(
    Effect.map(() => jobs),
    Effect.mapError(ofJetStream),
  );
};

/** Files of the partition that are not known: one of them may be what the job waits for. */
const troubled = (link: SiteLink, record: JobRecord): Effect.Effect<ReadonlyArray<Fact>, CommandFailed> => {
  const facts: Array<Fact> = [];
  const { day } = record.partition;
  const exposure = partitionName(record.partition);
  return scan(link.nats, ledgerBucket, [`file.*.${encodeToken(day)}.>`], (entry) => {
    const file = decodeRecord<FileBody>(entry.key, entry.data);
    const place = placeOfRecordKey(entry.key);
    if (file.state === "known" || place === null || facts.length >= inputsShownMax) return;
    // A file that never came as far as its metadata says its exposure only by its name.
    if ((file.body.identity?.exposure ?? null) !== exposure && !nameOf(place).includes(exposure)) return;
    facts.push(["not known", `${nameOf(place)}: ${standingOf(file)}, ${reasonOf(file)}`]);
  }).pipe(
    Effect.map(() => facts),
    Effect.mapError(ofJetStream),
  );
};

/** @param job a job's name, or with `partition` null the whole key `job.…` */
export const partitionStory = (
  link: SiteLink,
  job: string,
  partition: string | null,
): Effect.Effect<Story, CommandFailed> =>
  Effect.gen(function* () {
    const { site, nats } = link;
    const found = yield* findJobs(link, job, partition);
    const [only, ...others] = found;
    if (only === undefined) {
      const known = [...site.jobs.keys(), ...(site.catalogue?.jobs.keys() ?? [])];
      const name = partition === null ? (job.split(".")[1] ?? job) : job;
      return yield* no(
        known.includes(name)
          ? `job ${name} knows nothing of ${partition ?? job}: no file of it is known yet`
          : `site ${site.name} has no job ${JSON.stringify(name)}${didYouMean(name, known)}`,
      );
    }
    if (others.length > 0) {
      const names = found.slice(0, inputsShownMax).map((one) => `  ${partitionName(one.record.partition)}`);
      return yield* misused(
        [`${JSON.stringify(partition)} could be any of ${found.length}; say more of it:`, ...names].join(
          "\n",
        ),
      );
    }
    const { key, record } = only;
    if (record.run !== null) {
      const runKey = record.run;
      const held = yield* Effect.tryPromise({ try: () => getRecordUnsafe(nats, runKey), catch: ofCause });
      const place = placeOfRecordKey(runKey);
      if (held !== null && place !== null) return yield* runStory(link, { key: runKey, place, held }, held);
    }
    const blocked = record.state === "blocked";
    return {
      name: `${record.job} ${record.partition.instrument} ${partitionName(record.partition)}`,
      key: decodeKeyPart(key) ?? key,
      standing: record.state,
      summary: `${record.state}: job ${record.job} (version ${record.version})`,
      events: [],
      facts: [
        ...record.blockedOn.map((words): Fact => [blocked ? "waits for" : "says", words]),
        ...(blocked ? yield* troubled(link, record) : []),
      ],
      now: blocked ? "Not all of its inputs are known." : `It is ${record.state}.`,
      next: blocked
        ? "Its run starts as soon as they are. What is given up on does not come by itself."
        : "Nothing is left to do with it.",
      commands: blocked ? ["orrery parked ls"] : [],
    };
  });
