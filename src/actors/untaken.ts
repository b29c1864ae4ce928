/** Files that came and that no job takes, as operators are told of them. */
import { nearMiss } from "../config/nearMiss.ts";
import { untakenDatasets } from "../jobs/taken.ts";
import { untakenToldMax } from "../limits.ts";
import type { UntakenFiles } from "../protocol/operatorQuestions.ts";
import type { Known } from "./answering.ts";

export function untakenOf({ core }: Known): UntakenFiles {
  const all = untakenDatasets(core);
  return {
    files: all.reduce((sum, { files }) => sum + files, 0),
    count: all.length,
    datasets: all
      .slice(0, untakenToldMax)
      .map((one) => ({ ...one, nearest: nearMiss(one.dataset, core.consumers.keys()) })),
  };
}
