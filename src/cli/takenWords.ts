/** What the catalogue has to do with a file, in words: who takes it, who makes it, and what is said where nobody does. */
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import { nearMiss } from "../config/nearMiss.ts";
import { takenDatasets, takersOf } from "../jobs/taken.ts";
import type { UntakenFiles } from "../protocol/operatorQuestions.ts";
import { count, plural } from "./words.ts";

export interface Taken {
  readonly madeBy: string | null;
  /** Jobs; empty: none takes it. */
  readonly by: ReadonlyArray<string>;
  /** Where neither: the data set that is most like it of those that jobs take. */
  readonly nearest: string | null;
}

/** Null for a file that jobs have nothing to do with: of a table, or named by nothing that the catalogue knows. */
export function takenOf(catalogue: JobCatalogue, name: string): Taken | null {
  const found = catalogue.recogniser.recognise(name);
  if (!found.ok || catalogue.recogniser.kinds.get(found.file.kind)?.selection === "table") return null;
  const { dataset } = found.file;
  const by = takersOf(catalogue, dataset);
  const madeBy = catalogue.producerOf.get(dataset)?.name ?? null;
  const isLost = by.length === 0 && madeBy === null;
  return { madeBy, by, nearest: isLost ? nearMiss(dataset, takenDatasets(catalogue)) : null };
}

const shownMax = 6;

/** Whether nothing follows from it: none makes it, so it came for some job, and none takes it. */
export const isUntaken = ({ by, madeBy }: Taken): boolean => by.length === 0 && madeBy === null;

export function takenWords(taken: Taken): string {
  const { by, madeBy, nearest } = taken;
  if (isUntaken(taken)) return `no job takes it${nearest === null ? "" : ` (nearest: ${nearest})`}`;
  const more = by.length > shownMax ? ` and ${count(by.length - shownMax)} more` : "";
  const takers = by.length === 0 ? "no job takes it" : `taken by ${by.slice(0, shownMax).join(", ")}${more}`;
  return madeBy === null ? takers : `made by ${madeBy}, ${takers}`;
}

const datasetsShownMax = 4;

/** One line; null where there are none. */
export function untakenWords({ files, count: datasets, datasets: told }: UntakenFiles): string | null {
  if (files === 0) return null;
  const shown = told.slice(0, datasetsShownMax).map(({ dataset, files: some, example, nearest }) => {
    const near = nearest === null ? "" : `; nearest: ${nearest}`;
    return `${dataset} (${count(some)}, as ${example}${near})`;
  });
  const more = datasets > shown.length ? `, and of ${plural(datasets - shown.length, "data set")} more` : "";
  return `no job takes ${plural(files, "known file")}: ${shown.join(", ")}${more}`;
}
