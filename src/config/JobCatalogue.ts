/** A job catalogue as it is loaded: the jobs, and what they name. */
import type { Catalogue } from "../jobs/catalogue.ts";
import type { Recogniser } from "../jobs/names.ts";

/** What runs jobs. */
export type JobDriver =
  | {
      readonly type: "process";
      readonly command: ReadonlyArray<string>;
      /** null: a scratch folder of the run. */
      readonly cwd: string | null;
      readonly env: Readonly<Record<string, string>>;
    }
  | {
      readonly type: "docker";
      readonly image: string;
      readonly command: ReadonlyArray<string>;
      readonly env: Readonly<Record<string, string>>;
    }
  | {
      readonly type: "nomad";
      /** Id of a parameterised job. */
      readonly job: string;
      /** Absolute, as the others. */
      readonly folder: string;
      readonly command: ReadonlyArray<string>;
      readonly env: Readonly<Record<string, string>>;
      readonly address: string;
      readonly tokenFile: string | null;
      readonly namespace: string;
    };

/** A queue of runs. */
export interface JobLane {
  readonly name: string;
  /** Runs at once on each node. */
  readonly workers: number;
  /** One run at a time for each instrument, on all nodes together. */
  readonly oneAtATime: boolean;
}

export interface Team {
  readonly name: string;
  readonly instruments: ReadonlyArray<string>;
  readonly contact: string | null;
}

/** `key`: with `{source}`, `{level}`, `{descriptor}`, `{year}`, `{month}`, `{day}` and `{name}` in it. */
export interface ProductPlace {
  readonly bucket: string;
  readonly key: string;
}

/** A catalogue, with what its jobs name. */
export interface JobCatalogue extends Catalogue {
  /** Absolute. */
  readonly file: string;
  readonly recogniser: Recogniser;
  /** Where products go; null: the jobs cannot run. */
  readonly products: ProductPlace | null;
  readonly drivers: ReadonlyMap<string, JobDriver>;
  readonly lanes: ReadonlyMap<string, JobLane>;
  readonly teams: ReadonlyMap<string, Team>;
  /** How old the newest file of a kind may become, ms. Kinds that are not here may be as old as they like. */
  readonly ages: ReadonlyMap<string, number>;
  /** How many things lint warns of. */
  readonly warnings: number;
}
