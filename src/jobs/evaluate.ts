/**
 * What follows for one partition from the facts that stand: its state, and the run that is to begin. Pure; what was decided before
 * plays no part.
 */
import { hash as digest } from "node:crypto";
import type { BlockedOn, PartitionId } from "./blockedOn.ts";
import type { Chosen, View } from "./chooseInput.ts";
import { chooseInput } from "./chooseInput.ts";
import type { CompiledInput, CompiledJob, Slot } from "./CompiledJob.ts";
import type { DatasetFile } from "./dataset.ts";
import type { ChosenInput, RecordedInput, RunFact, Share, Start, Status } from "./fact.ts";
import type { Instant, Range } from "./instant.ts";
import type { Node } from "./Node.ts";
import { isRecorded, noStatus } from "./Node.ts";
import { compareText } from "./select/sorted.ts";
import type { Gate } from "./windowShare.ts";
import { windowGate, windowShare } from "./windowShare.ts";

export interface Evaluation {
  readonly status: Status;
  /** The run that is to begin now. */
  readonly start: Start | null;
  readonly wakeAt: Instant | null;
}

export interface DecisionView extends View {
  readonly missionStart: Instant;
  readonly isHeld: (node: Node) => boolean;
  /** Partitions upstream that are ready, stale or running: a few of them, the same ones whenever it is asked. */
  readonly upstreamOf: (node: Node, range: Range) => ReadonlyArray<PartitionId>;
}

const nothing: Evaluation = { status: noStatus, start: null, wakeAt: null };

export function evaluate(node: Node, view: DecisionView): Evaluation {
  const { range, job } = node;
  if (range === null || !exists(node, range, view)) return nothing;
  const { underWay } = node;
  if (underWay !== null) return { ...nothing, status: statusOf(underWay.state, underWay) };

  const { lastDone } = node;
  const gate = windowGate(job, range, view);
  const all = choices(job, node, range, view);
  const { order } = node;
  const made = lastDone === null ? null : staleness(node, range, lastDone, all, gate, view);
  if (lastDone !== null && made !== null && !made.isStale && order === null) {
    const isPart = lastDone.incomplete !== null;
    const incomplete = isPart ? (gate.share ?? windowShare(job, range, view)) : null;
    const status = { ...statusOf("done", lastDone), incomplete };
    const wakeAt = earliest([made.wakeAt, isPart ? gate.wakeAt : null, ...wakesOf(all)]);
    return { ...nothing, status, wakeAt };
  }
  const isForced = order?.now === true;
  const timed = isForced ? null : scheduleGate(job, range, view);
  const lacks = [
    ...(isForced || gate.lack === null ? [] : [gate.lack]),
    ...(timed === null ? [] : [timed]),
    // Of a window that is not over all may still come.
    ...(gate.lack?.type === "windowOpen" && !isForced ? [] : lacksOf(job, node, range, all)),
  ];
  const wakeAt = earliest([gate.wakeAt, timed?.at ?? null, ...wakesOf(all)]);
  const waiting = lastDone === null ? "blocked" : "stale";
  const blocked = (on: ReadonlyArray<BlockedOn>, hash: string | null = null): Evaluation => ({
    status: { state: waiting, on, incomplete: null, hash },
    start: null,
    wakeAt,
  });
  if (lacks.length > 0) return blocked(lacks);

  const inputs = inputsOf(all);
  const again = order?.id ?? null;
  const hash = freshHash(node, inputs, again, lastDone);
  const same = node.runs.find((run) => run.hash === hash);
  if (same?.state === "failed") return { ...nothing, status: statusOf("failed", same), wakeAt };
  if (same?.state === "not-yet") return blocked([{ type: "notYet", hash }], hash);
  if (!isForced) {
    if (view.isHeld(node)) return blocked([{ type: "held" }]);
    const upstream = view.upstreamOf(node, range);
    if (upstream.length > 0) return blocked([{ type: "upstream", partitions: upstream }]);
  }
  // Of a window that an operator has made before its time.
  const incomplete = gate.isComplete ? null : (gate.share ?? windowShare(job, range, view));
  return {
    status: { state: lastDone === null ? "ready" : "stale", on: [], incomplete: null, hash },
    start: startOf(node, range, { inputs, hash, again, incomplete }, view),
    wakeAt,
  };
}

const statusOf = (state: Status["state"] | RunFact["state"], run: RunFact): Status => ({
  state: state === "no-data" ? "done" : state === "not-yet" ? "blocked" : state,
  on: [],
  incomplete: null,
  hash: run.hash,
});

const earliest = (times: ReadonlyArray<Instant | null>): Instant | null => {
  let first: Instant | null = null;
  for (const at of times) if (at !== null && (first === null || at < first)) first = at;
  return first;
};

/** Once a data product that it takes overlaps it; a job without such an input, on each day of the mission. */
function exists({ job, runs, order }: Node, range: Range, view: DecisionView): boolean {
  if (runs.length > 0 || order !== null) return true;
  if (job.products.length === 0) {
    return Number.isFinite(view.now) && range.end > view.missionStart && range.start <= view.now;
  }
  return job.products.some(({ files }) => files.selection === "product" && files.files.overlaps(range));
}

const wakesOf = (all: Choices): ReadonlyArray<Instant> => {
  const wakes: Array<Instant> = [];
  for (const { wakeAt } of all.values()) if (wakeAt !== null) wakes.push(wakeAt);
  return wakes;
};

function choices(job: CompiledJob, node: Node, range: Range, view: View): ReadonlyMap<CompiledInput, Chosen> {
  const all = new Map<CompiledInput, Chosen>();
  for (const input of job.inputs) all.set(input, chooseInput(input, node, range, view));
  return all;
}

type Choices = ReadonlyMap<CompiledInput, Chosen>;

function lacksOf(job: CompiledJob, node: Node, range: Range, all: Choices): ReadonlyArray<BlockedOn> {
  const lacks: Array<BlockedOn> = [];
  for (const slot of job.slots) {
    const lack = lackOf(slot, range, all);
    if (lack !== null) lacks.push(lack);
  }
  const { products } = job;
  const hasProduct = products.some((input) => (all.get(input)?.files.length ?? 0) > 0);
  // A required one that is missing says so by itself.
  if (products.length > 0 && !hasProduct && !products.some(({ declared }) => declared.required)) {
    lacks.push({
      type: "anyProduct",
      datasets: products.map((input) => input.dataset),
      partition: node.name,
    });
  }
  return lacks;
}

function lackOf(slot: Slot, range: Range, all: Choices): BlockedOn | null {
  const found = slot.inputs.map((input) => all.get(input));
  const undecided = found.find((one) => one?.isUndecided);
  if (undecided !== undefined) return undecided.lack;
  if (!slot.required || found.some((one) => one?.lack === null)) return null;
  if (slot.alternatives === null || slot.inputs.length === 1) return found[0]?.lack ?? null;
  return {
    type: "alternatives",
    word: slot.alternatives,
    datasets: slot.inputs.map((input) => input.dataset),
    kinds: slot.inputs.map((input) => input.declared.kind),
    of: range.end,
  };
}

interface Staleness {
  readonly isStale: boolean;
  readonly wakeAt: Instant | null;
}

/** Whether what was made last is of other files than those that would be taken now. */
function staleness(
  node: Node,
  range: Range,
  last: RunFact,
  all: Choices,
  gate: Gate,
  view: DecisionView,
): Staleness {
  const { job } = node;
  // Once more when the last one comes, whatever the job says of triggers; until then what is counted makes nothing stale.
  if (last.incomplete !== null && gate.isComplete) return { isStale: true, wakeAt: null };
  const isGrowing = job.schedule !== null && !Number.isFinite(range.end);
  if (isGrowing) {
    const tick = Number.isFinite(view.now) ? job.schedule.atOrBefore(view.now) : null;
    if (tick === null || last.at >= tick) return { isStale: false, wakeAt: nextTick(job, view) };
  }
  const isStale = job.inputs.some((input) => {
    if (!input.triggers && !isGrowing) return false;
    if (last.incomplete !== null && input.counted) return false;
    const chosen = all.get(input);
    return chosen !== undefined && !chosen.isUndecided && differs(job, input, range, last.inputs, all, view);
  });
  return { isStale, wakeAt: isGrowing && !isStale ? nextTick(job, view) : null };
}

const nextTick = ({ schedule }: CompiledJob, { now }: View): Instant | null =>
  Number.isFinite(now) ? (schedule?.atOrAfter(now + 1) ?? null) : null;

function differs(
  job: CompiledJob,
  input: CompiledInput,
  range: Range,
  recorded: ReadonlyArray<RecordedInput>,
  all: Choices,
  view: View,
): boolean {
  const { dataset, files } = input;
  const chosen = filesOfDataset(job, dataset, all, all.get(input)?.files ?? []);
  // Of an endless partition each new generation is one of its own, so names say it all.
  if (files.selection !== "covering" || !Number.isFinite(range.end)) {
    return !isRecorded(recorded, dataset, chosen);
  }
  const before: Array<DatasetFile> = [];
  for (const one of recorded) {
    if (one.dataset !== dataset) continue;
    const file = view.index.placed(one.name);
    if (file === undefined || file.content !== one.content) return true;
    before.push(file);
  }
  if (before.length === 0 || chosen.length === 0) return before.length !== chosen.length;
  return files.files.isNewer(range, before);
}

/** A job may ask for one data set twice, for two ranges: the record does not say for which a file was taken. */
function filesOfDataset(
  job: CompiledJob,
  dataset: string,
  all: Choices,
  own: ReadonlyArray<DatasetFile>,
): ReadonlyArray<DatasetFile> {
  if (job.repeated === null || !job.repeated.has(dataset)) return own;
  const together = new Set<DatasetFile>();
  for (const [input, { files }] of all) {
    if (input.dataset === dataset) for (const file of files) together.add(file);
  }
  return [...together];
}

function scheduleGate(
  job: CompiledJob,
  range: Range,
  { now }: View,
): Extract<BlockedOn, { readonly type: "schedule" }> | null {
  if (job.schedule === null || !Number.isFinite(range.end)) return null;
  const due = job.schedule.atOrAfter(range.end);
  return due === null || now >= due ? null : { type: "schedule", at: due };
}

function inputsOf(all: Choices): ReadonlyArray<ChosenInput> {
  const inputs: Array<ChosenInput> = [];
  const names = new Set<string>();
  for (const [{ dataset }, { files, lack }] of all) {
    if (lack !== null) continue;
    for (const file of files) {
      if (!names.has(file.name)) inputs.push({ dataset, file });
      names.add(file.name);
    }
  }
  return inputs.sort((a, b) => compareText(a.dataset, b.dataset) || compareText(a.file.name, b.file.name));
}

/**
 * Where the inputs are those of an earlier run again, because a file that a later one took was withdrawn, the run is one of its own:
 * a hash that was done is never started.
 */
function freshHash(
  { job, name, runs }: Node,
  inputs: ReadonlyArray<ChosenInput>,
  again: string | null,
  lastDone: RunFact | null,
): string {
  const hash = runHash(job, name, inputs, again === null ? null : `again ${again}`);
  const same = runs.find((run) => run.hash === hash);
  const isUsed = same?.state === "done" || same?.state === "no-data";
  return isUsed && lastDone !== null ? runHash(job, name, inputs, `after ${lastDone.hash}`) : hash;
}

/** The same for the same inputs, wherever and however often it is decided. 16 hex digits. */
export function runHash(
  job: Pick<CompiledJob, "definition">,
  partition: string,
  inputs: ReadonlyArray<ChosenInput>,
  token: string | null,
): string {
  const { name, version } = job.definition;
  const lines = inputs.map(({ dataset, file }) => `${dataset}\n${file.name}\n${file.content}`);
  return digest(
    "sha256",
    [name, version, partition, ...lines, ...(token === null ? [] : [token])].join("\n"),
  ).slice(0, 16);
}

function startOf(
  node: Node,
  range: Range,
  run: {
    readonly inputs: ReadonlyArray<ChosenInput>;
    readonly hash: string;
    readonly again: string | null;
    readonly incomplete: Share | null;
  },
  view: DecisionView,
): Start {
  const { job } = node;
  return {
    job: job.name,
    partition: node.name,
    definition: job.definition,
    range: Number.isFinite(range.end) ? range : grownRange(run.inputs, view),
    pointing: node.pointing,
    minor: 1 + Math.max(node.minorMax, minorThere(node, range, view)),
    ...run,
    at: view.now,
  };
}

/** Of an endless partition: from the mission's start to where its inputs reach. */
function grownRange(inputs: ReadonlyArray<ChosenInput>, { missionStart, now }: DecisionView): Range {
  const ends = inputs.flatMap(({ file }) => (Number.isFinite(file.range.end) ? [file.range.end] : []));
  return { start: missionStart, end: ends.length === 0 ? now : Math.max(...ends) };
}

/** Outputs that are there already, of an earlier system say: the number of a new one is above theirs. */
function minorThere({ job, pointing }: Node, range: Range, { index }: View): number {
  let most = 0;
  for (const output of job.definition.outputs) {
    const files = index.dataset(output.dataset, output.kind);
    if (files?.selection !== "product") continue;
    for (const { version } of files.files.identityOf({ pointing, range })?.files ?? []) {
      if (!version.legacy && version.major === output.major) most = Math.max(most, version.minor);
    }
  }
  return most;
}
