/**
 * What is wrong with a catalogue as a whole, whichever form it was written in: who makes what, and whether it can ever be made.
 * What is wrong with one file's form its reader tells.
 */
import type { CatalogueInput, CatalogueJob, Place } from "./catalogue.ts";
import type { DatasetId } from "./dataset.ts";
import { byPlace } from "./faults.ts";
import type { Fault, FaultRule } from "./faults.ts";
import { catalogueOf } from "./import.ts";

export interface LintRules {
  /** Whether files of this kind are data products: a partition exists because of them, and somebody must make or deliver them. */
  readonly isProduct: (kind: string) => boolean;
  /** Data sets that come from outside. */
  readonly arrives: (dataset: DatasetId) => boolean;
  /** Whether the form can say schedules: where it cannot, a job without data products among its inputs may still have one. */
  readonly hasSchedules: boolean;
  /** What is to be done about a data product that nobody makes. */
  readonly unknownFix: string;
  /** ` (did you mean …?)` where one that is known is near it, else nothing. */
  readonly didYouMean: (dataset: DatasetId, known: Iterable<DatasetId>) => string;
}

/** The mission's own: raw packets arrive, all other science is made, and its files say no schedules. */
export const missionRules: LintRules = {
  isProduct: (kind) => kind === "science",
  arrives: (dataset) => /^[^/]+\/l0\/raw$/.test(dataset),
  hasSchedules: false,
  unknownFix: "correct the name, or add the job that makes it",
  didYouMean: () => "",
};

/** @param jobs every job that was written, also two of one name. Errors and warnings, by file and line. */
export function lintJobs(jobs: ReadonlyArray<CatalogueJob>, rules: LintRules): ReadonlyArray<Fault> {
  return new Linter(jobs, rules).faults().toSorted(byPlace);
}

const placeOf = ({ file, line }: Place): string => `${file}:${line}`;

/** The producer is needed before the partition: the last ones before it are of other partitions, even of the job's own. */
const isOfSamePartition = (input: CatalogueInput): boolean => input.range?.type !== "last";

class Linter {
  readonly #all: ReadonlyArray<CatalogueJob>;
  readonly #rules: LintRules;
  readonly #jobs: ReadonlyMap<string, CatalogueJob>;
  readonly #producerOf: ReadonlyMap<DatasetId, CatalogueJob>;
  readonly #found: Array<Fault> = [];

  constructor(all: ReadonlyArray<CatalogueJob>, rules: LintRules) {
    this.#all = all;
    this.#rules = rules;
    const { jobs, producerOf } = catalogueOf(all);
    this.#jobs = jobs;
    this.#producerOf = producerOf;
  }

  faults(): ReadonlyArray<Fault> {
    this.#twice();
    this.#levels();
    const unknown = this.#unknownProducers();
    const inCycles = this.#cycles();
    this.#unreachable(new Set([...unknown, ...inCycles]));
    return this.#found;
  }

  #twice(): void {
    const producers = new Map<DatasetId, { readonly job: CatalogueJob; readonly at: Place }>();
    for (const job of this.#all) {
      const same = this.#jobs.get(job.name);
      if (same !== undefined && same !== job) {
        this.#tell(
          "two-producers",
          job.at,
          job,
          `the job ${job.name} is also at ${placeOf(same.at)}`,
          "keep one of the two",
        );
        continue;
      }
      for (const { dataset, at } of job.outputs) {
        const other = producers.get(dataset);
        if (other === undefined) {
          producers.set(dataset, { job, at });
          continue;
        }
        const who = other.job === job ? "by this job already" : `also by ${other.job.name}`;
        const message = `${dataset} is made ${who} (${placeOf(other.at)})`;
        this.#tell("two-producers", at, job, message, "leave it to one of the two");
      }
    }
  }

  #levels(): void {
    for (const job of this.#jobs.values()) {
      const [, level = ""] = job.name.split("/");
      for (const { dataset, at } of job.outputs) {
        const [source, ofOutput = ""] = dataset.split("/");
        // What a job makes for others under a name of its own, a kernel, has no level of the instrument's.
        if (source !== job.instrument || ofOutput === level) continue;
        const message = `the output ${dataset} has level ${ofOutput}, its job has ${level}`;
        this.#tell("level", at, job, message, "nothing, if it is meant", "warning");
      }
    }
  }

  #isMissing(input: CatalogueInput): boolean {
    return (
      this.#rules.isProduct(input.kind) &&
      !this.#rules.arrives(input.dataset) &&
      !this.#producerOf.has(input.dataset)
    );
  }

  /** Data products that are there, or will be. */
  #producible(): ReadonlyArray<DatasetId> {
    const outside = [...this.#jobs.values()].flatMap((job) =>
      job.inputs.flatMap(({ dataset }) => (this.#rules.arrives(dataset) ? [dataset] : [])),
    );
    return [...this.#producerOf.keys(), ...outside];
  }

  #unknownProducers(): ReadonlyArray<string> {
    return [...this.#jobs.values()].flatMap((job) => {
      const missing = job.inputs.filter((input) => this.#isMissing(input));
      for (const { dataset, kind, at } of missing) {
        const meant = this.#rules.didYouMean(dataset, this.#producible());
        const message = `no job makes ${dataset}, a data product of kind ${kind}${meant}`;
        this.#tell("unknown-producer", at, job, message, this.#rules.unknownFix);
      }
      return missing.length > 0 ? [job.name] : [];
    });
  }

  /** Producers that a job waits for, each with the input that names it. */
  #upstream(job: CatalogueJob): ReadonlyMap<string, CatalogueInput> {
    const out = new Map<string, CatalogueInput>();
    for (const input of job.inputs) {
      const producer = this.#producerOf.get(input.dataset);
      if (producer !== undefined && isOfSamePartition(input) && !out.has(producer.name)) {
        out.set(producer.name, input);
      }
    }
    return out;
  }

  /** Tells each cycle once. Returns the jobs in one. */
  #cycles(): ReadonlyArray<string> {
    const upstream = new Map([...this.#jobs.values()].map((job) => [job.name, this.#upstream(job)]));
    const left = new Set(this.#jobs.keys());
    const prune = (): void => {
      const free = (name: string): boolean =>
        ![...(upstream.get(name)?.keys() ?? [])].some((producer) => left.has(producer));
      for (let before = -1; before !== left.size;) {
        before = left.size;
        for (const name of left) if (free(name)) left.delete(name);
      }
    };
    const inCycles: Array<string> = [];
    // What is left after pruning waits for something that is left: walking upstream must come back to where it was.
    for (prune(); left.size > 0; prune()) {
      const walked: Array<string> = [];
      let [here = ""] = left;
      while (!walked.includes(here)) {
        walked.push(here);
        here = [...(upstream.get(here)?.keys() ?? [])].find((producer) => left.has(producer)) ?? here;
      }
      const cycle = walked.slice(walked.indexOf(here));
      this.#tellCycle(cycle, upstream);
      for (const name of cycle) left.delete(name);
      inCycles.push(...cycle);
    }
    return inCycles;
  }

  /** @param cycle each waits for the one behind it, the last for the first */
  #tellCycle(
    cycle: ReadonlyArray<string>,
    upstream: ReadonlyMap<string, ReadonlyMap<string, CatalogueInput>>,
  ): void {
    const [first = "", second = first] = cycle;
    const job = this.#jobs.get(first);
    const input = upstream.get(first)?.get(second);
    if (job === undefined || input === undefined) return;
    const way = [...cycle, first].join(" needs ");
    const fix = 'take one input out, or let it take the last before the partition: range ["-1l"]';
    this.#tell("cycle", input.at, job, `jobs wait for each other: ${way}`, fix);
  }

  /** @param told jobs of which it is said already why they cannot start */
  #unreachable(told: ReadonlySet<string>): void {
    const reachable = new Set<string>();
    const canCome = (input: CatalogueInput): boolean => {
      const producer = this.#producerOf.get(input.dataset);
      return this.#rules.arrives(input.dataset) || (producer !== undefined && reachable.has(producer.name));
    };
    for (let before = -1; before !== reachable.size;) {
      before = reachable.size;
      for (const job of this.#jobs.values()) if (this.#why(job, canCome) === null) reachable.add(job.name);
    }
    for (const job of this.#jobs.values()) {
      if (reachable.has(job.name) || told.has(job.name)) continue;
      const why = this.#why(job, canCome);
      if (why !== null) this.#tell("unreachable", why.at, job, `can never start: ${why.message}`, why.fix);
    }
  }

  /** Why a job cannot start, given which inputs can come; null when it can. */
  #why(
    job: CatalogueJob,
    canCome: (input: CatalogueInput) => boolean,
  ): { readonly at: Place; readonly message: string; readonly fix: string } | null {
    const products = job.inputs.filter(
      (input) => this.#rules.isProduct(input.kind) && isOfSamePartition(input),
    );
    if (products.length === 0) {
      if (job.schedule !== null || (!this.#rules.hasSchedules && job.inputs.length > 0)) return null;
      const message = "it has no data product among its inputs and no schedule";
      return { at: job.at, message, fix: "add a schedule, or the input that it is made of" };
    }
    const required = products.filter((input) => input.required);
    const missing =
      required.length > 0
        ? required.find((input) => !canCome(input))
        : products.some(canCome)
          ? undefined
          : products[0];
    if (missing === undefined) return null;
    const producer = this.#producerOf.get(missing.dataset);
    const from =
      producer === undefined
        ? "which nobody makes"
        : `which ${producer.name} makes, and that cannot start either`;
    return {
      at: missing.at,
      message: `it needs ${missing.dataset}, ${from}`,
      fix: "mend what that waits for",
    };
  }

  #tell(
    rule: FaultRule,
    at: Place,
    job: CatalogueJob,
    message: string,
    fix: string,
    severity: Fault["severity"] = "error",
  ): void {
    this.#found.push({ severity, rule, at, job: job.name, message, fix });
  }
}
