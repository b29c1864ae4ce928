/** `lineage`: the graph around one file, from what runs recorded. */
import * as Schema from "effect/Schema";
import type { IndexedFile } from "../jobs/indexed.ts";
import { formatInstant } from "../jobs/instant.ts";
import { lineage } from "../jobs/lineage.ts";
import type { LineageRunFact } from "../jobs/lineage.ts";
import { lineageNamedMax, lineageRunsMax } from "../limits.ts";
import { recordKey } from "../protocol/keys.ts";
import type { LineageAnswer, LineageRun } from "../protocol/operatorQuestions.ts";
import { placeOfRun } from "../protocol/runs.ts";
import type { Known } from "./answering.ts";
import { BadQuestion } from "./BadQuestion.ts";
import { partitionOf } from "./catalogueRuns.ts";
import { placeTold } from "./placesAnswer.ts";

const isLineage = Schema.is(
  Schema.Struct({
    name: Schema.String,
    up: Schema.Number,
    down: Schema.Number,
    limit: Schema.optionalKey(Schema.Number),
  }),
);

export function lineageAnswer(known: Known, said: unknown): LineageAnswer {
  if (!isLineage(said)) throw new BadQuestion("it needs name, up and down");
  const { core, catalogue, facts } = known;
  const byName = (name: string): IndexedFile | null => {
    const there = core.index.known(name);
    if (there !== undefined) return there;
    const found = catalogue.recogniser.recognise(name);
    return found.ok ? { ...found.file, content: "" } : null;
  };
  const file = byName(said.name);
  if (file === null) throw new BadQuestion(`${said.name}: no kind of file is named like this`);
  const limit = Math.max(1, Math.min(said.limit ?? lineageRunsMax, lineageRunsMax));
  const bounds = { up: said.up, down: said.down, runsMax: limit, namedMax: lineageNamedMax };
  const found = lineage(core, file, bounds, byName);
  const runs = found.runs.map((one) => runTold(known, one));
  const files = [...found.files.values()].map(({ name, dataset, content }) => {
    const standing = core.index.known(name);
    const maker = found.madeBy.get(name);
    const places = facts.placesOf(name)?.places ?? [];
    return {
      name,
      dataset,
      content: standing?.content ?? content,
      record: facts.recordOf(name),
      madeBy: maker === undefined ? null : (runs[maker]?.key ?? null),
      ...(places.some(({ site }) => site !== null) ? { places: places.map(placeTold) } : {}),
    };
  });
  return { file: said.name, files, runs, cut: found.cut };
}

function runTold({ core }: Known, { node, run, inputs, outputs, ...more }: LineageRunFact): LineageRun {
  const { definition } = node.job;
  const partition = partitionOf(definition, node.name, core.index.calendar);
  return {
    key:
      partition === null
        ? `${definition.name} ${node.name} ${run.hash}`
        : recordKey(placeOfRun(definition.lane, definition.name, partition, run.hash)),
    job: definition.name,
    partition: node.name,
    hash: run.hash,
    minor: run.minor,
    state: run.state,
    at: formatInstant(run.at),
    inputs: inputs.map(({ name, dataset, content }) => ({ name, dataset, content })),
    inputsMore: more.inputsMore,
    outputs,
    outputsMore: more.outputsMore,
  };
}
