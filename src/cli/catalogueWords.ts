/** How much there is of a job catalogue, in a line: for whoever checks or starts a site that has one. */
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import { unusedKinds } from "../jobs/taken.ts";
import { count, plural } from "./words.ts";

const kindsShownMax = 6;

export function catalogueWords(catalogue: JobCatalogue): string {
  const { jobs, recogniser, warnings, products } = catalogue;
  const instruments = new Set([...jobs.values()].map((job) => job.instrument)).size;
  const unused = unusedKinds(catalogue, recogniser.kinds);
  const shown = unused.slice(0, kindsShownMax).join(", ");
  const more = unused.length > kindsShownMax ? ", …" : "";
  return [
    `${plural(jobs.size, "job")} of ${plural(instruments, "instrument")}`,
    `${plural(recogniser.kinds.size, "kind")} of file${
      unused.length === 0 ? "" : ` (${count(unused.length)} that no job takes or makes: ${shown}${more})`
    }`,
    ...(warnings === 0 ? [] : [`${plural(warnings, "warning")}: orrery jobs lint tells`]),
    ...(products === null ? ["nothing is made: it has no products:"] : []),
  ].join(", ");
}
