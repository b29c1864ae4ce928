/** What becomes of a partition next, and what somebody can do about it: pure, from what the resolver and the ledger say. */
import { noFileTypes } from "../jobs/blockedOn.ts";
import type { CauseTree, RunOfPartition, WhyAnswer } from "../protocol/operatorQuestions.ts";
import type { Order } from "../protocol/orders.ts";
import { rootWords } from "./rootWords.ts";
import { sentence } from "./words.ts";

export interface RunTold extends RunOfPartition {
  readonly attempts: number | null;
  readonly lastError: string | null;
  /** How to see what it wrote; null where it wrote nothing yet. */
  readonly log: string | null;
  readonly madeOf: ReadonlyArray<string>;
}

/** A file that came, is of what is missing, and was given up on or taken back. */
export interface SetAside {
  readonly key: string;
  readonly name: string;
  readonly dataset: string;
  readonly reason: string;
}

export interface Seen {
  readonly since: string | null;
  readonly order: Order | null;
  /** Of the whole job. */
  readonly jobOrder: Order | null;
  readonly runs: ReadonlyArray<RunTold>;
  /** The first of many. */
  readonly setAside: ReadonlyArray<SetAside>;
}

export interface Outlook {
  readonly now: string;
  readonly next: string;
  readonly commands: ReadonlyArray<string>;
}

const rootsSaidMax = 3;

/** The first few: the tree has all of them. */
function rootsWords(answer: WhyAnswer): ReadonlyArray<string> {
  const words = answer.roots.map((root) => rootWords(root, answer.range));
  return words.length <= rootsSaidMax + 1
    ? words
    : [...words.slice(0, rootsSaidMax), `and ${words.length - rootsSaidMax} more`];
}

const typeOf = (on: unknown): unknown =>
  typeof on === "object" && on !== null && "type" in on ? on.type : null;

const suggestedMax = 2;

/** Partitions of the tree of which this is so, each once, the nearest first. */
function partitionsIn(
  cause: CauseTree,
  is: (one: CauseTree) => boolean,
  found: Set<string> = new Set(),
): ReadonlySet<string> {
  for (const { by } of cause.lacks) {
    for (const one of by) if (is(one)) found.add(`${one.job} ${one.partition}`);
    for (const one of by) partitionsIn(one, is, found);
  }
  return found;
}

/** What brings what is missing: nothing of it makes a file that is not there. */
function remedies(
  answer: WhyAnswer,
  { setAside }: Seen,
  buckets: ReadonlyArray<string>,
): ReadonlyArray<string> {
  const { cause, roots } = answer;
  const few = (all: Iterable<string>, verb: string): ReadonlyArray<string> =>
    [...all].slice(0, suggestedMax).map((one) => `orrery ${verb} ${one}`);
  const awaitsFiles = roots.some(({ type }) => type === "arrival" || type === "nothing");
  return [
    ...few(
      setAside.map(({ key }) => `'${key}'`),
      "parked replay",
    ),
    ...few(
      partitionsIn(cause, ({ state }) => state === "failed"),
      "retry",
    ),
    ...few(
      partitionsIn(cause, ({ lacks }) => lacks.some(({ on }) => typeOf(on) === "held")),
      "release",
    ),
    ...(awaitsFiles
      ? [
          `orrery jobs needs ${cause.job} ${cause.partition}`,
          ...few(buckets, "replay").map((command) => `${command} --dry-run`),
          "orrery expected",
        ]
      : []),
  ];
}

function openOutlook(answer: WhyAnswer, seen: Seen, buckets: ReadonlyArray<string>): Outlook {
  const { job, partition, state, lacks } = answer.cause;
  const what =
    state === "stale" ? "Made before, of what has changed since" : "Not all that it needs is there";
  if (lacks.length === 0) return { now: `${what}.`, next: "It is about to be made anew.", commands: [] };
  const roots = rootsWords(answer);
  const now = sentence(roots.length === 0 ? what : roots.join("; "));
  const releases = [
    ...(seen.order?.hold == null ? [] : [`orrery release ${job} ${partition}`]),
    ...(seen.jobOrder?.hold == null ? [] : [`orrery release ${job}`]),
  ];
  const types = lacks.map(({ on }) => typeOf(on));
  const canForce = types.every((type) => noFileTypes.has(type));
  const next =
    releases.length > 0
      ? "It starts when it is released and all that it waits for is there."
      : `It starts by itself as soon as that is there${canForce ? "" : "; a force would wait for it, too"}.`;
  const verb = types.includes("notYet") ? "retry" : "force";
  return {
    now,
    next,
    commands: [
      ...releases,
      ...(canForce ? [`orrery ${verb} ${job} ${partition}`] : []),
      ...remedies(answer, seen, buckets),
    ],
  };
}

/** @param buckets those by which files of jobs come in */
export function outlook(answer: WhyAnswer, seen: Seen, buckets: ReadonlyArray<string>): Outlook {
  const { job, partition, state } = answer.cause;
  const last = seen.runs.at(-1);
  const retry = `orrery retry ${job} ${partition}`;
  switch (state) {
    case "none": {
      const roots = rootsWords(answer);
      return {
        now: roots.length === 0 ? "There is no such partition yet." : sentence(roots.join("; ")),
        next: "It begins to exist with the first data product that it takes.",
        commands: [...new Set([`orrery jobs needs ${job} ${partition}`, ...remedies(answer, seen, buckets)])],
      };
    }
    case "ready":
      return {
        now: "All that it needs is there; it waits for a worker.",
        next: "A runner of its lane starts it.",
        commands: ["orrery status"],
      };
    case "running":
      return {
        now: "It is being made.",
        next: "Its products are published when its program ends.",
        commands: last === undefined ? [] : [`orrery why ${last.key}`],
      };
    case "failed":
      return {
        now: sentence(last?.lastError ?? "Its run failed"),
        next: "Nothing, until what it is made of changes, or somebody asks for it anew.",
        commands: [...(last?.log == null ? [] : [last.log]), retry],
      };
    case "done":
      return {
        now:
          answer.incomplete === null
            ? "It is made, of what there is now."
            : `It is made of ${answer.incomplete.have} of ${answer.incomplete.of}: not of all that belongs to it.`,
        next: "It is made anew when what it is made of changes and triggers it.",
        commands: [retry],
      };
    default:
      return openOutlook(answer, seen, buckets);
  }
}
