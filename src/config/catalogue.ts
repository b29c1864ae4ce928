/** Loads a job catalogue: catalogue.yaml and the files that it names. */
import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { catalogueFileBytesMax, catalogueFilesMax } from "../limits.ts";
import type { CatalogueJob, PartitionScheme } from "../jobs/catalogue.ts";
import type { Fault } from "../jobs/faults.ts";
import { byPlace } from "../jobs/faults.ts";
import { catalogueOf } from "../jobs/import.ts";
import { lintJobs } from "../jobs/lint.ts";
import type { LintRules } from "../jobs/lint.ts";
import { tornItems } from "../jobs/missionFile.ts";
import type { Recogniser } from "../jobs/names.ts";
import { parseWindowTable } from "../jobs/windowTable.ts";
import { faultOf } from "./catalogueFaults.ts";
import { readJobs } from "./catalogueJobs.ts";
import type { Decoded } from "./catalogueJobs.ts";
import { CatalogueSchema, InstrumentSchema } from "./catalogueSchema.ts";
import type { CatalogueFile, DriverFile, InstrumentFile, WindowFile } from "./catalogueSchema.ts";
import { decoderOf, isRecord } from "./decode.ts";
import { readDocument } from "./document.ts";
import type { Finding, SiteDocument } from "./document.ts";
import type { JobCatalogue, JobDriver } from "./JobCatalogue.ts";
import { loadNames } from "./namesFile.ts";
import { didYouMean } from "./nearMiss.ts";
import { msPerDay } from "./quantity.ts";
import { errorCode } from "./references.ts";
import type { Environment } from "./references.ts";
import { Resolver } from "./resolve.ts";
import { isLoopback } from "./rules/doors.ts";
import type { Path } from "./SiteFileError.ts";

export type { JobCatalogue, JobDriver, JobLane, Team } from "./JobCatalogue.ts";

export interface CatalogueLoad {
  /** null exactly where a fault is an error. */
  readonly catalogue: JobCatalogue | null;
  /** In the order of the files, also where something is at fault. */
  readonly jobs: ReadonlyArray<CatalogueJob>;
  /** catalogue.yaml and those of its files that hold jobs. */
  readonly files: ReadonlyArray<string>;
  /** null where the names file is at fault. */
  readonly recogniser: Recogniser | null;
  /** By file and line. */
  readonly faults: ReadonlyArray<Fault>;
}

export interface CatalogueOptions {
  /** For env: references; default `process.env`. */
  readonly env?: Environment;
}

const docs = "docs/catalogue.md";
const decodeCommon = decoderOf(CatalogueSchema, docs);
const decodeInstrument = decoderOf(InstrumentSchema, docs);

/**
 * Never throws: whatever is wrong with the files is in `faults`, each with its file and line. Files are named as `path` is, and
 * those that they name relative to it.
 */
export function loadCatalogue(path: string, options: CatalogueOptions = {}): CatalogueLoad {
  return new Loader(path, options).load();
}

/** Kinds whose files come again and again, and how old the newest may become where the catalogue does not say. */
const growsOld: ReadonlySet<string> = new Set(["covering", "timeline", "table"]);
const ageMaxMs = 7 * msPerDay;

class Loader {
  readonly #path: string;
  readonly #folder: string;
  readonly #env: Environment;
  readonly #faults: Array<Fault> = [];

  constructor(path: string, options: CatalogueOptions) {
    this.#path = path;
    this.#folder = dirname(path);
    this.#env = options.env ?? process.env;
  }

  load(): CatalogueLoad {
    const common = this.#read(this.#path, null, decodeCommon, () => []);
    if (common === null) {
      return { catalogue: null, jobs: [], files: [this.#path], recogniser: null, faults: this.#faults };
    }
    const schemes = this.#schemes(common);
    const recogniser = this.#names(common);
    const files = this.#instruments(common);
    const resolver = new Resolver({ folder: resolve(this.#folder), env: this.#env, node: undefined });
    const drivers = new Map(
      Object.entries(common.file.drivers).map(([name, driver]) => [name, driverOf(name, driver, resolver)]),
    );
    for (const finding of resolver.findings)
      this.#faults.push(faultOf(finding, common.document, common.name));
    const ages = recogniser === null ? new Map<string, number>() : this.#ages(common, recogniser);
    const { jobs, faults } = readJobs(files, { common, schemes, recogniser });
    this.#faults.push(...faults);
    // Jobs of a file that could not be read would be missed everywhere.
    if (recogniser !== null && !this.#faults.some((fault) => fault.severity === "error")) {
      this.#faults.push(...lintJobs(jobs, lintRules(common.file, recogniser)));
    }
    const read = {
      jobs,
      files: [this.#path, ...common.file.instruments.map((path) => this.#beside(path))],
      recogniser,
      faults: this.#faults.toSorted(byPlace),
    };
    if (recogniser === null || read.faults.some((fault) => fault.severity === "error")) {
      return { ...read, catalogue: null };
    }
    const { lanes, teams, products } = common.file;
    return {
      ...read,
      catalogue: {
        ...catalogueOf(jobs),
        file: resolve(this.#path),
        recogniser,
        products,
        drivers,
        lanes: new Map(Object.entries(lanes).map(([name, lane]) => [name, { name, ...lane }])),
        teams: new Map(Object.entries(teams).map(([name, team]) => [name, { name, ...team }])),
        ages,
        warnings: read.faults.length,
      },
    };
  }

  #instruments(common: Decoded<CatalogueFile>): ReadonlyArray<Decoded<InstrumentFile>> {
    const named = common.file.instruments;
    if (named.length > catalogueFilesMax) {
      this.#refuse(
        common,
        ["instruments"],
        `names more than ${catalogueFilesMax} files`,
        "put jobs together",
      );
      return [];
    }
    return named.flatMap((path, index) => {
      const from = { common, path: ["instruments", index] };
      const read = this.#read(this.#beside(path), from, decodeInstrument, tornInputs);
      return read === null ? [] : [read];
    });
  }

  #names(common: Decoded<CatalogueFile>): Recogniser | null {
    const path = this.#beside(common.file.names);
    const loaded = loadNames(path);
    if (loaded.ok) return loaded.recogniser;
    for (const problem of loaded.problems) {
      // A names file that cannot be read at all is a fault of the line that names it.
      if (problem.line === null) this.#refuse(common, ["names"], `${path} ${problem.message}`, problem.fix);
      else {
        this.#faults.push({
          severity: problem.severity,
          rule: "form",
          at: { file: path, line: problem.line },
          job: null,
          message: `${problem.path}: ${problem.message}`,
          fix: problem.fix,
        });
      }
    }
    return null;
  }

  #ages(common: Decoded<CatalogueFile>, { kinds }: Recogniser): ReadonlyMap<string, number> {
    const ages = new Map<string, number>();
    for (const { name, selection } of kinds.values()) if (growsOld.has(selection)) ages.set(name, ageMaxMs);
    for (const [kind, ms] of Object.entries(common.file.ages)) {
      if (!kinds.has(kind)) {
        const message = `${kind} is no kind of file`;
        this.#refuse(common, ["ages", kind], message, "name a kind of the names file", true);
      } else if (ms === null) ages.delete(kind);
      else ages.set(kind, ms);
    }
    return ages;
  }

  #schemes(common: Decoded<CatalogueFile>): ReadonlyMap<string, PartitionScheme> {
    const schemes = new Map<string, PartitionScheme>();
    for (const [name, window] of Object.entries(common.file.windows)) {
      const path = ["windows", name];
      if (name === "day" || name === "pointing") {
        this.#refuse(
          common,
          path,
          "is the name of a partition that there is already",
          "give it another name",
          true,
        );
      }
      const scheme = this.#scheme(name, window, path, common);
      if (scheme !== null) schemes.set(name, scheme);
    }
    return schemes;
  }

  #scheme(
    name: string,
    window: WindowFile,
    path: Path,
    common: Decoded<CatalogueFile>,
  ): PartitionScheme | null {
    const { days, boundaries, table, open } = window;
    const said = [days !== null, boundaries !== null, table !== null, open].filter(Boolean).length;
    if (said !== 1) {
      this.#refuse(
        common,
        path,
        "must say one of days, boundaries, table and open",
        "keep one of them",
        true,
      );
      return null;
    }
    if (days !== null) return { type: "days", days };
    if (boundaries !== null) {
      const fault = boundariesFault(boundaries);
      if (fault === null) return { type: "calendar", name, boundaries };
      this.#refuse(
        common,
        [...path, "boundaries"],
        fault,
        'write month and day in the year\'s order: ["0117", "0718"]',
      );
      return null;
    }
    return table === null ? { type: "open" } : this.#table(table, [...path, "table"], common);
  }

  #table(table: string, path: Path, common: Decoded<CatalogueFile>): PartitionScheme | null {
    const file = this.#beside(table);
    const text = readText(file);
    if (typeof text !== "string") {
      this.#refuse(
        common,
        path,
        `${file} ${text.message}`,
        "correct the path; it begins at this file's folder",
      );
      return null;
    }
    const parsed = parseWindowTable(text);
    if (parsed.ok) return { type: "windows", table, windows: parsed.windows };
    const at = { file, line: parsed.line };
    const fix = "columns start_date and end_date, days as 20260101, one window a line";
    this.#faults.push({ severity: "error", rule: "form", at, job: null, message: parsed.message, fix });
    return null;
  }

  /** A file's text, as YAML, by its schema; null with the faults told. `from` is where it is named. */
  #read<A>(
    name: string,
    from: { readonly common: Decoded<CatalogueFile>; readonly path: Path } | null,
    decode: (
      value: unknown,
    ) =>
      | { readonly ok: true; readonly file: A }
      | { readonly ok: false; readonly findings: ReadonlyArray<Finding> },
    torn: (value: unknown, document: SiteDocument) => ReadonlyArray<Finding>,
  ): Decoded<A> | null {
    const text = readText(name);
    if (typeof text !== "string") {
      if (from === null) {
        const finding = { path: [], value: null, message: text.message, fix: "check the path" };
        this.#faults.push(faultOf(finding, null, name));
      } else {
        this.#refuse(
          from.common,
          from.path,
          `${name} ${text.message}`,
          "correct the path; it begins at this file's folder",
        );
      }
      return null;
    }
    const document = readDocument(text, `see ${docs}`);
    for (const finding of document.findings) this.#faults.push(faultOf(finding, document, name));
    if (document.findings.length > 0) return null;
    const pieces = torn(document.value, document);
    for (const finding of pieces) this.#faults.push(faultOf(finding, document, name, "split-item"));
    const decoded = decode(document.value);
    if (decoded.ok) return pieces.length > 0 ? null : { name, document, file: decoded.file };
    for (const finding of decoded.findings) {
      // A list with a torn item is told of once.
      const isTold = pieces.some((piece) =>
        piece.path.slice(0, 3).every((part, i) => part === finding.path[i]),
      );
      if (!isTold) this.#faults.push(faultOf(finding, document, name));
    }
    return null;
  }

  #refuse(common: Decoded<unknown>, path: Path, message: string, fix: string, atKey = false): void {
    const finding: Finding = { path, atKey, value: null, message, fix };
    this.#faults.push(faultOf(finding, common.document, common.name));
  }

  #beside(path: string): string {
    return isAbsolute(path) ? path : join(this.#folder, path);
  }
}

function lintRules(file: CatalogueFile, recogniser: Recogniser): LintRules {
  return {
    isProduct: (kind) => recogniser.kinds.get(kind)?.selection === "product",
    arrives: (dataset) => file.arrives.some((pattern) => pattern.test(dataset)),
    hasSchedules: true,
    unknownFix: "correct the name, add the job that makes it, or say by arrives that it comes from outside",
    didYouMean,
  };
}

function driverOf(name: string, driver: DriverFile, resolver: Resolver): JobDriver {
  const path = ["drivers", name];
  const env = resolver.environment(driver.env, [...path, "env"]);
  if (driver.type === "docker") {
    return { type: "docker", image: driver.image, command: driver.command, env };
  }
  if (driver.type === "nomad") return { ...nomadOf(driver, [...path, "address"], resolver), env };
  return {
    type: "process",
    command: resolver.command(driver.command, [...path, "command"]),
    cwd: driver.cwd === null ? null : resolver.path(driver.cwd),
    env,
  };
}

type NomadFile = Extract<DriverFile, { readonly type: "nomad" }>;

function nomadOf(driver: NomadFile, at: Path, resolver: Resolver) {
  const { job, command, namespace, insecure, address } = driver;
  const socket = /^unix:(.+)$/.exec(address)?.[1];
  const url = socket === undefined && URL.canParse(address) ? new URL(address) : null;
  const isHttp = url !== null && /^https?:$/.test(url.protocol);
  if (socket === undefined && !isHttp) {
    resolver.refuse(at, address, "is no address of a Nomad agent", "write http://127.0.0.1:4646");
  } else if (url?.protocol === "http:" && !isLoopback(url.hostname) && !insecure) {
    const message = "plain HTTP to another machine: whoever listens may dispatch jobs, too";
    resolver.refuse(at, address, message, "write https://, or accept it with insecure: true");
  }
  return {
    type: "nomad",
    job,
    command,
    namespace,
    address: socket === undefined ? address : `unix:${resolver.path(socket)}`,
    tokenFile: driver.tokenFile === null ? null : resolver.path(driver.tokenFile),
    folder: resolver.path(driver.folder),
  } as const;
}

/** Inputs and outputs whose fields stand in several items of their list. */
function tornInputs(value: unknown, document: SiteDocument): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const jobs = isRecord(value) && isRecord(value["jobs"]) ? value["jobs"] : {};
  for (const [name, job] of Object.entries(jobs)) {
    for (const list of ["inputs", "outputs"]) {
      const items = isRecord(job) ? job[list] : null;
      if (!Array.isArray(items)) continue;
      const written = (items as ReadonlyArray<unknown>).map((item) =>
        typeof item === "string" ? { dataset: item } : item,
      );
      for (const [index, pieces] of tornItems(written, ["dataset"])) {
        if (pieces.length === 0) continue;
        const lines = pieces.map((piece) => document.lineOf(["jobs", name, list, piece])).join(", ");
        findings.push({
          path: ["jobs", name, list, index],
          value: null,
          message: `the fields of one item stand in ${pieces.length} list items (lines ${lines}): wrong indentation`,
          fix: "keep the - before dataset: only, and line its other fields up below it",
        });
      }
    }
  }
  return findings;
}

function boundariesFault(boundaries: ReadonlyArray<string>): string | null {
  if (boundaries.length === 0) return "is empty";
  for (const [index, day] of boundaries.entries()) {
    // 29 February would be no day in most years.
    const found = /^(\d{2})(\d{2})$/.exec(day);
    const date = new Date(Date.UTC(2001, Number(found?.[1]) - 1, Number(found?.[2])));
    const month = String(date.getUTCMonth() + 1).padStart(2, "0");
    if (found === null || month !== found[1] || date.getUTCDate() !== Number(found[2])) {
      return `${day} is no day of every year`;
    }
    if (index > 0 && day <= (boundaries[index - 1] ?? ""))
      return `${day} does not come after the one before it`;
  }
  return null;
}

function readText(path: string): string | { readonly message: string } {
  try {
    const about = statSync(path);
    if (!about.isFile()) return { message: "is no file" };
    if (about.size > catalogueFileBytesMax)
      return { message: `is larger than ${catalogueFileBytesMax} bytes` };
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof TypeError) return { message: "is not UTF-8 text" };
    const code = errorCode(error);
    return { message: code === "ENOENT" ? "is not there" : `cannot be read (${code})` };
  }
}
