/** The files that are known, by name and by data set: what inputs are chosen from. */
import { Calendar } from "./calendar.ts";
import type { Repoint } from "./calendar.ts";
import type { DatasetFile, DatasetId, DatasetKind } from "./dataset.ts";
import type { IndexedFile } from "./indexed.ts";
import { placed } from "./indexed.ts";
import type { Instant, Range } from "./instant.ts";
import { CoveringFiles } from "./select/CoveringFiles.ts";
import { ProductFiles } from "./select/ProductFiles.ts";
import { byDate, byVersion, RankedFiles } from "./select/RankedFiles.ts";
import { compareText } from "./select/sorted.ts";
import { TimelineFiles } from "./select/TimelineFiles.ts";
import { compareVersions } from "./version.ts";
import type { Version } from "./version.ts";

export type DatasetFiles =
  | { readonly selection: "product"; readonly files: ProductFiles }
  | { readonly selection: "calibration" | "timeless" | "table"; readonly files: RankedFiles }
  | { readonly selection: "covering"; readonly files: CoveringFiles }
  | { readonly selection: "timeline"; readonly files: TimelineFiles };

/** A file that came, went, or lies elsewhere in time than before. */
export interface FileChange {
  readonly file: DatasetFile;
  /** Where what is done can become stale: all of its range where nothing better is known. */
  readonly anew: ReadonlyArray<Range>;
}

interface Known {
  readonly file: IndexedFile;
  /** Null while the calendar does not have its pointing. */
  placed: DatasetFile | null;
}

interface Count {
  readonly dataset: DatasetId;
  readonly kind: string;
  readonly files: number;
  /** The name of one of them. */
  readonly example: string;
}

interface Table {
  readonly name: string;
  readonly start: Instant;
  readonly version: Version;
  readonly repoints: ReadonlyArray<Repoint>;
}

export class FileIndex {
  readonly #kinds: ReadonlyMap<string, DatasetKind>;
  readonly #byName = new Map<string, Known>();
  readonly #byPointing = new Map<number, Set<Known>>();
  readonly #datasets = new Map<DatasetId, DatasetFiles>();
  /** Files of each data set, wherever they lie. */
  readonly #counts = new Map<DatasetId, { readonly kind: string; files: number }>();
  readonly #tables = new Map<string, Table>();
  #calendar = Calendar.empty;

  constructor(kinds: ReadonlyMap<string, DatasetKind>) {
    this.#kinds = kinds;
  }

  get calendar(): Calendar {
    return this.#calendar;
  }

  get size(): number {
    return this.#byName.size;
  }

  kind(name: string): DatasetKind | undefined {
    return this.#kinds.get(name);
  }

  /** As it stands under this name, wherever it lies. */
  known(name: string): IndexedFile | undefined {
    return this.#byName.get(name)?.file;
  }

  /** Where the calendar knows its place. */
  placed(name: string): DatasetFile | undefined {
    return this.#byName.get(name)?.placed ?? undefined;
  }

  /** The files of a data set, none yet included; null for a kind that nobody declared. */
  dataset(dataset: DatasetId, kind: string): DatasetFiles | null {
    const found = this.#datasets.get(dataset);
    if (found !== undefined) return found;
    const declared = this.#kinds.get(kind);
    if (declared === undefined) return null;
    const made = emptyFiles(declared.selection);
    this.#datasets.set(dataset, made);
    return made;
  }

  /** How many files there are of each data set, those included of whose place in time nothing is known yet. */
  *counts(): Generator<Count> {
    const examples = new Map<DatasetId, string>();
    for (const { file } of this.#byName.values()) {
      if (!examples.has(file.dataset)) examples.set(file.dataset, file.name);
      if (examples.size === this.#counts.size) break;
    }
    for (const [dataset, { kind, files }] of this.#counts) {
      yield { dataset, kind, files, example: examples.get(dataset) ?? "" };
    }
  }

  #count({ dataset, kind }: IndexedFile, by: 1 | -1): void {
    const count = this.#counts.get(dataset);
    if (count === undefined) this.#counts.set(dataset, { kind, files: by });
    else if ((count.files += by) === 0) this.#counts.delete(dataset);
  }

  /** Null where nothing that jobs see changed. The name must not be known. */
  add(file: IndexedFile): FileChange | null {
    const known: Known = { file, placed: null };
    this.#byName.set(file.name, known);
    this.#count(file, 1);
    if (file.pointing !== null) {
      const same = this.#byPointing.get(file.pointing);
      if (same === undefined) this.#byPointing.set(file.pointing, new Set([known]));
      else same.add(known);
    }
    return this.#place(known);
  }

  remove(name: string): FileChange | null {
    const known = this.#byName.get(name);
    if (known === undefined) return null;
    this.#byName.delete(name);
    this.#count(known.file, -1);
    if (known.file.pointing !== null) this.#byPointing.get(known.file.pointing)?.delete(known);
    return this.#displace(known);
  }

  #place(known: Known): FileChange | null {
    const file = placed(known.file, this.#calendar);
    known.placed = file;
    if (file === null) return null;
    const files = this.dataset(file.dataset, file.kind);
    if (files === null) return null;
    if (files.selection === "covering") return { file, anew: files.files.add(file) ?? [file.range] };
    files.files.add(file);
    return { file, anew: [file.range] };
  }

  #displace(known: Known): FileChange | null {
    const file = known.placed;
    known.placed = null;
    if (file === null) return null;
    this.dataset(file.dataset, file.kind)?.files.remove(file);
    return { file, anew: [file.range] };
  }

  /**
   * @returns the files that lie elsewhere now, and the numbers of the pointings that came, went or were moved
   */
  setTable(
    name: string,
    table: Omit<Table, "name"> | null,
  ): { readonly moved: ReadonlyArray<FileChange>; readonly pointings: ReadonlyArray<number> } {
    if (table === null) {
      if (!this.#tables.delete(name)) return { moved: [], pointings: [] };
    } else this.#tables.set(name, { name, ...table });
    const tables = [...this.#tables.values()].sort(
      (a, b) => a.start - b.start || compareVersions(a.version, b.version) || compareText(a.name, b.name),
    );
    const calendar = Calendar.of(tables.map((one) => one.repoints));
    const pointings = this.#calendar.changed(calendar);
    const moving = pointings.flatMap((pointing) => [...(this.#byPointing.get(pointing) ?? [])]);
    const moved = moving.flatMap((known) => this.#displace(known) ?? []);
    this.#calendar = calendar;
    for (const known of moving) {
      const change = this.#place(known);
      if (change !== null) moved.push(change);
    }
    return { moved, pointings };
  }
}

function emptyFiles(selection: DatasetKind["selection"]): DatasetFiles {
  switch (selection) {
    case "product":
      return { selection, files: new ProductFiles() };
    case "covering":
      return { selection, files: new CoveringFiles() };
    case "timeline":
      return { selection, files: new TimelineFiles() };
    case "table":
      return { selection, files: new RankedFiles(byDate) };
    default:
      return { selection, files: new RankedFiles(byVersion) };
  }
}
