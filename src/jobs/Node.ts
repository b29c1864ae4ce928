/** One (job, partition) in the resolver's memory: its facts, and the state that follows from them. */
import type { CompiledJob } from "./CompiledJob.ts";
import type { OrderFact, RecordedInput, RunFact, Status } from "./fact.ts";
import type { Instant, Range } from "./instant.ts";
import { compareText } from "./select/sorted.ts";

export const noStatus: Status = { state: "none", on: [], incomplete: null, hash: null };

export interface Order {
  readonly id: string;
  readonly now: boolean;
  /** When it was asked; absent: only a run of its own answers it. */
  readonly at?: Instant;
}

/** Whether a run that is done answers what was asked. */
export const isAnswer = (
  run: Pick<RunFact, "state" | "again" | "at">,
  { id, at }: Omit<Order, "now">,
): boolean =>
  (run.state === "done" || run.state === "no-data") &&
  (run.again === id || (at !== undefined && run.at > at));

/** Who asks: neither takes the other's word away. */
export type Asker = "operator" | "reprocessing";

export class Node {
  job: CompiledJob;
  readonly ordinal: number;
  readonly name: string;
  readonly pointing: number | null;
  /** Null while the calendar does not have its pointing. */
  range: Range | null;
  /** The newest fact of each hash. */
  runs: ReadonlyArray<RunFact> = [];
  /** What an operator asked of it last, and what the reprocessing that asked last; answered or not. */
  readonly asked: Record<Asker, Order | null> = { operator: null, reprocessing: null };
  held = false;
  status: Status = noStatus;
  /** When time alone may change its state. */
  wakeAt: Instant | null = null;
  /** 0: as it was decided; 1: to be decided when there is time; 2: soon. */
  urgency: 0 | 1 | 2 = 0;
  /** The hash that was handed out as a start and is not heard of as a run yet: it is not handed out again. */
  handedOut: string | null = null;

  constructor(job: CompiledJob, slice: Pick<Node, "ordinal" | "name" | "pointing" | "range">) {
    this.job = job;
    this.ordinal = slice.ordinal;
    this.name = slice.name;
    this.pointing = slice.pointing;
    this.range = slice.range;
  }

  /**
   * What is asked of it and no run that is done answers. Of two what was not tried yet comes first, then what goes past all that is
   * waited for, then the later: a run of it may answer the other as well.
   */
  get order(): Order | null {
    const { operator, reprocessing } = this.asked;
    const open = [operator, reprocessing].filter(
      (order): order is Order => order !== null && !this.runs.some((run) => isAnswer(run, order)),
    );
    if (open.length < 2) return open[0] ?? null;
    const fresh = open.filter(({ id }) => !this.runs.some(({ again }) => again === id));
    const from = fresh.length > 0 ? fresh : open;
    return (
      from.find(({ now }) => now) ??
      from.reduce((last, one) => ((one.at ?? 0) >= (last.at ?? 0) ? one : last))
    );
  }

  /** The run that its products are of: the last that was done. */
  get lastDone(): RunFact | null {
    let last: RunFact | null = null;
    for (const run of this.runs) {
      if (run.state !== "done" && run.state !== "no-data") continue;
      if (last === null || isLater(run, last)) last = run;
    }
    return last;
  }

  /** The run that is under way; of several the latest. */
  get underWay(): RunFact | null {
    let found: RunFact | null = null;
    for (const run of this.runs) {
      if (run.state !== "ready" && run.state !== "running") continue;
      if (found === null || isLater(run, found)) found = run;
    }
    return found;
  }

  /**
   * Every run that came to an end counts, the failed ones too: a late writer must not meet its successor's names, and of two that
   * were done the later must be known.
   */
  get minorMax(): number {
    let most = 0;
    for (const { state, minor } of this.runs) {
      if (state !== "not-yet") most = Math.max(most, minor);
    }
    return most;
  }

  ask({ id, now, at, by }: Extract<OrderFact, { readonly type: "again" }>): void {
    this.asked[by ?? "operator"] = at === undefined ? { id, now } : { id, now, at };
  }

  /** @param id null: whatever an operator asked */
  takeBack(id: string | null): void {
    const { asked } = this;
    if (id === null || asked.operator?.id === id) asked.operator = null;
    if (id !== null && asked.reprocessing?.id === id) asked.reprocessing = null;
  }

  setRun(run: RunFact): void {
    this.runs = [...this.runs.filter((one) => one.hash !== run.hash), run];
    if (this.handedOut === run.hash) this.handedOut = null;
  }
}

const isLater = (a: RunFact, b: RunFact): boolean =>
  (a.minor - b.minor || a.at - b.at || compareText(a.hash, b.hash)) > 0;

/** Whether the recorded files of a data set are these. */
export function isRecorded(
  recorded: ReadonlyArray<RecordedInput>,
  dataset: string,
  chosen: ReadonlyArray<{ readonly name: string; readonly content: string }>,
): boolean {
  let count = 0;
  const names = chosen.length > 8 ? new Map(chosen.map((file) => [file.name, file.content])) : null;
  for (const one of recorded) {
    if (one.dataset !== dataset) continue;
    count++;
    const content =
      names === null ? chosen.find((file) => file.name === one.name)?.content : names.get(one.name);
    if (content !== one.content) return false;
  }
  return count === chosen.length;
}
