/** What a file is, as its name (and, where it says more, its content) tells: the facts that jobs are decided on. */
import type { Range } from "./instant.ts";
import type { Version } from "./version.ts";

/**
 * How the files for one input are chosen among all of a data set.
 *
 * - `product`      the highest version of each identity (date or pointing) that overlaps the partition
 * - `calibration`  one file whose range covers the partition: highest version, then latest start
 * - `timeless`     the highest version there is
 * - `covering`     must cover the whole partition; files grow: compared by generation of each instant, not by name
 * - `timeline`     every one that overlaps, less those whose days files of higher version cover
 * - `table`        the newest table, whose rows the calendar is read from
 */
export type Selection = "product" | "calibration" | "timeless" | "covering" | "timeline" | "table";

/**
 * `<source>/<level>/<descriptor>`, as `swe/l1b/sci`, `swapi/ancillary/efficiency-lut`, `leapseconds/spice/historical`: what an
 * input asks for and an output provides.
 */
export type DatasetId = string;

export const datasetId = (source: string, level: string, descriptor: string): DatasetId =>
  `${source}/${level}/${descriptor}`;

/** A kind of file, as `names:` of a mission declares it. */
export interface DatasetKind {
  /** `science`, `ancillary`, `spin`, `leapseconds`, …: a word of the mission's own. */
  readonly name: string;
  readonly selection: Selection;
  /** False: a new file of this kind never makes a done partition stale, whatever a job says (leap seconds, predictions). */
  readonly makesStale: boolean;
  /** Inputs of one job whose kinds share this word are one slot: one covering kind is enough, all that cover are handed over. */
  readonly alternatives: string | null;
  /** Its content may have another range than its name says; then that is given with the file. */
  readonly rangeGiven: boolean;
}

/** One known file, as the resolver sees it. */
export interface DatasetFile {
  /** File name without folders: within a mission, one name is one file. */
  readonly name: string;
  /** Tag of its content. */
  readonly content: string;
  readonly kind: string;
  readonly dataset: DatasetId;
  /** Range of its data. Of its content where that is known, of the product's partition, else of its name. */
  readonly range: Range;
  /** Pointing number, where that is the time key; its range is then the pointing's. */
  readonly pointing: number | null;
  readonly version: Version;
}
