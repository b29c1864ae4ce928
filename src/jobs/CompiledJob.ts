/** A catalogue's jobs as the resolver works with them: slots, what stands before and after each, and its partitions. */
import type { CatalogueInput, CatalogueJob, InputRange } from "./catalogue.ts";
import type { DatasetId } from "./dataset.ts";
import type { DatasetFiles, FileIndex } from "./FileIndex.ts";
import { catalogueOf } from "./import.ts";
import type { Instant } from "./instant.ts";
import type { Node } from "./Node.ts";
import { Schedule } from "./schedule.ts";
import { compareText } from "./select/sorted.ts";

export interface CompiledInput {
  readonly declared: CatalogueInput;
  readonly dataset: DatasetId;
  readonly files: DatasetFiles;
  /** Whether a change makes a done partition stale: as the job says, unless the kind never does. */
  readonly triggers: boolean;
  readonly isProduct: boolean;
  readonly range: InputRange | null;
  /** Whether the window's policy counts its files, one a pointing or day. */
  counted: boolean;
  /** Who makes it; null: it comes from outside. */
  producer: CompiledJob | null;
}

/** What has to be filled: one input, or several kinds of which one is enough. */
export interface Slot {
  readonly inputs: ReadonlyArray<CompiledInput>;
  readonly required: boolean;
  /** The word that the kinds share; null for one input alone. */
  readonly alternatives: string | null;
}

export class CompiledJob {
  readonly definition: CatalogueJob;
  readonly name: string;
  readonly slots: ReadonlyArray<Slot>;
  readonly inputs: ReadonlyArray<CompiledInput>;
  readonly products: ReadonlyArray<CompiledInput>;
  readonly schedule: Schedule | null;
  /** Data sets that more than one input asks for; null where there are none. */
  readonly repeated: ReadonlySet<DatasetId> | null;
  /** 0: nothing that it takes is made by a job. */
  depth = 0;
  /** Jobs that make what goes into it, at any depth; by depth, then name. */
  ancestors: ReadonlyArray<CompiledJob> = [];
  descendants: ReadonlyArray<CompiledJob> = [];
  /** Jobs with an input of the nearest ones that this one makes. */
  neighbours: ReadonlyArray<{ readonly job: CompiledJob; readonly input: CompiledInput }> = [];

  /** By ordinal. */
  readonly nodes = new Map<number, Node>();
  /** Ready, running or stale: what is made of them waits. */
  readonly active = new Set<Node>();
  /** To be decided. */
  readonly dirty = new Set<Node>();
  /** Up to when partitions were made by the clock. */
  clockedTo: Instant | null = null;
  /** Not done: what an input that makes nothing stale can still touch. */
  readonly unfinished = new Set<Node>();
  /** Waits for what is upstream, or is about to start and would have to. */
  readonly waiting = new Set<Node>();

  constructor(definition: CatalogueJob, index: FileIndex) {
    this.definition = definition;
    this.name = definition.name;
    this.inputs = definition.inputs.flatMap((declared) => {
      const files = index.dataset(declared.dataset, declared.kind);
      const kind = index.kind(declared.kind);
      if (files === null || kind === undefined) return [];
      return [
        {
          declared,
          dataset: declared.dataset,
          files,
          triggers: declared.triggers && kind.makesStale,
          isProduct: files.selection === "product",
          // Only data products have neighbours; of all else a span alone has a meaning.
          range: files.selection === "product" || declared.range?.type === "span" ? declared.range : null,
          counted: false,
          producer: null,
        },
      ];
    });
    this.products = this.inputs.filter((input) => input.isProduct);
    const datasets = this.inputs.map((input) => input.dataset);
    const repeated = new Set(datasets.filter((dataset, at) => datasets.indexOf(dataset) !== at));
    this.repeated = repeated.size > 0 ? repeated : null;
    this.schedule = definition.schedule === null ? null : new Schedule(definition.schedule);
    this.slots = slotsOf(this.inputs, (input) => index.kind(input.declared.kind)?.alternatives ?? null);
  }

  get hasSpans(): boolean {
    return this.inputs.some((input) => input.range?.type === "span");
  }

  get isMadeByPolicy(): boolean {
    return this.definition.policy !== null;
  }
}

function slotsOf(
  inputs: ReadonlyArray<CompiledInput>,
  wordOf: (input: CompiledInput) => string | null,
): ReadonlyArray<Slot> {
  const slots: Array<Slot> = [];
  const shared = new Map<string, Array<CompiledInput>>();
  for (const input of inputs) {
    const word = wordOf(input);
    const together = word === null ? undefined : shared.get(word);
    if (together === undefined) {
      const own = [input];
      if (word !== null) shared.set(word, own);
      slots.push({ inputs: own, required: input.declared.required, alternatives: word });
    } else together.push(input);
  }
  return slots.map((slot) => ({ ...slot, required: slot.inputs.some((input) => input.declared.required) }));
}

/** The previous ones come before the partition: they are another one's, even of the job's own. */
const isUpstream = (input: CompiledInput): boolean => input.range?.type !== "last";

/** @param definitions those of a catalogue that lint found no cycle in; a cycle is cut where it closes */
export function compileJobs(
  definitions: ReadonlyArray<CatalogueJob>,
  index: FileIndex,
): ReadonlyMap<string, CompiledJob> {
  const { jobs, producerOf } = catalogueOf(definitions);
  const compiled = new Map([...jobs.values()].map((job) => [job.name, new CompiledJob(job, index)]));
  for (const job of compiled.values()) {
    const unit = job.definition.policy?.unit;
    for (const input of job.inputs) {
      const producer = producerOf.get(input.dataset);
      input.producer = producer === undefined ? null : (compiled.get(producer.name) ?? null);
      const scheme = producer?.partition.type;
      input.counted =
        input.isProduct &&
        (unit === "pointing" || unit === "day") &&
        (scheme === undefined || scheme === unit);
    }
  }
  const depths = new Map<CompiledJob, { readonly depth: number; readonly above: ReadonlySet<CompiledJob> }>();
  const open = new Set<CompiledJob>();
  const above = (job: CompiledJob): { readonly depth: number; readonly above: ReadonlySet<CompiledJob> } => {
    const known = depths.get(job);
    if (known !== undefined) return known;
    open.add(job);
    let depth = 0;
    const found = new Set<CompiledJob>();
    for (const { producer, ...input } of job.inputs) {
      if (producer === null || open.has(producer) || !isUpstream({ producer, ...input })) continue;
      const theirs = above(producer);
      depth = Math.max(depth, theirs.depth + 1);
      found.add(producer);
      for (const one of theirs.above) found.add(one);
    }
    open.delete(job);
    const result = { depth, above: found };
    depths.set(job, result);
    return result;
  };
  for (const job of compiled.values()) {
    const { depth, above: found } = above(job);
    job.depth = depth;
    job.ancestors = [...found];
  }
  const descendants = new Map<CompiledJob, Array<CompiledJob>>();
  for (const job of compiled.values()) {
    job.ancestors = [...job.ancestors].sort((a, b) => a.depth - b.depth || compareText(a.name, b.name));
    for (const ancestor of job.ancestors) {
      const list = descendants.get(ancestor);
      if (list === undefined) descendants.set(ancestor, [job]);
      else list.push(job);
    }
    for (const input of job.inputs) {
      if (input.range?.type === "nearest" && input.producer !== null) {
        input.producer.neighbours = [...input.producer.neighbours, { job, input }];
      }
    }
  }
  for (const [job, list] of descendants) job.descendants = list;
  return compiled;
}

export type Consumers = ReadonlyMap<
  DatasetId,
  ReadonlyArray<{ readonly job: CompiledJob; readonly input: CompiledInput }>
>;

/** Who takes a data set. */
export function consumersOf(jobs: Iterable<CompiledJob>): Consumers {
  const consumers = new Map<DatasetId, Array<{ readonly job: CompiledJob; readonly input: CompiledInput }>>();
  for (const job of jobs) {
    for (const input of job.inputs) {
      const list = consumers.get(input.dataset);
      if (list === undefined) consumers.set(input.dataset, [{ job, input }]);
      else list.push({ job, input });
    }
  }
  return consumers;
}
