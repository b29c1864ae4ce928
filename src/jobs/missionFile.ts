/**
 * The mission's own dependency file, as it is: `(l1a, all):` with a partition, inputs and outputs. What cannot be read is refused
 * with its line, and what remains of the job is read none the less, so that one look finds everything.
 */
import type { InputRange, Place } from "./catalogue.ts";
import { parseDateRange } from "./dateRange.ts";
import { isRecord } from "./faults.ts";
import type { CatalogueDocument, Fault, FaultRule } from "./faults.ts";

export interface MissionInput {
  readonly source: string;
  /** A level, or `ancillary`, `spice`, `spin`, `repoint`. */
  readonly dataType: string;
  readonly descriptor: string;
  readonly required: boolean;
  readonly triggers: boolean;
  readonly coverage: boolean;
  readonly range: InputRange | null;
  readonly at: Place;
}

export interface MissionOutput {
  readonly source: string;
  readonly dataType: string;
  readonly descriptor: string;
  /** null: the file says none. */
  readonly major: number | null;
  readonly at: Place;
}

export interface MissionJob {
  readonly source: string;
  readonly level: string;
  readonly descriptor: string;
  /** The mission's own word: `daily`, `repoint`, `3mo`. */
  readonly partition: string;
  readonly inputs: ReadonlyArray<MissionInput>;
  readonly outputs: ReadonlyArray<MissionOutput>;
  readonly at: Place;
}

export interface MissionRead {
  readonly jobs: ReadonlyArray<MissionJob>;
  readonly faults: ReadonlyArray<Fault>;
}

/** The instrument in `imap_swe_dependencies.yaml`; null for a file of another name. */
const sourceInName = (file: string): string | null =>
  /(?:^|[\\/])imap_([a-z0-9]+)_[^\\/]*$/.exec(file)?.[1] ?? null;

/** Whose jobs a file holds: as its name says, else its first output; null where neither does. */
export const missionInstrument = ({ file, value }: CatalogueDocument): string | null =>
  sourceInName(file) ?? sourceInOutputs(value);

function sourceInOutputs(value: unknown): string | null {
  for (const job of Object.values(isRecord(value) ? value : {})) {
    const outputs =
      isRecord(job) && Array.isArray(job["outputs"]) ? (job["outputs"] as ReadonlyArray<unknown>) : [];
    for (const output of outputs) {
      if (isRecord(output) && typeof output["source"] === "string") return output["source"];
    }
  }
  return null;
}

/** Whether a file holds the mission's own form: it has a key that is a pair in parentheses. */
export const isMissionForm = (value: unknown): boolean =>
  isRecord(value) && Object.keys(value).some((key) => key.trim().startsWith("("));

export const missionPartitions: ReadonlyArray<string> = [
  "daily",
  "repoint",
  "10d",
  "30d",
  "3mo",
  "6mo",
  "1yr",
  "pointing_attitude",
];

const jobKeys = ["partition", "inputs", "outputs"];
const identityKeys = ["source", "data_type", "descriptor"];
const inputKeys = [...identityKeys, "required", "trigger_job", "require_coverage", "date_range"];
const outputKeys = [...identityKeys, "major_version"];
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]*$/;

/** Never throws. */
export function readMission(document: CatalogueDocument): MissionRead {
  const reader = new Reader(document);
  const jobs = reader.jobs();
  return { jobs, faults: reader.faults };
}

type Path = ReadonlyArray<string | number>;

class Reader {
  readonly faults: Array<Fault> = [];
  readonly #document: CatalogueDocument;
  #job: string | null = null;

  constructor(document: CatalogueDocument) {
    this.#document = document;
  }

  jobs(): ReadonlyArray<MissionJob> {
    const { value } = this.#document;
    if (!isRecord(value)) {
      this.#refuse([], "expected jobs, each below a key like (l1a, all):", "see the mission's own files");
      return [];
    }
    const source = missionInstrument(this.#document);
    if (source === null) {
      const fix = "name it imap_<instrument>_dependencies.yaml";
      this.#refuse([], "neither the file's name nor an output says whose jobs it holds", fix);
      return [];
    }
    return Object.entries(value).flatMap(([key, body]) => {
      // Inputs that several jobs share, with an anchor: `spice_basic: &spice_basic`.
      if (Array.isArray(body) && !key.trim().startsWith("(")) return [];
      const job = this.#jobOf(source, key, body);
      return job === null ? [] : [job];
    });
  }

  #jobOf(source: string, key: string, body: unknown): MissionJob | null {
    this.#job = null;
    const named = /^\(\s*([\w-]+)\s*,\s*([\w-]+)\s*\)$/.exec(key);
    const [, level = "", descriptor = ""] = named ?? [];
    if (named === null) {
      this.#refuse(
        [key],
        `${JSON.stringify(key)} names no job`,
        "write (level, descriptor): as (l1a, all):",
        true,
      );
      return null;
    }
    this.#job = `${source}/${level}/${descriptor}`;
    if (!isRecord(body)) {
      this.#refuse([key], "expected partition, inputs and outputs", "indent them below the job's name", true);
      return null;
    }
    this.#knownKeys(body, [key], jobKeys);
    const { partition } = body;
    if (typeof partition !== "string" || !missionPartitions.includes(partition)) {
      const said =
        partition === undefined ? "partition is missing" : `${JSON.stringify(partition)} is no partition`;
      this.#refuse([key, "partition"], said, `write one of ${missionPartitions.join(", ")}`);
    }
    return {
      source,
      level,
      descriptor,
      partition: typeof partition === "string" ? partition : "daily",
      inputs: this.#items(body["inputs"], [key, "inputs"], inputKeys).map(({ item, path }) =>
        this.#input(item, path),
      ),
      outputs: this.#items(body["outputs"], [key, "outputs"], outputKeys).map(({ item, path }) => ({
        ...this.#identity(item, path),
        major: this.#major(item, path),
        at: this.#itemAt(path),
      })),
      at: this.#at([key], true),
    };
  }

  /** The items of a list that are whole; what is torn apart is told once, at its first piece. */
  #items(
    list: unknown,
    path: Path,
    known: ReadonlyArray<string>,
  ): ReadonlyArray<{ readonly item: Readonly<Record<string, unknown>>; readonly path: Path }> {
    if (!Array.isArray(list)) {
      const said =
        list === undefined ? `${String(path.at(-1))} is missing` : `${String(path.at(-1))} is no list`;
      this.#refuse(path, said, "write a list of items, each beginning with - source:");
      return [];
    }
    const entries = flattened(list as ReadonlyArray<unknown>, path);
    const torn = tornItems(
      entries.map(({ item }) => item),
      identityKeys,
    );
    return entries.flatMap(({ item, path: here }, index) => {
      const pieces = torn.get(index);
      if (pieces !== undefined) {
        if (pieces.length > 0) {
          const lines = pieces.map((piece) => this.#at(entries[piece]?.path ?? path).line).join(", ");
          this.#refuse(
            here,
            `the fields of one item stand in ${pieces.length} list items (lines ${lines}): wrong indentation`,
            "keep the - before source: only, and line its other fields up below it",
            false,
            "split-item",
          );
        }
        return [];
      }
      if (!isRecord(item)) {
        this.#refuse(here, "expected source, data_type and descriptor", "write them below one -");
        return [];
      }
      this.#knownKeys(item, here, known);
      const missing = identityKeys.filter((name) => !(name in item));
      if (missing.length > 0) {
        this.#refuse(
          here,
          `${missing.join(" and ")} missing`,
          `add ${missing.map((name) => `${name}: …`).join(", ")}`,
        );
        return [];
      }
      return [{ item, path: here }];
    });
  }

  /** Where the job says it: of an item of a shared list, the line of the alias. */
  #itemAt(path: Path): Place {
    return this.#at(path.slice(0, 3));
  }

  #input(item: Readonly<Record<string, unknown>>, path: Path): MissionInput {
    return {
      ...this.#identity(item, path),
      required: this.#flag(item, path, "required", true),
      triggers: this.#flag(item, path, "trigger_job", true),
      coverage: this.#flag(item, path, "require_coverage", false),
      range: this.#range(item, path),
      at: this.#itemAt(path),
    };
  }

  #identity(
    item: Readonly<Record<string, unknown>>,
    path: Path,
  ): { readonly source: string; readonly dataType: string; readonly descriptor: string } {
    const text = (name: string): string => {
      const value = item[name];
      // YAML takes a descriptor such as 007 for a number; there is none among the mission's.
      if (typeof value === "string" && namePattern.test(value)) return value;
      this.#refuse(
        [...path, name],
        `${name} is no name: ${JSON.stringify(value)}`,
        "write letters, digits, - and _",
      );
      return "-";
    };
    return { source: text("source"), dataType: text("data_type"), descriptor: text("descriptor") };
  }

  #flag(item: Readonly<Record<string, unknown>>, path: Path, name: string, standard: boolean): boolean {
    const value = item[name];
    if (value === undefined) return standard;
    if (typeof value === "boolean") return value;
    this.#refuse([...path, name], `${name} is neither true nor false`, "write true or false, without quotes");
    return standard;
  }

  #range(item: Readonly<Record<string, unknown>>, path: Path): InputRange | null {
    if (!("date_range" in item)) return null;
    const parsed = parseDateRange(item["date_range"]);
    if (parsed.ok) return parsed.range;
    this.#refuse([...path, "date_range"], parsed.message, parsed.fix, false, "date-range");
    return null;
  }

  #major(item: Readonly<Record<string, unknown>>, path: Path): number | null {
    const value = item["major_version"];
    if (value === undefined) return null;
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 999) return Number(value);
    this.#refuse([...path, "major_version"], "major_version is no whole number from 0 to 999", "write 1");
    return null;
  }

  #knownKeys(item: Readonly<Record<string, unknown>>, path: Path, known: ReadonlyArray<string>): void {
    for (const name of Object.keys(item)) {
      if (known.includes(name)) continue;
      this.#refuse(
        [...path, name],
        `unknown key ${JSON.stringify(name)}`,
        `known here: ${known.join(", ")}`,
        true,
      );
    }
  }

  #at(path: Path, atKey = false): Place {
    return { file: this.#document.file, line: this.#document.lineOf(path, atKey) ?? 1 };
  }

  #refuse(path: Path, message: string, fix: string, atKey = false, rule: FaultRule = "form"): void {
    this.faults.push({ severity: "error", rule, at: this.#at(path, atKey), job: this.#job, message, fix });
  }
}

interface Entry {
  readonly item: unknown;
  readonly path: Path;
}

/** Lists in lists that are followed; below stands what is refused as no item. */
const nestingMax = 8;

/** An item that is itself a list, as `- *spice_basic` is, stands for its items, and so do lists in it. */
const flattened = (list: ReadonlyArray<unknown>, path: Path, depth = nestingMax): ReadonlyArray<Entry> =>
  list.flatMap((item, index): ReadonlyArray<Entry> => {
    const here = [...path, index];
    if (!Array.isArray(item) || depth === 0) return [{ item, path: here }];
    return flattened(item as ReadonlyArray<unknown>, here, depth - 1);
  });

/**
 * Which items of a list are pieces of one whose fields a wrong indentation tore apart: the first piece → all its pieces, the
 * others → []. A piece lacks a field that makes an item, and its own fields are in none of the pieces before it.
 */
export function tornItems(
  list: ReadonlyArray<unknown>,
  identity: ReadonlyArray<string>,
): ReadonlyMap<number, ReadonlyArray<number>> {
  const torn = new Map<number, ReadonlyArray<number>>();
  const keysAt = (index: number): ReadonlyArray<string> | null => {
    const item = list[index];
    return isRecord(item) ? Object.keys(item) : null;
  };
  const isWhole = (keys: ReadonlyArray<string>): boolean => identity.every((name) => keys.includes(name));
  for (let first = 0; first < list.length; first++) {
    const seen = new Set(keysAt(first) ?? []);
    const pieces = [first];
    for (let next = first + 1; next < list.length; next++) {
      const keys = keysAt(next);
      if (keys === null || keys.length === 0 || isWhole(keys) || keys.some((key) => seen.has(key))) break;
      for (const key of keys) seen.add(key);
      pieces.push(next);
    }
    if (pieces.length === 1 || !isWhole([...seen])) continue;
    for (const piece of pieces) torn.set(piece, []);
    torn.set(first, pieces);
    first = pieces.at(-1) ?? first;
  }
  return torn;
}
