/**
 * A few days of a mission, as files: everything that its jobs take and no job makes, as the catalogue itself says. Of some of it a part
 * is held back, so that there is something to ask about. The same days make the same files. Pure.
 */
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import type { CatalogueInput, CatalogueJob } from "../jobs/catalogue.ts";
import type { DatasetId, Selection } from "../jobs/dataset.ts";
import type { Instant, Range } from "../jobs/instant.ts";
import { dayOf, dayUs, formatInstant, parseInstant } from "../jobs/instant.ts";
import { plainContent, pointingOfDay, repointTable, spinTable } from "./missionContent.ts";
import { sampleName } from "./missionNames.ts";

/** What comes before what: the calendar makes a job's first run see all attitudes, and packets are there last as they are in flight. */
export const sampleStages = ["calibrations and kernels", "the table of pointings", "raw packets"] as const;
export type SampleStage = (typeof sampleStages)[number];

export interface SampleFile {
  readonly name: string;
  readonly kind: string;
  readonly dataset: DatasetId;
  readonly stage: SampleStage;
  readonly content: string;
  /** The range of its content, for its sidecar: ISO 8601, end exclusive; null where its name says it. */
  readonly range: readonly [string, string] | null;
  /** Why it has not come; null: it comes. */
  readonly heldBack: string | null;
}

const launch = parseInstant("2025-09-24") ?? 0;
const forAllTime: Range = { start: launch, end: Number.POSITIVE_INFINITY };
const halfDayUs = dayUs / 2;

/** A data set that comes from outside, and who takes it. */
interface Wanted {
  readonly dataset: DatasetId;
  readonly kind: string;
  readonly selection: Selection;
  readonly takers: ReadonlyArray<{ readonly job: CatalogueJob; readonly input: CatalogueInput }>;
}

function wantedOf(catalogue: JobCatalogue): ReadonlyArray<Wanted> {
  const wanted = new Map<DatasetId, Wanted & { readonly takers: Array<Wanted["takers"][number]> }>();
  for (const job of catalogue.jobs.values()) {
    for (const input of job.inputs) {
      const { dataset, kind } = input;
      if (catalogue.producerOf.has(dataset)) continue;
      const selection = catalogue.recogniser.kinds.get(kind)?.selection;
      if (selection === undefined) continue;
      const known = wanted.get(dataset) ?? { dataset, kind, selection, takers: [] };
      known.takers.push({ job, input });
      wanted.set(dataset, known);
    }
  }
  return [...wanted.values()].sort((a, b) => (a.dataset < b.dataset ? -1 : 1));
}

const levelOf = (job: CatalogueJob): string => job.name.split("/")[1] ?? "";

/**
 * The calibrations to hold back: of those that one job alone takes, and needs, the ones that come last in the chain, of different
 * instruments: so little else waits for them.
 */
function rareCalibrations(wanted: ReadonlyArray<Wanted>): ReadonlyArray<Wanted> {
  const candidates = wanted
    .filter(({ selection, takers }) => selection === "calibration" && takers.length === 1)
    .flatMap((one) => one.takers.map(({ job, input }) => ({ one, job, input })))
    .filter(({ job, input }) => input.required && ["day", "pointing"].includes(job.partition.type))
    .sort((a, b) => {
      const [x, y] = [levelOf(a.job), levelOf(b.job)];
      return x === y ? (a.one.dataset < b.one.dataset ? -1 : 1) : x < y ? 1 : -1;
    });
  const chosen: Array<(typeof candidates)[number]> = [];
  for (const candidate of candidates) {
    if (chosen.length < 2 && !chosen.some(({ job }) => job.instrument === candidate.job.instrument)) {
      chosen.push(candidate);
    }
  }
  return chosen.map(({ one }) => one);
}

/**
 * Throws for a kind of file whose names the sample does not know, and without days.
 * @param days first instants of consecutive ones
 */
export function missionSample(
  catalogue: JobCatalogue,
  days: ReadonlyArray<Instant>,
): ReadonlyArray<SampleFile> {
  const wanted = wantedOf(catalogue);
  return new Maker(catalogue, days, rareCalibrations(wanted)).files(wanted);
}

class Maker {
  readonly #catalogue: JobCatalogue;
  readonly #days: ReadonlyArray<Instant>;
  readonly #all: Range;
  readonly #lastDay: Range;
  readonly #rare: ReadonlyArray<Wanted>;

  constructor(catalogue: JobCatalogue, days: ReadonlyArray<Instant>, rare: ReadonlyArray<Wanted>) {
    const [first, last] = [days[0], days.at(-1)];
    if (first === undefined || last === undefined)
      throw new Error("a sample of a mission has at least one day");
    this.#catalogue = catalogue;
    this.#days = days;
    this.#all = { start: first, end: last + dayUs };
    this.#lastDay = { start: last, end: last + dayUs };
    this.#rare = rare;
  }

  files(wanted: ReadonlyArray<Wanted>): ReadonlyArray<SampleFile> {
    return wanted.flatMap((one): ReadonlyArray<SampleFile> => {
      switch (one.selection) {
        case "product":
          return this.#packets(one);
        case "calibration":
          return this.#calibration(one);
        case "timeless":
          return [this.#file(one, forAllTime, 1)];
        case "covering":
          return this.#kernels(one);
        case "timeline":
          return this.#timeline(one);
        case "table": {
          const today = { start: this.#all.end, end: this.#all.end + dayUs };
          return [this.#file(one, today, 1, { content: repointTable(this.#days) })];
        }
      }
    });
  }

  /** One file a day, or one a pointing where a job takes them so. */
  #packets(one: Wanted): ReadonlyArray<SampleFile> {
    const isOfPointing = one.takers.some(({ job }) => job.partition.type === "pointing");
    return this.#days.map((day) =>
      this.#file(one, { start: day, end: day + dayUs }, 1, {
        pointing: isOfPointing ? pointingOfDay(day) : null,
      }),
    );
  }

  #calibration(one: Wanted): ReadonlyArray<SampleFile> {
    const [never, ended] = this.#rare;
    if (one === never)
      return [this.#file(one, forAllTime, 1, { heldBack: "nobody has delivered this calibration yet" })];
    if (one !== ended || this.#days.length < 2) return [this.#file(one, forAllTime, 1)];
    const until = dayOf(this.#lastDay.start - 1);
    return [
      this.#file(one, { start: launch, end: this.#lastDay.start }, 1),
      this.#file(one, { start: this.#lastDay.start, end: Number.POSITIVE_INFINITY }, 2, {
        heldBack: `the calibration that is there ends with ${until}`,
      }),
    ];
  }

  /** Attitudes come day by day, orbits for all of it. */
  #kernels(one: Wanted): ReadonlyArray<SampleFile> {
    const isDaily = one.kind.startsWith("attitude");
    if (!isDaily) return [this.#file(one, this.#all, 1)];
    return this.#days.map((day) => this.#file(one, { start: day, end: day + dayUs }, 1));
  }

  /** Of the last day the first version reaches to noon. */
  #timeline(one: Wanted): ReadonlyArray<SampleFile> {
    const spins = (range: Range): { readonly content: string } | undefined =>
      one.kind === "spin" ? { content: spinTable(range) } : undefined;
    const noon = { ...this.#lastDay, end: this.#lastDay.start + halfDayUs };
    const whole = this.#days.slice(0, -1).map((day) => ({ start: day, end: day + dayUs }));
    const words = [formatInstant(noon.start), formatInstant(noon.end)] as const;
    return [
      ...whole.map((day) => this.#file(one, day, 1, spins(day))),
      this.#file(one, this.#lastDay, 1, { ...spins(noon), range: words }),
      this.#file(one, this.#lastDay, 2, {
        ...spins(this.#lastDay),
        heldBack: `the ${one.kind} data of ${dayOf(noon.start)} reach to ${words[1].slice(11)}`,
      }),
    ];
  }

  #file(
    { dataset, kind, selection }: Wanted,
    range: Range,
    version: number,
    more: Partial<Pick<SampleFile, "content" | "range" | "heldBack">> & {
      readonly pointing?: number | null;
    } = {},
  ): SampleFile {
    const { name } = sampleName(this.#catalogue.recogniser, {
      kind,
      dataset,
      range,
      pointing: more.pointing ?? null,
      version,
    });
    return {
      name,
      kind,
      dataset,
      stage: sampleStages[selection === "product" ? 2 : selection === "table" ? 1 : 0],
      content: more.content ?? plainContent(name, dataset),
      range: more.range ?? null,
      heldBack: more.heldBack ?? null,
    };
  }
}
