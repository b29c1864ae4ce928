/**
 * What a partition waits for: a structure to walk on from, and its words. One place makes the words, so that what `why` says and what
 * a record says are the same.
 */
import type { DatasetId } from "./dataset.ts";
import type { Instant, Range } from "./instant.ts";
import { dayOf, dayUs, formatInstant } from "./instant.ts";

/** A job and one of its partitions, by their names. */
export interface PartitionId {
  readonly job: string;
  readonly partition: string;
}

export type BlockedOn =
  /** No file of a data product for the partition (or for what its range takes in). */
  | {
      readonly type: "product";
      readonly dataset: DatasetId;
      readonly partition: string;
      readonly range: Range;
    }
  /** Files of a data product that must leave no gap leave one. */
  | { readonly type: "gap"; readonly dataset: DatasetId; readonly gap: Range }
  /** Of all the data products of a job whose inputs are all optional there is none. */
  | { readonly type: "anyProduct"; readonly datasets: ReadonlyArray<DatasetId>; readonly partition: string }
  /** No calibration covers the partition. */
  | { readonly type: "calibration"; readonly dataset: DatasetId; readonly range: Range }
  /** Kernels cover the partition to `to` (null: nothing of it), and not to its end, `of`. */
  | {
      readonly type: "kernel";
      readonly dataset: DatasetId;
      readonly kind: string;
      readonly to: Instant | null;
      readonly of: Instant;
    }
  /** Of several kinds of which one is enough, none covers the partition. */
  | {
      readonly type: "alternatives";
      readonly word: string;
      readonly datasets: ReadonlyArray<DatasetId>;
      readonly kinds: ReadonlyArray<string>;
      readonly of: Instant;
    }
  /** There is no file of a kind that is needed whatever the time, or, of a timeline, none that overlaps. */
  | { readonly type: "none"; readonly dataset: DatasetId; readonly kind: string; readonly range: Range }
  /** A timeline leaves a gap. */
  | { readonly type: "timelineGap"; readonly dataset: DatasetId; readonly kind: string; readonly gap: Range }
  /** One of the nearest is being made, or about to be. */
  | { readonly type: "neighbourRunning"; readonly dataset: DatasetId; readonly partition: string }
  /** Too few later neighbours, and the one that would settle it is not there to be had yet. */
  | {
      readonly type: "neighbours";
      readonly dataset: DatasetId;
      readonly unit: "pointing" | "day";
      /** `pointing 218`, `2026-04-12`. */
      readonly missing: string;
      readonly have: number;
      readonly need: number;
    }
  | { readonly type: "windowOpen"; readonly until: Instant }
  | {
      readonly type: "windowShare";
      readonly unit: "pointing" | "day";
      readonly have: number;
      readonly of: number;
      readonly deadline: Instant;
      /** Whether the deadline has passed: then it is `need` that is waited for. */
      readonly late: boolean;
      readonly need: number;
      readonly dataset: DatasetId | null;
    }
  | { readonly type: "schedule"; readonly at: Instant }
  /** Partitions that make what goes into this one, at any depth, are about to be made anew. At most a few are named. */
  | { readonly type: "upstream"; readonly partitions: ReadonlyArray<PartitionId> }
  /** An operator holds it. */
  | { readonly type: "held" }
  /** Its program said so; it is tried again when an input is another, or when an operator asks for it. */
  | { readonly type: "notYet"; readonly hash: string };

/** What no file of its inputs brings: a force goes past all of these, and waits for whatever else is missing. */
export const noFileTypes: ReadonlySet<unknown> = new Set<BlockedOn["type"]>([
  "windowOpen",
  "windowShare",
  "schedule",
  "upstream",
  "held",
  "notYet",
]);

/** `2026-03-10`; `2026-01-17 to 2026-04-18` (end exclusive) for more than a day; an instant's own day for less. */
function daysOf({ start, end }: Range): string {
  if (!Number.isFinite(start) || !Number.isFinite(end)) return "all time";
  const day = (at: Instant): string => formatInstant(at).slice(0, 10);
  return end - start <= dayUs && dayOf(start) === dayOf(end - 1)
    ? day(start)
    : `${day(start)} to ${day(end)}`;
}

const span = ({ start, end }: Range): string => `${formatInstant(start)} to ${formatInstant(end)}`;

/** One line of words. */
export function blockedWords(on: BlockedOn): string {
  switch (on.type) {
    case "product":
      return `${on.dataset}: none for ${on.partition}`;
    case "gap":
      return `${on.dataset}: gap ${span(on.gap)}`;
    case "anyProduct":
      return `no data product for ${on.partition}: none of ${on.datasets.join(", ")}`;
    case "calibration":
      return `${on.dataset}: none covers ${daysOf(on.range)}`;
    case "kernel":
      return `${on.kind}: covered to ${on.to === null ? "nothing" : formatInstant(on.to)} of ${formatInstant(on.of)}`;
    case "alternatives":
      return `${on.word}: none of ${on.kinds.join(", ")} covers to ${formatInstant(on.of)}`;
    case "none":
      return `${on.kind}: none`;
    case "timelineGap":
      return `${on.kind}: gap ${span(on.gap)}`;
    case "neighbourRunning":
      return `${on.dataset}: waits for running ${on.partition}`;
    case "neighbours":
      return `${on.dataset}: ${on.missing} does not exist yet, ${on.have} of ${on.need} later neighbours`;
    case "windowOpen":
      return `window open until ${formatInstant(on.until)}`;
    case "windowShare":
      return on.late
        ? `${on.have} of ${on.of} ${on.unit}s, ${on.need} are needed, deadline ${formatInstant(on.deadline)} has passed`
        : `${on.have} of ${on.of} ${on.unit}s, deadline ${formatInstant(on.deadline)}`;
    case "schedule":
      return `runs on its schedule, next at ${formatInstant(on.at)}`;
    case "upstream":
      return `waits for ${on.partitions.map((one) => `${one.job} ${one.partition}`).join(", ")}`;
    case "held":
      return "held by an operator";
    case "notYet":
      return "its program said: not yet";
  }
}
