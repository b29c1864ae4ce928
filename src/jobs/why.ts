/** Why a partition is as it is: from what it waits for, through what makes that, to what has not arrived or has failed. Pure look-ups. */
import type { BlockedOn, PartitionId } from "./blockedOn.ts";
import { blockedWords } from "./blockedOn.ts";
import type { CompiledJob } from "./CompiledJob.ts";
import type { DatasetId } from "./dataset.ts";
import type { Status } from "./fact.ts";
import type { Range } from "./instant.ts";
import { dayUs, formatInstant, overlap } from "./instant.ts";
import type { Node } from "./Node.ts";
import { sliceNamed, slicesOver } from "./partitions.ts";
import type { Resolver } from "./Resolver.ts";

/** One partition, what it waits for, and why that is not there. */
export interface Cause extends PartitionId {
  readonly status: Status;
  readonly instrument: string;
  readonly team: string | null;
  readonly lacks: ReadonlyArray<Lack>;
}

export interface Lack {
  readonly on: BlockedOn;
  readonly words: string;
  /** Partitions that would bring it; empty where it comes from outside, or time alone does. */
  readonly by: ReadonlyArray<Cause>;
  /** What is at the root of it, where nothing of ours brings it; null where `by` goes on. */
  readonly root: Root | null;
}

/**
 * - `arrival`   files that come from outside and have not
 * - `failed`    a run that failed
 * - `waiting`   runs that are under way, or about to be
 * - `time`      nothing but time
 * - `operator`  held
 * - `nothing`   what makes it has no such partition: nothing of what it is made of has come
 */
export interface Root {
  readonly type: "arrival" | "failed" | "waiting" | "time" | "operator" | "nothing";
  readonly dataset: DatasetId | null;
  readonly range: Range | null;
  readonly words: string;
}

/** Deeper than any catalogue of the mission, whose depth is 6. */
const depthMax = 32;
/** Of a window of a year there may be hundreds; the first tell enough. */
const makersMax = 4;

/** What was found of partitions while nothing changed: of thousands most wait for the same few. */
export type Found = Map<Node, Cause>;

/** Null for what the catalogue does not have. */
export function why(resolver: Resolver, id: PartitionId, found: Found = new Map()): Cause | null {
  const job = resolver.jobs.get(id.job);
  if (job === undefined) return null;
  const view = { resolver, found };
  const cause = causeOf(view, job, id.partition, resolver.node(id), 0);
  if (cause.status.state !== "none") return cause;
  const { calendar } = resolver.index;
  const range = sliceNamed(job.definition.partition, id.partition, calendar)?.range ?? null;
  return range === null ? cause : { ...cause, lacks: neverBegun(view, job, id.partition, range, 0) };
}

interface View {
  readonly resolver: Resolver;
  readonly found: Found;
}

function causeOf(
  view: View,
  job: CompiledJob,
  partition: string,
  node: Node | undefined,
  depth: number,
): Cause {
  const known = node === undefined ? undefined : view.found.get(node);
  if (known !== undefined) return known;
  const status = view.resolver.status({ job: job.name, partition });
  const { instrument, team } = job.definition;
  const range = node?.range ?? null;
  const lacks = status.on.map((on) => lackOf(view, job, on, range, depth));
  const cause = { job: job.name, partition, status, instrument, team, lacks };
  if (node !== undefined) view.found.set(node, cause);
  return cause;
}

function lackOf(view: View, job: CompiledJob, on: BlockedOn, range: Range | null, depth: number): Lack {
  const words = blockedWords(on);
  const root = (type: Root["type"], text: string, dataset: DatasetId | null = null, of = range): Lack => ({
    on,
    words,
    by: [],
    root: { type, dataset, range: of, words: text },
  });
  switch (on.type) {
    case "windowOpen":
    case "schedule":
      return root("time", words);
    case "held":
      return root("operator", words);
    case "notYet":
      return root("waiting", words);
    case "upstream": {
      const by = on.partitions.map((id) => causeNamed(view, id, depth)).filter((one) => one !== null);
      return { on, words, by, root: by.length > 0 ? null : { type: "waiting", dataset: null, range, words } };
    }
    case "neighbourRunning": {
      const maker = producerOf(job, on.dataset);
      const by =
        maker === null ? null : causeNamed(view, { job: maker.name, partition: on.partition }, depth);
      return by === null ? root("waiting", words, on.dataset) : { on, words, by: [by], root: null };
    }
    case "neighbours":
      return root("time", words, on.dataset);
    default:
      return missing(view, job, on, datasetsOf(on), rangeOf(on, range), depth);
  }
}

type Missing = Extract<BlockedOn, { readonly dataset: unknown } | { readonly datasets: unknown }>;

const datasetsOf = (on: BlockedOn): ReadonlyArray<DatasetId> =>
  "datasets" in on ? on.datasets : "dataset" in on && on.dataset !== null ? [on.dataset] : [];

/** Of what it lacks: the gap, or where the kernel has to reach yet. */
function rangeOf(on: BlockedOn, own: Range | null): Range | null {
  if ("gap" in on) return on.gap;
  if (on.type === "kernel" && on.to !== null) return { start: on.to, end: on.of };
  return "range" in on ? on.range : own;
}

function missing(
  view: View,
  job: CompiledJob,
  on: Missing | BlockedOn,
  datasets: ReadonlyArray<DatasetId>,
  range: Range | null,
  depth: number,
): Lack {
  const words = blockedWords(on);
  const makers = datasets.flatMap((dataset) => producerOf(job, dataset) ?? []);
  const outside = datasets.filter((dataset) => producerOf(job, dataset) === null);
  const by = [...new Set(makers)].flatMap((maker) => causesOver(view, maker, on, range, depth));
  if (by.length > 0) return { on, words, by, root: null };
  const [dataset = null] = outside;
  if (dataset !== null || makers.length === 0) {
    return { on, words, by, root: { type: "arrival", dataset, range, words: arrivalWords(dataset, range) } };
  }
  // What makes it has nothing of it: what that is made of has not come.
  const names = makers.map((maker) => maker.name).join(", ");
  const text = `${names}: nothing that it is made of has come${range === null ? "" : ` for ${rangeWords(range)}`}`;
  return { on, words, by, root: { type: "nothing", dataset: datasets[0] ?? null, range, words: text } };
}

const producerOf = (job: CompiledJob, dataset: DatasetId): CompiledJob | null =>
  job.inputs.find((input) => input.dataset === dataset)?.producer ?? null;

function causeNamed(view: View, id: PartitionId, depth: number): Cause | null {
  const job = view.resolver.jobs.get(id.job);
  return job === undefined || depth >= depthMax
    ? null
    : causeOf(view, job, id.partition, view.resolver.node(id), depth + 1);
}

/** Partitions of a maker that would bring what is missing: those that are not done, in order of time. */
function causesOver(
  view: View,
  maker: CompiledJob,
  on: BlockedOn,
  range: Range | null,
  depth: number,
): ReadonlyArray<Cause> {
  if (range === null || depth >= depthMax) return [];
  const found: Array<Cause> = [];
  const slices =
    Number.isFinite(range.start) && Number.isFinite(range.end)
      ? slicesOver(maker.definition.partition, range, view.resolver.index.calendar)
      : [...maker.nodes.values()].filter((node) => node.range !== null && overlap(node.range, range));
  for (const { ordinal, name } of slices) {
    const node = maker.nodes.get(ordinal);
    if (node?.status.state === "done") continue;
    // Of a window some may be missing for good; those that nobody has anything of are told when there is nothing else.
    if (on.type === "windowShare" && (node === undefined || node.status.state === "none")) continue;
    const cause = causeOf(view, maker, name, node, depth + 1);
    found.push(
      cause.status.state === "none"
        ? { ...cause, lacks: neverBegun(view, maker, name, range, depth) }
        : cause,
    );
    if (found.length >= makersMax) break;
  }
  return found;
}

/** Of a partition that does not exist: what of its data products is not there. */
function neverBegun(
  view: View,
  job: CompiledJob,
  partition: string,
  range: Range,
  depth: number,
): ReadonlyArray<Lack> {
  const products = job.products.filter((input) => input.range?.type !== "last");
  const required = products.filter((input) => input.declared.required);
  return (required.length > 0 ? required : products).map(({ dataset }) =>
    lackOf(view, job, { type: "product", dataset, partition, range }, range, depth + 1),
  );
}

const rangeWords = ({ start, end }: Range): string =>
  end - start === dayUs && start % dayUs === 0
    ? formatInstant(start).slice(0, 10)
    : `${formatInstant(start)} to ${formatInstant(end)}`;

const arrivalWords = (dataset: DatasetId | null, range: Range | null): string =>
  `${dataset ?? "a file"} has not arrived${range === null ? "" : ` for ${rangeWords(range)}`}`;

/** The roots of a cause, each once, in the order in which they are met: first of all what the partition itself waits for. */
export function rootsOf(cause: Cause): ReadonlyArray<Root> {
  const roots = new Map<string, Root>();
  for (const root of rootsIn(cause)) if (!roots.has(root.words)) roots.set(root.words, root);
  return [...roots.values()];
}

/** The first of {@link rootsOf}. */
export function firstRootOf(cause: Cause): Root | null {
  for (const root of rootsIn(cause)) return root;
  return null;
}

function* rootsIn({ job, partition, status, lacks }: Cause): Generator<Root> {
  const { state } = status;
  const here = `${job} ${partition}`;
  const ours = (type: Root["type"], words: string): Root => ({ type, dataset: null, range: null, words });
  if (state === "failed") yield ours("failed", `${here} failed`);
  else if (state === "ready" || state === "running") yield ours("waiting", `${here} is ${state}`);
  else if (state === "stale" && lacks.length === 0) yield ours("waiting", `${here} is about to be made anew`);
  for (const lack of lacks) {
    if (lack.root !== null) yield lack.root;
    for (const next of lack.by) yield* rootsIn(next);
  }
}
