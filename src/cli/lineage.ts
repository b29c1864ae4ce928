/** `orrery lineage FILE`: from what it was made, down to what came from outside, and what was made of it. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { getManyUnsafe } from "../jetstream/ledger.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import type { LineageAnswer, LineageFile, LineageRun } from "../protocol/operatorQuestions.ts";
import type { FileBody } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import { fileName } from "../protocol/route.ts";
import type { CommandFailed } from "./failures.ts";
import { limitFault, misused, no, ofCause } from "./failures.ts";
import { findRecord, nameOf } from "./ids.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import type { MissionLink } from "./mission.ts";
import { askJobs, openMission } from "./mission.ts";
import { siteWords } from "./places.ts";
import { standingOf } from "./standing.ts";
import { paint } from "./table.ts";
import { harmless, plural } from "./words.ts";

export interface LineageOptions {
  readonly site: string | null;
  readonly file: string;
  /** Runs, either way. */
  readonly depth: number;
  readonly limit: number;
  readonly only: "both" | "up" | "down";
  readonly json: boolean;
}

const depthMost = 32;

/** What the ledger knows of a file besides. */
export interface FileTold extends LineageFile {
  /** Tag of its content as the ledger has it; null where it is not known. */
  readonly etag: string | null;
  /** SHA-256, where its store's tags do not say the content. */
  readonly sha256: string | null;
  readonly uri: string | null;
  readonly state: string;
}

interface Graph extends Omit<LineageAnswer, "files"> {
  readonly files: ReadonlyArray<FileTold>;
}

export const lineage = (
  io: IoService,
  options: LineageOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (!(options.depth >= 0 && options.depth <= depthMost)) {
      return yield* misused(`--depth ${options.depth}: it may be 0 to ${depthMost}`);
    }
    const fault = limitFault(options.limit);
    if (fault !== null) return yield* fault;
    const link = yield* openMission(io, options.site);
    const name = yield* nameMeant(link, options.file);
    const answer = yield* askJobs<LineageAnswer>(link, "lineage", {
      name,
      up: options.only === "down" ? 0 : options.depth,
      down: options.only === "up" ? 0 : options.depth,
      limit: options.limit,
    });
    const files = yield* Effect.tryPromise({ try: () => readFiles(link, answer.files), catch: ofCause });
    const graph: Graph = { ...answer, files };
    const own = files.find((file) => file.name === name);
    const isEmpty = own?.record == null && own?.places === undefined && answer.runs.length === 0;
    if (options.json) sayJson(io, graph);
    else if (!isEmpty) render(io, graph, options);
    return isEmpty ? yield* no(options.json ? "" : `nothing is known of ${harmless(name)}`) : undefined;
  });

/** A whole name is taken as it is, also of a file that is gone; else the record that is meant says it. */
const nameMeant = (link: MissionLink, written: string): Effect.Effect<string, CommandFailed> => {
  const name = fileName(written);
  return link.catalogue.recogniser.recognise(name).ok
    ? Effect.succeed(name)
    : Effect.map(findRecord(link.site, link.nats, written), ({ place }) => fileName(nameOf(place)));
};

async function readFiles(
  link: MissionLink,
  files: ReadonlyArray<LineageFile>,
): Promise<ReadonlyArray<FileTold>> {
  const known = files.flatMap(({ record }) => (record === null ? [] : [record]));
  const entries = await getManyUnsafe(link.nats, ledgerBucket, known);
  const byKey = new Map(known.map((key, i) => [key, entries[i] ?? null]));
  return files.map((file) => {
    const entry = file.record === null ? null : (byKey.get(file.record) ?? null);
    const record =
      entry === null || entry.ended || file.record === null
        ? null
        : decodeRecord<FileBody>(file.record, entry.data);
    return {
      ...file,
      etag: record?.etag ?? null,
      sha256: record?.body.dataset?.digest ?? null,
      uri: record?.body.uri ?? null,
      state: record === null ? "not known any more" : standingOf(record),
      ...elsewhere(file, record !== null),
    };
  });
}

/** Of a file that other sites have: it goes by one tag, whatever each store says. */
function elsewhere({ content, places = [] }: LineageFile, isHere: boolean): Partial<FileTold> {
  const [place] = places;
  if (place === undefined) return {};
  return isHere ? { etag: content } : { etag: content, uri: place.uri, state: "known elsewhere" };
}

/** Nothing where it lies here alone. */
const whereOf = (file: FileTold | undefined): string =>
  file?.places === undefined ? "" : `  at ${file.places.map(siteWords).join(", ")}`;

function hashOf(file: FileTold | undefined, taken: string): string {
  const now = file?.etag ?? null;
  const sha = file?.sha256 == null ? "" : ` sha256 ${file.sha256}`;
  const tag = taken === "" ? (now ?? "") : taken;
  if (now === null) return `${tag}, not known any more`;
  return now === tag ? `${tag}${sha}` : `${tag} when it was taken, ${now}${sha} now`;
}

const linesMax = 400;

function render(io: IoService, graph: Graph, { only, depth }: LineageOptions): void {
  const { color } = io.out;
  const files = new Map(graph.files.map((file) => [file.name, file]));
  const runs = new Map(graph.runs.map((run) => [run.key, run]));
  const own = files.get(graph.file);
  say(io, paint(color, "bold", harmless(graph.file)));
  say(io, paint(color, "dim", `${own?.dataset ?? ""}  ${hashOf(own, "")}${whereOf(own)}`));
  const lines: Array<string> = [];
  const seen = new Set<string>();
  const put = (text: string, before: string, isLast: boolean): string => {
    lines.push(`${before}${isLast ? "└ " : "├ "}${text}`);
    return `${before}${isLast ? "  " : "│ "}`;
  };
  const up = (run: LineageRun, before: string): void => {
    seen.add(run.key);
    const last = run.inputs.length - 1 + (run.inputsMore > 0 ? 1 : 0);
    run.inputs.forEach((input, i) => {
      const file = files.get(input.name);
      const words = `${input.name}  ${hashOf(file, input.content)}${whereOf(file)}`;
      const inner = put(words, before, i === last);
      const made = file?.madeBy == null ? undefined : runs.get(file.madeBy);
      if (made === undefined) return;
      const again = seen.has(made.key);
      const below = put(`${runWords(made)}${again ? " (as above)" : ""}`, inner, true);
      if (!again) up(made, below);
    });
    if (run.inputsMore > 0) put(`… and ${plural(run.inputsMore, "more input")}`, before, true);
  };
  const down = (name: string, before: string): void => {
    const takers = graph.runs.filter((run) => run.inputs.some((input) => input.name === name));
    takers.forEach((run, i) => {
      const again = seen.has(run.key);
      seen.add(run.key);
      const inner = put(`${runWords(run)}${again ? " (as above)" : ""}`, before, i === takers.length - 1);
      if (again) return;
      run.outputs.forEach((output, j) => {
        const file = files.get(output);
        const below = put(`${output}  ${hashOf(file, "")}`, inner, j === run.outputs.length - 1);
        down(output, below);
      });
      if (run.outputsMore > 0) put(`… and ${plural(run.outputsMore, "more output")}`, inner, true);
    });
  };
  if (only !== "down") {
    const made = own?.madeBy == null ? undefined : runs.get(own.madeBy);
    lines.push("", "made from");
    if (made === undefined) lines.push(graph.cut.up ? "(not told)" : "nothing of ours: it came from outside");
    else up(made, put(runWords(made), "", true));
  }
  if (only !== "up") {
    lines.push("", "made of it");
    const before = lines.length;
    down(graph.file, "");
    if (lines.length === before) lines.push(graph.cut.down ? "(not told)" : "nothing yet");
  }
  for (const line of lines.slice(0, linesMax)) say(io, harmless(line));
  if (lines.length > linesMax) say(io, `… and ${lines.length - linesMax} more lines: --json has all of it`);
  if (graph.cut.up || graph.cut.down) {
    const where = graph.cut.up && graph.cut.down ? "both ways" : graph.cut.up ? "above" : "below";
    tell(io, `there is more ${where}: --depth ${depth * 2 || 1}, --limit N`);
  }
}

const runWords = (run: LineageRun): string =>
  `${run.job} ${run.partition}, version ${run.minor}, ${run.state} ${run.at.slice(0, 19)}, run ${run.hash}`;
