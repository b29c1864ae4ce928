/** `orrery check`: everything that is wrong with a site file, or what the site is. */
import * as Effect from "effect/Effect";
import { resolve } from "node:path";
import { describeSite } from "../config/describeSite.ts";
import { checkSite } from "../config/loadSite.ts";
import type { Site } from "../config/Site.ts";
import { renderProblems } from "../config/SiteFileError.ts";
import { siteJsonSchema } from "../config/SiteSchema.ts";
import { catalogueWords } from "./catalogueWords.ts";
import { CommandFailed, exitCode, failed } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { findSite } from "./site.ts";
import { table } from "./table.ts";
import { count, plural } from "./words.ts";

export interface CheckOptions {
  readonly site: string | null;
  readonly schema: boolean;
  readonly json: boolean;
}

function summary(io: IoService, site: Site): string {
  const rows = [...site.lanes.values()].map((lane) => [
    lane.name,
    lane.kind,
    lane.buckets.join(", "),
    lane.storage ?? "-",
    lane.metadata,
    lane.driver.type,
    count(lane.workers),
  ]);
  const columns = [
    { title: "LANE" },
    { title: "KIND" },
    { title: "BUCKETS", give: 12 },
    { title: "STORAGE" },
    { title: "METADATA" },
    { title: "DRIVER" },
    { title: "WORKERS", right: true },
  ];
  return table(columns, rows, { color: io.out.color, columns: io.out.columns() });
}

export const check = (io: IoService, options: CheckOptions): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    if (options.schema) return sayJson(io, siteJsonSchema());
    const { file } = yield* findSite(io, options.site);
    const checked = yield* checkSite(resolve(io.cwd, file), { env: io.env, here: true }).pipe(
      Effect.mapError((error) => {
        if (!options.json) return failed(error.render({ color: io.err.color }));
        sayJson(io, { ok: false, file, problems: error.problems });
        return new CommandFailed({ exit: exitCode.failure, message: "" });
      }),
    );
    const { site, warnings } = checked;
    if (options.json) return sayJson(io, { ok: true, file, problems: warnings, site: describeSite(site) });
    if (warnings.length > 0) tell(io, renderProblems(file, warnings, { color: io.err.color }));
    const jobs = site.jobs.size === 0 ? "" : `, ${plural(site.jobs.size, "job")}`;
    say(io, `${file}: site ${site.name} is in order (${plural(site.lanes.size, "lane")}${jobs})`);
    if (site.catalogue !== null) say(io, `${site.catalogue.file}: ${catalogueWords(site.catalogue)}`);
    io.out.write(`\n${summary(io, site)}`);
    return undefined;
  });
