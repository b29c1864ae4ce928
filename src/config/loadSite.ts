/** Loads a site file: text → YAML → schema → rules → surroundings → `Site`. */
import { dirname, resolve } from "node:path";
import * as Effect from "effect/Effect";
import { startOfDay } from "../jobs/instant.ts";
import { loadCatalogue } from "./catalogue.ts";
import { decodeSiteFile } from "./decode.ts";
import { readDocument } from "./document.ts";
import type { Finding, SiteDocument } from "./document.ts";
import { lintSite } from "./lint.ts";
import type { Environment } from "./references.ts";
import { problemOf } from "./problems.ts";
import { readSiteText } from "./readText.ts";
import { resolveSite } from "./resolve.ts";
import type { Surroundings } from "./resolve.ts";
import { lanesOf, untaken } from "./rules/buckets.ts";
import type { Site } from "./Site.ts";
import type { SiteFile } from "./SiteSchema.ts";
import { watchedFolders } from "./watchedFolders.ts";
import { SiteFileError } from "./SiteFileError.ts";
import type { Problem } from "./SiteFileError.ts";

export interface LoadOptions {
  /** The node's name from the command line; it comes before all others. */
  readonly node?: string | undefined;
  /** This node's roles from the command line, with commas between them: some of the site file's. */
  readonly roles?: string | undefined;
  /** Whether it is for this machine: then the folders that a node is to watch are looked for. */
  readonly here?: boolean;
  /** For ORRERY_NODE, ORRERY_ROLES and `env:` references; default `process.env`. */
  readonly env?: Environment;
}

export interface CheckedSite {
  readonly site: Site;
  /** What is allowed and yet probably not meant. */
  readonly warnings: ReadonlyArray<Problem>;
}

/** The site of a site file. Fails with everything that is wrong with it at once; nothing has been started or written. */
export const loadSite = (path: string, options?: LoadOptions): Effect.Effect<Site, SiteFileError> =>
  Effect.map(checkSite(path, options), (checked) => checked.site);

/** As {@link loadSite}, with the warnings. */
export const checkSite = (path: string, options?: LoadOptions): Effect.Effect<CheckedSite, SiteFileError> =>
  Effect.suspend(() => {
    const read = readSiteText(path);
    if (read.ok) return parseSite(read.text, path, options);
    return Effect.fail(new SiteFileError({ file: path, problems: [problemOf(read.finding, null)] }));
  });

/** As {@link checkSite}, from text. `path` need not exist: it names the file in problems and its folder begins relative paths. */
export const parseSite = (
  text: string,
  path: string,
  options?: LoadOptions,
): Effect.Effect<CheckedSite, SiteFileError> =>
  Effect.suspend(() => {
    const document = readDocument(text);
    const outcome = understand(document, path, options);
    const problems = outcome.findings.map((finding) => problemOf(finding, document)).sort(byPlace);
    if (outcome.site === null || problems.some((problem) => problem.severity === "error")) {
      return Effect.fail(new SiteFileError({ file: path, problems }));
    }
    return Effect.succeed({ site: outcome.site, warnings: problems });
  });

interface Outcome {
  readonly site: Site | null;
  readonly findings: ReadonlyArray<Finding>;
}

function understand(document: SiteDocument, path: string, options: LoadOptions | undefined): Outcome {
  if (document.findings.length > 0) return { site: null, findings: document.findings };
  const decoded = decodeSiteFile(document.value);
  if (!decoded.ok) return { site: null, findings: decoded.findings };
  const surroundings = {
    folder: dirname(resolve(path)),
    env: options?.env ?? process.env,
    node: options?.node,
    roles: options?.roles,
  };
  const resolved = resolveSite(decoded.file, surroundings);
  const load = readCatalogue(decoded.file.catalogue, surroundings);
  return {
    site: {
      ...resolved.site,
      catalogue: load.catalogue,
      missionStart: decoded.file.missionStart === null ? null : startOfDay(decoded.file.missionStart),
    },
    findings: [
      ...lintSite(decoded.file, document.value),
      ...resolved.findings,
      ...load.findings,
      ...productsBucket(decoded.file, load.catalogue),
      ...(options?.here === true ? watchedFolders(resolved.site) : []),
    ],
  };
}

/** Errors alone: what is only to be warned of `orrery jobs lint` tells. */
function readCatalogue(
  file: string | null,
  { folder, env }: Surroundings,
): { readonly catalogue: Site["catalogue"]; readonly findings: ReadonlyArray<Finding> } {
  if (file === null) return { catalogue: null, findings: [] };
  const { catalogue, faults } = loadCatalogue(resolve(folder, file), { env });
  const errors = faults.filter((fault) => fault.severity === "error");
  return {
    catalogue,
    findings: errors.map(({ at, job, message, fix }) => ({
      path: ["catalogue"],
      value: null,
      message: `${at.file}:${at.line}: ${job === null ? "" : `${job}: `}${message}`,
      fix,
    })),
  };
}

/** What jobs make would be put where no lane sees it: nothing that is made of it would ever start. */
function productsBucket(file: SiteFile, catalogue: Site["catalogue"]): ReadonlyArray<Finding> {
  if (catalogue === null || catalogue.products === null) return [];
  const { bucket } = catalogue.products;
  const isNamed = lanesOf(file, bucket).some((lane) => file.lanes[lane]?.names != null);
  if (isNamed) return [];
  const fault = untaken(file, bucket) ?? {
    message: "its lane tells no files by their names",
    fix: "name a bucket of a lane with names",
  };
  const message = `${catalogue.file}: products.bucket (${bucket}): ${fault.message}`;
  return [{ path: ["catalogue"], severity: "warning", value: null, message, fix: fault.fix }];
}

function byPlace(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0);
}
