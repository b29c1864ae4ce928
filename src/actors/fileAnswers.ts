/** `preview`, `needs` and `ls`: what files would change, what a file is made of, and how partitions stand. */
import * as Schema from "effect/Schema";
import type { BlockedOn } from "../jobs/blockedOn.ts";
import { blockedWords } from "../jobs/blockedOn.ts";
import type { CompiledJob } from "../jobs/CompiledJob.ts";
import type { IndexedFile } from "../jobs/indexed.ts";
import { placed } from "../jobs/indexed.ts";
import { dayUs, overlap, startOfDay } from "../jobs/instant.ts";
import { needsOf } from "../jobs/needs.ts";
import type { Node } from "../jobs/Node.ts";
import type { Slice } from "../jobs/partitions.ts";
import { sliceNamed, slicesOver } from "../jobs/partitions.ts";
import type { PreviewChange } from "../jobs/preview.ts";
import { preview } from "../jobs/preview.ts";
import {
  neededFilesToldMax,
  partitionsToldMax,
  previewChangesMax,
  previewFilesMax,
  previewLookedMax,
} from "../limits.ts";
import type { JobState } from "../protocol/jobs.ts";
import type { NeedsAnswer, PartitionsAnswer, PreviewAnswer } from "../protocol/operatorQuestions.ts";
import type { Known } from "./answering.ts";
import { jobAsked, stretchOf } from "./answering.ts";
import { BadQuestion } from "./BadQuestion.ts";

const Names = Schema.Array(Schema.String);
const isPreview = Schema.is(Schema.Struct({ added: Names, withdrawn: Names }));

/** A file by its name alone: what it would be, were it here. */
export function fileByName({ core, catalogue }: Known, name: string): IndexedFile {
  const known = core.index.known(name);
  if (known !== undefined) return known;
  const found = catalogue.recogniser.recognise(name);
  if (!found.ok) throw new BadQuestion(`${name}: ${found.reason}`);
  return { ...found.file, content: "" };
}

export function previewAnswer(known: Known, said: unknown): PreviewAnswer {
  if (!isPreview(said)) throw new BadQuestion("it needs added and withdrawn, lists of names");
  if (said.added.length + said.withdrawn.length > previewFilesMax) {
    throw new BadQuestion(`at most ${previewFilesMax} files can be looked at together`);
  }
  const { core } = known;
  const leftOut: Array<{ readonly name: string; readonly why: string }> = [];
  const added = said.added.flatMap((name) => {
    const file = fileByName(known, name);
    if (core.index.known(name) === undefined) return [file];
    leftOut.push({ name, why: "it is here already" });
    return [];
  });
  const withdrawn = said.withdrawn.filter((name) => {
    const isKnown = core.index.known(name) !== undefined;
    if (!isKnown) leftOut.push({ name, why: "no file of this name is known" });
    return isKnown;
  });
  const found = preview(core, { added, withdrawn }, previewLookedMax);
  return {
    changes: found.changes.slice(0, previewChangesMax).map(({ job, partition, before, after }) => ({
      job,
      partition,
      before: before.state,
      after: after.state,
      words: wordsOf(after.on),
    })),
    counts: countsOf(found.changes),
    downstream: found.downstream.map(({ job, count }) => ({ job, partitions: count })),
    touched: found.touched,
    looked: Math.min(found.touched, previewLookedMax),
    undecided: core.left,
    leftOut,
  };
}

const lacksToldMax = 4;
const lackBytesMax = 200;

/** A few, and of a long one its beginning: thousands of them go into one message. */
const wordsOf = (on: ReadonlyArray<BlockedOn>): ReadonlyArray<string> =>
  on.slice(0, lacksToldMax).map((one) => {
    const words = blockedWords(one);
    return words.length <= lackBytesMax ? words : `${words.slice(0, lackBytesMax)}…`;
  });

function countsOf(changes: ReadonlyArray<PreviewChange>): PreviewAnswer["counts"] {
  const counts = new Map<string, PreviewAnswer["counts"][number]>();
  for (const { job, before, after } of changes) {
    const key = `${job} ${before.state} ${after.state}`;
    const partitions = (counts.get(key)?.partitions ?? 0) + 1;
    counts.set(key, { job, before: before.state, after: after.state, partitions });
  }
  return [...counts.values()].sort((a, b) => b.partitions - a.partitions || (a.job < b.job ? -1 : 1));
}

const isOfFile = Schema.is(Schema.Struct({ file: Schema.String }));
const isOfPartition = Schema.is(Schema.Struct({ job: Schema.String, partition: Schema.String }));

export function needsAnswer(known: Known, said: unknown): NeedsAnswer {
  if (isOfFile(said)) return needsOfFile(known, said.file);
  if (!isOfPartition(said)) throw new BadQuestion("it needs file, or job and partition");
  const job = jobAsked(known, said.job);
  const slice = sliceNamed(job.definition.partition, said.partition, known.core.index.calendar);
  if (slice === null) throw new BadQuestion(`${said.partition} is no partition of ${said.job}`);
  return needsOfSlice(known, job, slice, null);
}

function needsOfFile(known: Known, name: string): NeedsAnswer {
  const { core } = known;
  const file = fileByName(known, name);
  const about = {
    name,
    dataset: file.dataset,
    kind: file.kind,
    known: core.index.known(name) !== undefined,
  };
  const job = makerOf(known, file.dataset);
  if (job === null) {
    return {
      job: null,
      partition: null,
      range: file.range === null ? null : stretchOf(file.range),
      state: "none",
      file: about,
      complete: about.known,
      inputs: [],
      waits: [],
    };
  }
  const slice = sliceOfFile(known, job, file);
  if (slice === null) throw new BadQuestion(`${job.name} makes no ${name}: it has no such partition`);
  return needsOfSlice(known, job, slice, about);
}

export function makerOf({ core }: Known, dataset: string): CompiledJob | null {
  for (const job of core.jobs.values()) {
    if (job.definition.outputs.some((output) => output.dataset === dataset)) return job;
  }
  return null;
}

type Named = Omit<Slice, "range"> & { readonly range: Slice["range"] | null };

/** The partition that a product is of; null where no partition of its maker is like it. */
export function sliceOfFile({ core }: Known, { definition }: CompiledJob, file: IndexedFile): Named | null {
  const { calendar } = core.index;
  const { partition } = definition;
  if (partition.type === "open") return sliceNamed(partition, "all", calendar);
  if (partition.type === "pointing") {
    return file.pointing === null
      ? null
      : sliceNamed(partition, `repoint${String(file.pointing).padStart(5, "0")}`, calendar);
  }
  const range = placed(file, calendar)?.range;
  if (range === undefined || !Number.isFinite(range.start)) return null;
  // A name says the day on which a window begins.
  const slices = slicesOver(partition, { start: range.start, end: range.start + 1 }, calendar);
  return slices.find((slice) => slice.range.start === range.start) ?? slices[0] ?? null;
}

function needsOfSlice(known: Known, job: CompiledJob, slice: Named, file: NeedsAnswer["file"]): NeedsAnswer {
  const { core } = known;
  if (slice.range === null) {
    throw new BadQuestion(`${slice.name} has not ended yet, so nobody knows what it is made of`);
  }
  const found = needsOf(core, job, { ...slice, range: slice.range });
  return {
    job: job.name,
    partition: slice.name,
    range: stretchOf(slice.range),
    state: core.status({ job: job.name, partition: slice.name }).state,
    file,
    complete: found.complete,
    inputs: found.inputs.map(({ input, lack, files, alternatives, required }) => ({
      dataset: input.dataset,
      kind: input.declared.kind,
      required,
      triggers: input.triggers,
      producer: input.producer?.name ?? null,
      there: lack === null,
      lack: lack === null ? null : blockedWords(lack),
      alternatives,
      files: files.slice(0, neededFilesToldMax).map(({ name, content }) => ({ name, content })),
      filesMore: Math.max(0, files.length - neededFilesToldMax),
    })),
    waits: found.waits.map(blockedWords),
  };
}

const states: ReadonlyArray<JobState> = ["blocked", "ready", "running", "done", "failed", "stale"];

const isList = Schema.is(
  Schema.Struct({
    state: Schema.optionalKey(Schema.Literals(["blocked", "ready", "running", "done", "failed", "stale"])),
    job: Schema.optionalKey(Schema.String),
    day: Schema.optionalKey(Schema.String),
    limit: Schema.optionalKey(Schema.Number),
  }),
);

export function listAnswer(known: Known, said: unknown): PartitionsAnswer {
  if (!isList(said)) throw new BadQuestion(`state is one of ${states.join(", ")}; job and day are text`);
  const start = said.day === undefined ? null : startOfDay(said.day);
  if (said.day !== undefined && start === null) throw new BadQuestion("day is a day: 20260310");
  const range = start === null ? null : { start, end: start + dayUs };
  const jobs = said.job === undefined ? [...known.core.jobs.values()] : [jobAsked(known, said.job)];
  const counts: Record<JobState, number> = { blocked: 0, ready: 0, running: 0, done: 0, failed: 0, stale: 0 };
  const fits: Array<Node & { status: { readonly state: JobState } }> = [];
  for (const job of jobs) {
    for (const node of job.nodes.values()) {
      if (!isThere(node) || (range !== null && (node.range === null || !overlap(node.range, range))))
        continue;
      counts[node.status.state]++;
      if (said.state === undefined || said.state === node.status.state) fits.push(node);
    }
  }
  fits.sort((a, b) => (a.range?.start ?? 0) - (b.range?.start ?? 0) || (a.job.name < b.job.name ? -1 : 1));
  const limit = Math.max(0, Math.min(said.limit ?? partitionsToldMax, partitionsToldMax));
  return {
    counts,
    total: fits.length,
    partitions: fits.slice(0, limit).map(({ job, name, status }) => ({
      job: job.name,
      partition: name,
      state: status.state,
      words: wordsOf(status.on),
    })),
  };
}

const isThere = (node: Node): node is Node & { status: Node["status"] & { readonly state: JobState } } =>
  node.status.state !== "none";
