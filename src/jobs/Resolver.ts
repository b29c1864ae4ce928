/**
 * The resolver's core: facts in, states and runs out. In memory, without I/O or a clock of its own.
 *
 * The invariant: once nothing is left to decide, every state is the one that `evaluate` gives for the facts that stand, in whatever
 * order they came. A fact only marks the partitions that it can touch. What is made is decided before what is made of it, also where
 * the latter was marked with more haste; else a run could begin whose inputs are about to be made anew.
 */
import type { Kept } from "./adopt.ts";
import { adopt, isSameDefinition, isSameScheme, keptOf, setIn } from "./adopt.ts";
import type { PartitionId } from "./blockedOn.ts";
import type { CatalogueJob } from "./catalogue.ts";
import type { DecisionView, Evaluation } from "./evaluate.ts";
import { evaluate } from "./evaluate.ts";
import type { CompiledJob, Consumers } from "./CompiledJob.ts";
import { compileJobs, consumersOf } from "./CompiledJob.ts";
import type { DatasetKind } from "./dataset.ts";
import { Decided } from "./Decided.ts";
import { DirtyNodes } from "./DirtyNodes.ts";
import type { Applied, Change, Decision, Fact, RunFact, Status } from "./fact.ts";
import type { FileChange } from "./FileIndex.ts";
import { FileIndex } from "./FileIndex.ts";
import type { IndexedFile } from "./indexed.ts";
import type { Instant, Range } from "./instant.ts";
import { overlap } from "./instant.ts";
import { Node, noStatus } from "./Node.ts";
import type { Slice } from "./partitions.ts";
import { allTime, sliceNamed, slicesOver } from "./partitions.ts";
import { nodesAround, nodesOver, touchedBy } from "./touched.ts";
import { reachInto, upstreamOf } from "./upstream.ts";
import { WakeHeap } from "./WakeHeap.ts";

export interface ResolverOptions {
  /** Kinds of file by name: a recogniser's. */
  readonly kinds: ReadonlyMap<string, DatasetKind>;
  readonly jobs: ReadonlyArray<CatalogueJob>;
  /** From when on jobs that take no data product have partitions. */
  readonly missionStart: Instant;
}

/** A fact that touches more partitions than this waits for those that touch fewer. */
const soonMax = 200;
/** How far apart in number a partition's maker may be for its state to matter to a job that takes the nearest, in counts. */
const neighbourReach = 4;

export class Resolver {
  readonly index: FileIndex;
  readonly #missionStart: Instant;
  #jobs: ReadonlyMap<string, CompiledJob> = new Map();
  #consumers: Consumers = new Map();
  readonly #dirty = new DirtyNodes();
  readonly #wakes = new WakeHeap<Node>();
  readonly #heldJobs = new Set<string>();
  #kept: Array<Kept> = [];
  #gone: Array<Change> = [];
  #now: Instant = Number.NEGATIVE_INFINITY;
  readonly #view: DecisionView;

  constructor(options: ResolverOptions) {
    this.index = new FileIndex(options.kinds);
    this.#missionStart = options.missionStart;
    const now = (): Instant => this.#now;
    this.#view = {
      index: this.index,
      get now() {
        return now();
      },
      missionStart: options.missionStart,
      isHeld: (node) => node.held || this.#heldJobs.has(node.job.name),
      upstreamOf: (node, range) => upstreamOf(node, range, this.#view),
    };
    this.#setCatalogue(options.jobs);
  }

  get now(): Instant {
    return this.#now;
  }

  get jobs(): ReadonlyMap<string, CompiledJob> {
    return this.#jobs;
  }

  get consumers(): Consumers {
    return this.#consumers;
  }

  /** What evaluations are made on: for questions. */
  get view(): DecisionView {
    return this.#view;
  }

  /** Partitions that are to be looked at. */
  get left(): number {
    return this.#dirty.size + this.#gone.length;
  }

  /** When the clock alone changes something next; null: never. */
  get wakesAt(): Instant | null {
    return this.#wakes.next;
  }

  /** As last decided. */
  status({ job, partition }: PartitionId): Status {
    return this.node({ job, partition })?.status ?? noStatus;
  }

  node({ job: name, partition }: PartitionId): Node | undefined {
    const job = this.#jobs.get(name);
    if (job === undefined) return undefined;
    const slice = sliceNamed(job.definition.partition, partition, this.index.calendar);
    return slice === null ? undefined : job.nodes.get(slice.ordinal);
  }

  /** Takes a fact in and marks what it can touch. */
  apply(fact: Fact): Applied {
    switch (fact.type) {
      case "file":
        return this.#addFile(fact.file);
      case "withdrawn":
        if (this.index.known(fact.name) === undefined) return "duplicate";
        this.#touch(this.index.remove(fact.name));
        return "applied";
      case "table":
        this.#setTable(fact);
        return "applied";
      case "clock":
        return this.#setClock(fact.now);
      case "catalogue":
        this.#setCatalogue(fact.jobs);
        return "applied";
      default:
        if (!this.#tell(fact)) this.#kept.push(fact);
        return "applied";
    }
  }

  #addFile(file: IndexedFile): Applied {
    const known = this.index.known(file.name);
    if (known !== undefined) {
      if (known.content !== file.content) return "refused";
      if (isSameFile(known, file)) return "duplicate";
      this.#touch(this.index.remove(file.name));
    }
    this.#touch(this.index.add(file));
    return "applied";
  }

  /** Nodes that a change of a file can touch; those that begin to exist by it are made. */
  touched(change: FileChange): ReadonlySet<Node> {
    const found = new Set<Node>();
    for (const consumer of this.#consumers.get(change.file.dataset) ?? []) {
      if (consumer.input.isProduct) this.#makeOver(consumer.job, change.file.range);
      for (const node of touchedBy(consumer, change, this.index)) found.add(node);
    }
    return found;
  }

  #touch(change: FileChange | null): void {
    if (change !== null) this.#mark(this.touched(change));
  }

  #mark(nodes: ReadonlySet<Node>): void {
    const isSoon = nodes.size <= soonMax;
    for (const node of nodes) this.#dirty.add(node, isSoon);
  }

  #makeOver(job: CompiledJob, range: Range): void {
    for (const slice of slicesOver(job.definition.partition, range, this.index.calendar)) {
      if (!job.nodes.has(slice.ordinal)) this.#make(job, slice);
    }
  }

  #make(job: CompiledJob, slice: Omit<Slice, "range"> & { readonly range: Range | null }): Node {
    const node = new Node(job, slice);
    job.nodes.set(node.ordinal, node);
    job.unfinished.add(node);
    this.#dirty.add(node, false);
    return node;
  }

  #nodeNamed(id: PartitionId): Node | null {
    const job = this.#jobs.get(id.job);
    if (job === undefined) return null;
    const slice = sliceNamed(job.definition.partition, id.partition, this.index.calendar);
    return slice === null ? null : (job.nodes.get(slice.ordinal) ?? this.#make(job, slice));
  }

  /** False where it is of nothing that the catalogue has. */
  #tell(fact: Kept): boolean {
    if (fact.type === "hold" && fact.partition === null) {
      if (fact.held) this.#heldJobs.add(fact.job);
      else this.#heldJobs.delete(fact.job);
      const job = this.#jobs.get(fact.job);
      if (job !== undefined) this.#mark(job.unfinished);
      return true;
    }
    const node = this.#nodeNamed(
      fact.type === "run" ? fact.run : { job: fact.job, partition: fact.partition ?? "" },
    );
    if (node === null) return false;
    if (fact.type === "run") node.setRun(this.#shared(fact.run));
    else if (fact.type === "hold") node.held = fact.held;
    else if (fact.type === "again") node.ask(fact);
    else node.takeBack(fact.id);
    this.#dirty.add(node, true);
    return true;
  }

  /** Most inputs are files that stand in the index: one object is enough for both. */
  #shared(run: RunFact): RunFact {
    const inputs = run.inputs.map((input) => {
      const known = this.index.known(input.name);
      return known?.content === input.content && known.dataset === input.dataset ? known : input;
    });
    return { ...run, inputs };
  }

  #setTable({ name, repoints, start, version }: Extract<Fact, { readonly type: "table" }>): void {
    const { moved, pointings } = this.index.setTable(
      name,
      repoints === null ? null : { start, version, repoints },
    );
    for (const change of moved) this.#touch(change);
    if (pointings.length === 0) return;
    const { calendar } = this.index;
    const touched = new Set<Node>();
    const ranges: Array<Range> = [];
    for (const number of pointings) {
      const range = calendar.pointing(number)?.range ?? null;
      if (range !== null) ranges.push(range);
      for (const job of this.#jobs.values()) {
        for (const node of this.#ofPointing(job, number, range)) touched.add(node);
      }
    }
    // What of a window is there is counted in pointings; the last of them may lie across its end.
    const wide =
      ranges.length < pointings.length
        ? allTime
        : {
            start: Math.min(...ranges.map((one) => one.start)) - dayAndMore,
            end: Math.max(...ranges.map((one) => one.end)) + dayAndMore,
          };
    for (const job of this.#jobs.values()) {
      if (job.isMadeByPolicy) for (const node of nodesOver(job, wide, this.index)) touched.add(node);
    }
    this.#mark(touched);
    this.#makeByClock();
  }

  *#ofPointing(job: CompiledJob, number: number, range: Range | null): Generator<Node> {
    for (const { range: taken } of job.inputs) {
      if (taken?.type === "nearest" && taken.unit === "pointing") yield* existing(job, number - taken.count);
      if (taken?.type === "span" && taken.unit === "pointing") {
        for (let n = number - taken.future; n <= number - taken.past; n++) yield* existing(job, n);
      }
    }
    if (job.definition.partition.type !== "pointing") return;
    const node = job.nodes.get(number);
    if (node !== undefined) {
      node.range = range;
      yield node;
    } else if (range !== null && takesAny(job, range)) this.#makeOver(job, range);
  }

  #setClock(now: Instant): Applied {
    if (now <= this.#now) return "duplicate";
    this.#now = now;
    for (let due = this.#wakes.popDue(now); due !== null; due = this.#wakes.popDue(now)) {
      // What was decided since has another time, or none.
      if (due.item.wakeAt === due.at) this.#dirty.add(due.item, true);
    }
    this.#makeByClock();
    return "applied";
  }

  /** Jobs that take no data product have a partition for each day of the mission. */
  #makeByClock(): void {
    if (!Number.isFinite(this.#now)) return;
    for (const job of this.#jobs.values()) {
      if (job.products.length > 0) continue;
      const from = job.clockedTo ?? this.#missionStart;
      // The last one, whose day still goes on, is met again; so are pointings that are closed late.
      const isLate = job.definition.partition.type === "pointing";
      this.#makeOver(job, { start: isLate ? this.#missionStart : from, end: this.#now + 1 });
      job.clockedTo = this.#now;
    }
  }

  /**
   * Decides what is marked, the hasty first, at most about `max` of them: one that is made of others has these decided with it.
   */
  decide(max: number = Number.POSITIVE_INFINITY): Decision {
    const out = new Decided(this.#gone);
    this.#gone = [];
    while (out.evaluated < max) {
      const next = this.#dirty.next();
      if (next === null) break;
      this.#settle(next.node, next.isSoon, out);
    }
    return out.decision(this.left);
  }

  #settle(node: Node, isSoon: boolean, out: Decided): void {
    if (node.range !== null) {
      // By depth: when one is decided, what it is made of has been.
      for (const maker of node.job.ancestors) {
        if (maker.dirty.size === 0) continue;
        const reach = reachInto(node, node.range, maker, this.#view);
        for (const one of this.#dirtyOver(maker, reach)) this.#decideOne(one, isSoon, out);
      }
      for (const { range, producer } of node.job.inputs) {
        if (range?.type !== "nearest" || producer === null || producer.dirty.size === 0) continue;
        const far = range.count * neighbourReach;
        for (const one of producer.dirty) {
          if (Math.abs(one.ordinal - node.ordinal) <= far) this.#settle(one, isSoon, out);
        }
      }
    }
    this.#decideOne(node, isSoon, out);
  }

  #dirtyOver(job: CompiledJob, range: Range): ReadonlyArray<Node> {
    const few = job.dirty.size <= 8;
    const nodes = few ? job.dirty : nodesOver(job, range, this.index);
    return [...nodes].filter(
      (one) => one.urgency > 0 && one.range !== null && (!few || overlap(one.range, range)),
    );
  }

  #decideOne(node: Node, isSoon: boolean, out: Decided): void {
    if (node.urgency === 0) return;
    this.#dirty.settled(node);
    out.evaluated++;
    const found = evaluate(node, this.#view);
    if (found.wakeAt !== node.wakeAt) {
      node.wakeAt = found.wakeAt;
      if (found.wakeAt !== null) this.#wakes.push(found.wakeAt, node);
    }
    this.#take(node, found, isSoon, out);
  }

  #take(node: Node, { status, start }: Evaluation, isSoon: boolean, out: Decided): void {
    const { job } = node;
    const wasActive = job.active.has(node);
    if (!isSameStatus(node.status, status)) {
      node.status = status;
      out.changed.set(node, status);
    }
    setIn(job.unfinished, node, status.state !== "done");
    const isActive = status.state === "ready" || status.state === "running" || status.state === "stale";
    setIn(job.active, node, isActive);
    setIn(job.waiting, node, start !== null || status.on.some((one) => one.type === "upstream"));
    if (start === null) {
      node.handedOut = null;
      out.starts.delete(node);
    } else if (node.handedOut !== start.hash) {
      node.handedOut = start.hash;
      out.starts.set(node, start);
    }
    if (isActive !== wasActive) this.#tellDownstream(node, isSoon);
  }

  /** Who waits for it, or would have to wait for it now. */
  #tellDownstream(node: Node, isSoon: boolean): void {
    const { job, range } = node;
    for (const below of range === null ? [] : job.descendants) {
      if (below.waiting.size === 0) continue;
      const few = below.waiting.size <= 8 || below.hasSpans;
      const nodes = few ? below.waiting : nodesOver(below, range ?? node.range ?? noRange, this.index);
      for (const one of nodes) {
        if (one.range === null || !below.waiting.has(one)) continue;
        if (few && range !== null && !overlap(reachInto(one, one.range, job, this.#view), range)) continue;
        this.#dirty.add(one, isSoon);
      }
    }
    for (const { job: below, input } of job.neighbours) {
      if (input.files.selection !== "product") continue;
      for (const one of nodesAround(below, input, input.files.files, node.ordinal))
        this.#dirty.add(one, isSoon);
    }
  }

  /**
   * A start that could not be written, or was not: it is handed out again if it still stands.
   */
  unheard(id: PartitionId): void {
    const node = this.node(id);
    if (node === undefined) return;
    node.handedOut = null;
    this.#dirty.add(node, true);
  }

  /** Partitions of jobs that did not change keep what was decided. */
  #setCatalogue(definitions: ReadonlyArray<CatalogueJob>): void {
    const before = this.#jobs;
    this.#jobs = compileJobs(definitions, this.index);
    this.#consumers = consumersOf(this.#jobs.values());
    const told: Array<Kept> = [];
    const marked = new Set<Node>();
    for (const old of before.values()) {
      const job = this.#jobs.get(old.name);
      const same = job !== undefined && isSameScheme(old, job);
      if (same) for (const node of adopt(old, job)) marked.add(node);
      for (const node of old.nodes.values()) {
        this.#dirty.settled(node);
        if (same) continue;
        // It is no partition of the job any more; what was told of it waits for a catalogue that has it again.
        told.push(...keptOf(node));
        node.wakeAt = null;
        this.#gone.push({ job: old.name, partition: node.name, status: noStatus });
      }
    }
    this.#mark(marked);
    for (const job of this.#jobs.values()) {
      const old = before.get(job.name);
      if (old !== undefined && isSameScheme(old, job) && isSameDefinition(old, job)) continue;
      for (const input of job.products) {
        if (input.files.selection !== "product") continue;
        for (const one of input.files.files.identities) this.#makeOver(job, one);
      }
    }
    const kept = [...this.#kept, ...told];
    this.#kept = [];
    for (const fact of kept) if (!this.#tell(fact)) this.#kept.push(fact);
    this.#makeByClock();
  }
}

/** More than a manoeuvre between two pointings lasts. */
const dayAndMore = 2 * 86_400_000_000;
const noRange: Range = { start: 0, end: 0 };

function* existing(job: CompiledJob, ordinal: number): Generator<Node> {
  const node = job.nodes.get(ordinal);
  if (node !== undefined) yield node;
}

const takesAny = (job: CompiledJob, range: Range): boolean =>
  job.products.some(({ files }) => files.selection === "product" && files.files.overlaps(range));

const isSameFile = (a: IndexedFile, b: IndexedFile): boolean =>
  a.kind === b.kind &&
  a.dataset === b.dataset &&
  a.pointing === b.pointing &&
  a.range?.start === b.range?.start &&
  a.range?.end === b.range?.end &&
  a.version.legacy === b.version.legacy &&
  a.version.major === b.version.major &&
  a.version.minor === b.version.minor;

function isSameStatus(a: Status, b: Status): boolean {
  if (a.state !== b.state || a.hash !== b.hash) return false;
  if (a.incomplete?.have !== b.incomplete?.have || a.incomplete?.of !== b.incomplete?.of) return false;
  return a.on.length === 0 ? b.on.length === 0 : JSON.stringify(a.on) === JSON.stringify(b.on);
}
