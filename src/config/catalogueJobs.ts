/** From the files of a catalogue, each right in itself, to its jobs: what settings say of them, and that what they name is there. */
import type {
  CatalogueInput,
  CatalogueJob,
  CatalogueOutput,
  PartitionScheme,
  WindowPolicy,
} from "../jobs/catalogue.ts";
import { parseDateRange } from "../jobs/dateRange.ts";
import type { Fault, FaultRule } from "../jobs/faults.ts";
import { jobStandard } from "../jobs/import.ts";
import type { Recogniser } from "../jobs/names.ts";
import { faultOf } from "./catalogueFaults.ts";
import type { CatalogueFile, InstrumentFile, JobFile, SettingFile } from "./catalogueSchema.ts";
import type { Finding, SiteDocument } from "./document.ts";
import { didYouMean } from "./nearMiss.ts";
import { msPerDay } from "./quantity.ts";
import type { Path } from "./SiteFileError.ts";

/** A file that was read and decoded. */
export interface Decoded<A> {
  /** As it is named to people. */
  readonly name: string;
  readonly document: SiteDocument;
  readonly file: A;
}

export interface Surroundings {
  readonly common: Decoded<CatalogueFile>;
  readonly schemes: ReadonlyMap<string, PartitionScheme>;
  /** null: the names file is at fault; kinds are then not looked up. */
  readonly recogniser: Recogniser | null;
}

export interface JobsRead {
  readonly jobs: ReadonlyArray<CatalogueJob>;
  readonly faults: ReadonlyArray<Fault>;
}

/** Never throws. */
export function readJobs(
  files: ReadonlyArray<Decoded<InstrumentFile>>,
  surroundings: Surroundings,
): JobsRead {
  const reader = new Reader(surroundings);
  const jobs = files.flatMap((file) => reader.jobsOf(file));
  const isWhole = files.length === surroundings.common.file.instruments.length;
  // Of a file that could not be read it is not known what would have fitted.
  return { jobs, faults: [...reader.faults, ...(isWhole ? reader.unused() : [])] };
}

type InputFile = JobFile["inputs"][number];
type OutputFile = JobFile["outputs"][number];

const namePattern = /^[A-Za-z0-9][\w-]*\/[A-Za-z0-9][\w-]*\/[A-Za-z0-9][\w-]*$/;

const globOf = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replaceAll(/[.*+?^${}()|[\]\\]/g, (c) => (c === "*" ? "[^/]*" : `\\${c}`))}$`, "u");

class Reader {
  readonly faults: Array<Fault> = [];
  readonly #around: Surroundings;
  readonly #settings: ReadonlyArray<{
    readonly file: SettingFile;
    readonly index: number;
    readonly globs: ReadonlyArray<RegExp>;
  }>;
  readonly #used = new Set<number>();
  readonly #delivered = new Set<string>();
  readonly #kinds = new Map<string, string | null>();
  readonly #teamOf = new Map<string, string>();

  constructor(around: Surroundings) {
    this.#around = around;
    const { settings, teams } = around.common.file;
    this.#settings = settings.map((file, index) => ({ file, index, globs: file.jobs.map(globOf) }));
    for (const [team, { instruments }] of Object.entries(teams)) {
      for (const instrument of instruments) this.#teamOf.set(instrument, team);
    }
  }

  jobsOf(source: Decoded<InstrumentFile>): ReadonlyArray<CatalogueJob> {
    return Object.entries(source.file.jobs).flatMap(([name, job]) => {
      const path = ["jobs", name];
      if (namePattern.test(name) && name.startsWith(`${source.file.instrument}/`)) {
        return [this.#jobOf(name, job, source)];
      }
      this.#refuse(source, {
        path,
        atKey: true,
        value: null,
        message: `is no name for a job of ${source.file.instrument}`,
        fix: `write ${source.file.instrument}/level/descriptor`,
      });
      return [];
    });
  }

  /** What is said of jobs that there are not: a slip in a name would otherwise go unnoticed. */
  unused(): ReadonlyArray<Fault> {
    const { common } = this.#around;
    const findings: Array<Finding> = [];
    for (const { file, index } of this.#settings) {
      if (this.#used.has(index)) continue;
      const which = `${file.jobs.join(", ")}${file.partitions.length > 0 ? ` of ${file.partitions.join(", ")}` : ""}`;
      findings.push({
        path: ["settings", index, "jobs"],
        value: null,
        message: `no job is called ${which}`,
        fix: "correct the names, or remove it",
      });
    }
    for (const dataset of Object.keys(common.file.deliveredAs)) {
      if (this.#delivered.has(dataset)) continue;
      findings.push({
        path: ["deliveredAs", dataset],
        atKey: true,
        value: null,
        message: "no job has this output",
        fix: "correct the name, or remove it",
      });
    }
    return findings.map((finding) => faultOf(finding, common.document, common.name));
  }

  #jobOf(name: string, job: JobFile, source: Decoded<InstrumentFile>): CatalogueJob {
    const path = ["jobs", name];
    const said = this.#saidOf(name, job.partition);
    // Its own word comes first, then the later settings.
    const layers = [job, ...said.map(({ file }) => file).toReversed()];
    const pick = <K extends Setting>(key: K): NonNullable<JobFile[K]> | null => {
      for (const layer of layers) {
        const value = layer[key];
        if (value !== null) return value as NonNullable<JobFile[K]>;
      }
      return null;
    };
    const { instrument } = source.file;
    const { common } = this.#around;
    const team = pick("team") ?? this.#teamOf.get(instrument) ?? null;
    const lane = pick("lane") ?? instrument;
    const driver = pick("driver") ?? jobStandard.driver;
    if (team !== null) this.#known("team", team, Object.keys(common.file.teams), path, source);
    this.#known("lane", lane, Object.keys(common.file.lanes), path, source);
    this.#known("driver", driver, Object.keys(common.file.drivers), path, source);
    const partition = this.#scheme(job.partition, path, source);
    const policy = pick("policy");
    if (policy !== null && (partition.type === "day" || partition.type === "pointing")) {
      const message = `a policy is for windows, and the partition is ${job.partition}`;
      this.#refuse(source, {
        path,
        atKey: true,
        value: null,
        message,
        fix: "remove the policy, or the job from it",
      });
    }
    return {
      name,
      version: pick("version") ?? jobStandard.version,
      instrument,
      team,
      partition,
      inputs: [
        ...job.inputs.flatMap((input, index) => this.#inputOf(input, [...path, "inputs", index], source)),
        ...said.flatMap(({ file, index }) =>
          file.inputs.flatMap((input, at) => this.#inputOf(input, ["settings", index, "inputs", at], common)),
        ),
      ],
      outputs: job.outputs.flatMap((output, index) =>
        this.#outputOf(output, [...path, "outputs", index], source),
      ),
      policy: policy === null ? null : policyOf(policy),
      schedule: pick("schedule"),
      lane,
      priority: pick("priority") ?? jobStandard.priority,
      driver,
      timeLimitMs: pick("timeLimit") ?? jobStandard.timeLimitMs,
      attemptsMax: pick("attemptsMax") ?? jobStandard.attemptsMax,
      at: { file: source.name, line: source.document.lineOf(path, true) ?? 1 },
    };
  }

  #saidOf(
    name: string,
    partition: string,
  ): ReadonlyArray<{ readonly file: SettingFile; readonly index: number }> {
    const said = this.#settings.filter(
      ({ file, globs }) =>
        (file.partitions.length === 0 || file.partitions.includes(partition)) &&
        globs.some((glob) => glob.test(name)),
    );
    for (const { index } of said) this.#used.add(index);
    return said;
  }

  #scheme(word: string, path: Path, source: Decoded<InstrumentFile>): PartitionScheme {
    if (word === "pointing" || word === "day") return { type: word };
    const scheme = this.#around.schemes.get(word);
    if (scheme !== undefined) return scheme;
    const known = ["day", "pointing", ...Object.keys(this.#around.common.file.windows)];
    // A window that is declared and at fault is told there.
    if (!known.includes(word)) {
      this.#refuse(source, {
        path: [...path, "partition"],
        message: `is no partition${didYouMean(word, known)}`,
        fix: `write one of ${known.join(", ")}`,
      });
    }
    return { type: "day" };
  }

  #inputOf(input: InputFile, path: Path, source: Decoded<unknown>): ReadonlyArray<CatalogueInput> {
    const given =
      typeof input === "string"
        ? { dataset: input, required: true, triggers: true, coverage: false, range: null }
        : input;
    const kind = this.#kindOf(given.dataset, path, source);
    const range = given.range === null ? null : parseDateRange(given.range);
    if (range !== null && !range.ok) {
      const { message, fix } = range;
      this.#refuse(source, { path: [...path, "range"], value: null, message, fix }, "date-range");
    }
    return [
      {
        dataset: given.dataset,
        kind,
        required: given.required,
        triggers: given.triggers,
        range: range !== null && range.ok ? range.range : null,
        coverage: given.coverage,
        at: { file: source.name, line: source.document.lineOf(path) ?? 1 },
      },
    ];
  }

  #outputOf(output: OutputFile, path: Path, source: Decoded<unknown>): ReadonlyArray<CatalogueOutput> {
    const written = typeof output === "string" ? output : output.dataset;
    const { deliveredAs } = this.#around.common.file;
    const as = Object.hasOwn(deliveredAs, written) ? deliveredAs[written] : undefined;
    if (as !== undefined) this.#delivered.add(written);
    const dataset = as ?? written;
    return [
      {
        dataset,
        kind: this.#kindOf(dataset, path, source),
        major: typeof output === "string" ? 1 : output.major,
        at: { file: source.name, line: source.document.lineOf(path) ?? 1 },
      },
    ];
  }

  #kindOf(dataset: string, path: Path, source: Decoded<unknown>): string {
    const { recogniser, common } = this.#around;
    if (recogniser === null) return "-";
    let kind = this.#kinds.get(dataset);
    if (kind === undefined) {
      kind = recogniser.kindOf(dataset)?.name ?? null;
      this.#kinds.set(dataset, kind);
    }
    if (kind !== null) return kind;
    this.#refuse(source, {
      path,
      value: null,
      message: `no kind of file in ${common.file.names} is of the data set ${dataset}`,
      fix: "correct the data set, or declare how its files are named",
    });
    return "-";
  }

  #known(
    what: string,
    name: string,
    known: ReadonlyArray<string>,
    path: Path,
    source: Decoded<unknown>,
  ): void {
    if (known.includes(name)) return;
    this.#refuse(source, {
      path,
      atKey: true,
      value: null,
      message: `its ${what} ${name} is not declared${didYouMean(name, known)}`,
      fix: `add it to ${what}s of ${this.#around.common.name}, or use one of ${known.join(", ")}`,
    });
  }

  #refuse(source: Decoded<unknown>, finding: Finding, rule?: FaultRule): void {
    this.faults.push(faultOf(finding, source.document, source.name, rule));
  }
}

type Setting =
  | "version"
  | "team"
  | "lane"
  | "driver"
  | "priority"
  | "timeLimit"
  | "attemptsMax"
  | "schedule"
  | "policy";

const policyOf = (policy: NonNullable<JobFile["policy"]>): WindowPolicy => ({
  deadlineDays: policy.deadline / msPerDay,
  coverage: policy.coverage,
  unit: policy.unit,
});
