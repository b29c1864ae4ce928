/** What is wrong with a catalogue, or with the mission's files that it is imported from: always with its file and line. */
import type { Place } from "./catalogue.ts";

export type FaultRule =
  /** The file is not what it should be: no YAML, an unknown key, a value of the wrong type. */
  | "form"
  /** The fields of one input or output stand in several list items. */
  | "split-item"
  /** A date range that cannot be read, or that no resolver could follow. */
  | "date-range"
  | "unknown-producer"
  | "two-producers"
  | "cycle"
  | "unreachable"
  /** An output has another level than its job. */
  | "level";

export interface Fault {
  /** `error`: refused. `warning`: allowed, and perhaps not meant. */
  readonly severity: "error" | "warning";
  readonly rule: FaultRule;
  readonly at: Place;
  /** Name of the job; null where the fault is of the file as a whole. */
  readonly job: string | null;
  readonly message: string;
  readonly fix: string;
}

/** In the order of files and lines. */
export const byPlace = (a: Fault, b: Fault): number =>
  (a.at.file < b.at.file ? -1 : a.at.file > b.at.file ? 1 : 0) || a.at.line - b.at.line;

/**
 * A YAML file, read elsewhere: plain values, and the line of everything in them. Whoever reads the text also tells what is wrong
 * with it as text.
 */
export interface CatalogueDocument {
  /** As it is named in faults. */
  readonly file: string;
  readonly value: unknown;
  /** The line, from 1, of the nearest thing on the path that is in the file. */
  readonly lineOf: (path: ReadonlyArray<string | number>, atKey?: boolean) => number | null;
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
