/**
 * From what a file was made, and what was made of it: read from what runs recorded, not from what would be chosen now. Pure look-ups;
 * breadth first, so that what is cut is what is furthest away.
 */
import type { CompiledJob } from "./CompiledJob.ts";
import type { DatasetId } from "./dataset.ts";
import type { RecordedInput, RunFact } from "./fact.ts";
import type { IndexedFile } from "./indexed.ts";
import type { Range } from "./instant.ts";
import { overlap } from "./instant.ts";
import type { Node } from "./Node.ts";
import type { Resolver } from "./Resolver.ts";
import type { Version } from "./version.ts";

export interface LineageRunFact {
  readonly node: Node;
  readonly run: RunFact;
  /** Of a run below the file only those that lead to it. */
  readonly inputs: ReadonlyArray<RecordedInput>;
  readonly inputsMore: number;
  /** Names of those of its products that are known. */
  readonly outputs: ReadonlyArray<string>;
  readonly outputsMore: number;
}

export interface Lineage {
  readonly runs: ReadonlyArray<LineageRunFact>;
  /** Names of files by the run that made them: index into `runs`. */
  readonly madeBy: ReadonlyMap<string, number>;
  /** Every file that is named, as it was taken, or as it stands. */
  readonly files: ReadonlyMap<string, RecordedInput>;
  readonly cut: { readonly up: boolean; readonly down: boolean };
}

export interface LineageBounds {
  /** Depths, in runs. */
  readonly up: number;
  readonly down: number;
  readonly runsMax: number;
  /** Inputs and outputs that are named. */
  readonly namedMax: number;
}

/** @param byName what a name says of a file that is not known (any more); null for a name that says nothing */
export function lineage(
  resolver: Resolver,
  of: RecordedInput,
  bounds: LineageBounds,
  byName: (name: string) => IndexedFile | null,
): Lineage {
  const walk = new Walk(resolver, bounds, byName);
  walk.name(of);
  const up = walk.up(of, bounds.up);
  const down = walk.down(of, bounds.down);
  return { runs: walk.runs, madeBy: walk.madeBy, files: walk.files, cut: { up, down } };
}

class Walk {
  readonly #resolver: Resolver;
  readonly #bounds: LineageBounds;
  readonly #byName: (name: string) => IndexedFile | null;
  readonly #makers = new Map<DatasetId, CompiledJob>();
  readonly #seen = new Map<RunFact, number>();
  #left: number;
  readonly runs: Array<LineageRunFact> = [];
  readonly madeBy = new Map<string, number>();
  readonly files = new Map<string, RecordedInput>();

  constructor(resolver: Resolver, bounds: LineageBounds, byName: (name: string) => IndexedFile | null) {
    this.#resolver = resolver;
    this.#bounds = bounds;
    this.#byName = byName;
    this.#left = bounds.namedMax;
    for (const job of resolver.jobs.values()) {
      for (const { dataset } of job.definition.outputs) this.#makers.set(dataset, job);
    }
  }

  name(file: RecordedInput): void {
    if (!this.files.has(file.name)) this.files.set(file.name, file);
  }

  /** @returns whether there is more than was told */
  up(from: RecordedInput, depth: number): boolean {
    let cut = false;
    let level: ReadonlyArray<RecordedInput> = [from];
    for (let left = depth; level.length > 0; left--) {
      const next = new Map<string, RecordedInput>();
      for (const file of level) {
        const made = this.#made(file);
        if (made === null || this.#seen.has(made.run)) {
          if (made !== null) this.madeBy.set(file.name, this.#seen.get(made.run) ?? 0);
          continue;
        }
        if (left <= 0 || this.runs.length >= this.#bounds.runsMax) {
          cut = true;
          continue;
        }
        const inputs = made.run.inputs.slice(0, Math.max(0, this.#left));
        if (inputs.length < made.run.inputs.length) cut = true;
        this.madeBy.set(file.name, this.#add(made.node, made.run, inputs, made.run.inputs.length));
        for (const input of inputs) next.set(input.name, input);
      }
      level = [...next.values()];
    }
    return cut;
  }

  down(from: RecordedInput, depth: number): boolean {
    let cut = false;
    let level: ReadonlyMap<string, RecordedInput> = new Map([[from.name, from]]);
    for (let left = depth; level.size > 0; left--) {
      const next = new Map<string, RecordedInput>();
      for (const { node, run } of this.#takers(level)) {
        if (this.#seen.has(run)) continue;
        if (left <= 0 || this.runs.length >= this.#bounds.runsMax || this.#left <= 0) return true;
        const inputs = run.inputs.filter((input) => level.has(input.name)).slice(0, this.#left);
        const at = this.#add(node, run, inputs, run.inputs.length);
        for (const file of this.#outputsOf(node, run)) {
          next.set(file.name, file);
          if (this.runs[at]?.outputs.includes(file.name) !== true) continue;
          this.madeBy.set(file.name, at);
          this.name(file);
        }
      }
      level = next;
    }
    return cut;
  }

  #add(node: Node, run: RunFact, inputs: ReadonlyArray<RecordedInput>, all: number): number {
    const at = this.runs.length;
    this.#seen.set(run, at);
    this.#left -= inputs.length;
    for (const input of inputs) this.name(input);
    const made = this.#outputsOf(node, run).map((file) => file.name);
    const outputs = made.slice(0, Math.max(1, this.#left));
    this.#left -= outputs.length;
    const inputsMore = all - inputs.length;
    this.runs.push({ node, run, inputs, inputsMore, outputs, outputsMore: made.length - outputs.length });
    return at;
  }

  /** The run that made a file; null for one that came from outside. */
  #made({ name, dataset }: RecordedInput): { readonly node: Node; readonly run: RunFact } | null {
    const job = this.#makers.get(dataset);
    const file = job === undefined ? null : this.#byName(name);
    if (job === undefined || file === null) return null;
    for (const node of this.#nodesOf(job, file)) {
      const run = node.runs.find((one) => one.minor === numberOf(file.version) && isMaking(one));
      if (run !== undefined) return { node, run };
    }
    return null;
  }

  #nodesOf(job: CompiledJob, file: IndexedFile): ReadonlyArray<Node> {
    const { type } = job.definition.partition;
    if (type === "pointing") {
      const node = file.pointing === null ? undefined : job.nodes.get(file.pointing);
      return node === undefined ? [] : [node];
    }
    const range = this.#resolver.index.placed(file.name)?.range ?? file.range;
    if (type === "open") return [...job.nodes.values()];
    if (range === null) return [];
    const first: Range = { start: range.start, end: range.start + 1 };
    return [...job.nodes.values()]
      .filter((node) => node.range !== null && overlap(node.range, first))
      .sort((a, b) => Number(b.range?.start === range.start) - Number(a.range?.start === range.start));
  }

  /** Known files that a run left behind. */
  #outputsOf(node: Node, run: RunFact): ReadonlyArray<IndexedFile> {
    if (!isMaking(run)) return [];
    const { index } = this.#resolver;
    return node.job.definition.outputs.flatMap(({ dataset, kind, major }) => {
      const files = index.dataset(dataset, kind);
      const isOurs = (file: { readonly version: Version }): boolean =>
        numberOf(file.version) === run.minor && (file.version.legacy || file.version.major === major);
      if (files?.selection === "product" && node.range !== null) {
        const found = index.dataset(dataset, kind) === null ? undefined : files.files;
        const identity = found?.identityOf({ pointing: node.pointing, range: node.range });
        return (identity?.files ?? []).filter(isOurs);
      }
      if (files === null || files.selection === "product") return [];
      return files.files.all.filter(
        (file) =>
          isOurs(file) &&
          (node.range === null || !Number.isFinite(node.range.end) || overlap(file.range, node.range)),
      );
    });
  }

  /** Runs that took any of some files. */
  *#takers(
    files: ReadonlyMap<string, RecordedInput>,
  ): Generator<{ readonly node: Node; readonly run: RunFact }> {
    const jobs = new Set<CompiledJob>();
    for (const { dataset } of files.values()) {
      for (const { job } of this.#resolver.consumers.get(dataset) ?? []) jobs.add(job);
    }
    for (const job of jobs) {
      for (const node of job.nodes.values()) {
        for (const run of node.runs) {
          if (run.inputs.some((input) => files.has(input.name))) yield { node, run };
        }
      }
    }
  }
}

const isMaking = ({ state }: RunFact): boolean =>
  state === "done" || state === "failed" || state === "running";

/** Where a kind's names have one number, that is the counted one. */
const numberOf = (version: Version): number => (version.legacy ? version.major : version.minor);
