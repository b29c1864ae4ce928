/**
 * Reads a catalogue to judge it, in whichever form it is: the mission's dependency files, or our own YAML. A file alone is judged
 * with the others of its folder, because producers stand in other files than those that need them; only its own faults are told.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { catalogueFileBytesMax, catalogueFilesMax } from "../limits.ts";
import type { CatalogueJob } from "../jobs/catalogue.ts";
import { byPlace } from "../jobs/faults.ts";
import type { CatalogueDocument, Fault } from "../jobs/faults.ts";
import { importMission } from "../jobs/import.ts";
import { lintJobs, missionRules } from "../jobs/lint.ts";
import { isMissionForm, missionInstrument } from "../jobs/missionFile.ts";
import type { MissionJob } from "../jobs/missionFile.ts";
import { loadCatalogue } from "./catalogue.ts";
import { faultOf } from "./catalogueFaults.ts";
import { isRecord } from "./decode.ts";
import { readDocument } from "./document.ts";
import { errorCode } from "./references.ts";
import type { Environment } from "./references.ts";

export interface Judged {
  /** Files that were asked for. */
  readonly files: ReadonlyArray<string>;
  /** Jobs of those files. */
  readonly jobs: ReadonlyArray<CatalogueJob>;
  /** As the mission's files say them; empty for our own form. */
  readonly mission: ReadonlyArray<MissionJob>;
  /** By file and line. */
  readonly faults: ReadonlyArray<Fault>;
  /** Whether files of a kind are data products. */
  readonly isProduct: (kind: string) => boolean;
}

export type Judgement =
  | { readonly ok: true; readonly judged: Judged }
  /** Nothing was judged: what was named is not there, or holds no catalogue. */
  | { readonly ok: false; readonly message: string };

interface Read {
  readonly document: CatalogueDocument;
  readonly faults: ReadonlyArray<Fault>;
}

const yamlName = /\.ya?ml$/;
const common = "catalogue.yaml";

/** @param paths files and folders, as faults shall name them. Never throws. */
export function judgeCatalogue(paths: ReadonlyArray<string>, env?: Environment): Judgement {
  const mission = new Map<string, Read>();
  const parts: Array<Judged> = [];
  for (const path of paths) {
    const entries = filesAt(path);
    if (!entries.ok) return entries;
    if (entries.isFolder && entries.files.includes(join(path, common))) {
      parts.push(judgeOwn(join(path, common), null, env));
      continue;
    }
    const reads = new Map(entries.files.map((file) => [file, readFile(file)]));
    const found = [...reads].filter(([file, read]) => isMission(file, read));
    if (!entries.isFolder && found.length === 0) {
      parts.push(judgeFile(path, reads.get(path), env));
      continue;
    }
    if (found.length === 0) {
      return { ok: false, message: `${path} holds neither ${common} nor the mission's dependency files` };
    }
    for (const [file, read] of found) mission.set(file, read);
  }
  if (mission.size > 0) parts.push(judgeMission(mission));
  return { ok: true, judged: joined(parts) };
}

/** Our own form. @param only faults and jobs of this file alone; null: of all */
function judgeOwn(catalogue: string, only: string | null, env: Environment | undefined): Judged {
  const load = loadCatalogue(catalogue, env === undefined ? {} : { env });
  const { recogniser } = load;
  const isAsked = (file: string): boolean => only === null || file === only;
  return {
    files: only === null ? load.files : [only],
    jobs: load.jobs.filter((job) => isAsked(job.at.file)),
    mission: [],
    faults: load.faults.filter((fault) => isAsked(fault.at.file)),
    isProduct: (kind) => recogniser?.kinds.get(kind)?.selection === "product",
  };
}

/** A file that is not of the mission's form: catalogue.yaml itself, or one that the catalogue.yaml beside it names. */
function judgeFile(path: string, read: Read | undefined, env: Environment | undefined): Judged {
  const value = read?.document.value;
  if (isRecord(value) && "instruments" in value) return judgeOwn(path, null, env);
  const beside = join(dirname(path), common);
  if (filesAt(beside).ok) {
    const judged = judgeOwn(beside, path, env);
    if (judged.jobs.length > 0 || judged.faults.length > 0) return judged;
  }
  const at = { file: path, line: 1 };
  const told = read?.faults ?? [];
  const stranger: Fault = {
    severity: "error",
    rule: "form",
    at,
    job: null,
    message: `no ${common} beside it names it, and it holds no jobs of the mission's form, (l1a, all):`,
    fix: `add it to instruments of ${beside}`,
  };
  return {
    files: [path],
    jobs: [],
    mission: [],
    faults: told.length > 0 ? told : [stranger],
    isProduct: missionRules.isProduct,
  };
}

function judgeMission(asked: ReadonlyMap<string, Read>): Judged {
  const instruments = new Set([...asked.values()].map(({ document }) => missionInstrument(document)));
  const beside = [...new Set([...asked.keys()].map((file) => dirname(file)))].flatMap((folder) => {
    const entries = filesAt(folder);
    return (
      (entries.ok ? entries.files : [])
        .filter((file) => !asked.has(file) && /^imap_[^/]*_dependencies\.ya?ml$/.test(basename(file)))
        .map((file): readonly [string, Read] => [file, readFile(file)])
        // A file that is asked for stands for its instrument.
        .filter(([, { document }]) => !instruments.has(missionInstrument(document)))
    );
  });
  const reads = [...asked.values(), ...beside.map(([, read]) => read)];
  const isAsked = (at: { readonly file: string }): boolean => asked.has(at.file);
  const unreadable = reads.some((read) => read.faults.length > 0);
  const imported = importMission(
    reads.filter((read) => read.faults.length === 0).map((read) => read.document),
  );
  const faults = [
    ...reads.flatMap((read) => read.faults),
    ...imported.faults,
    // Jobs of a file that could not be read would be missed everywhere.
    ...(unreadable ? [] : lintJobs(imported.jobs, missionRules)),
  ];
  return {
    files: [...asked.keys()],
    jobs: imported.jobs.filter((job) => isAsked(job.at)),
    mission: imported.mission.filter((job) => isAsked(job.at)),
    faults: faults.filter((fault) => isAsked(fault.at)).toSorted(byPlace),
    isProduct: missionRules.isProduct,
  };
}

function joined(parts: ReadonlyArray<Judged>): Judged {
  return {
    files: parts.flatMap((part) => part.files),
    jobs: parts.flatMap((part) => part.jobs),
    mission: parts.flatMap((part) => part.mission),
    faults: parts.flatMap((part) => part.faults).toSorted(byPlace),
    isProduct: (kind) => parts.some((part) => part.isProduct(kind)),
  };
}

/** By what it holds; by its name where it is no YAML. */
const isMission = (file: string, read: Read): boolean =>
  read.document.value === undefined
    ? /^imap_[^/]*_dependencies/.test(basename(file))
    : isMissionForm(read.document.value);

type Entries =
  | { readonly ok: true; readonly isFolder: boolean; readonly files: ReadonlyArray<string> }
  | { readonly ok: false; readonly message: string };

function filesAt(path: string): Entries {
  try {
    if (!statSync(path).isDirectory()) return { ok: true, isFolder: false, files: [path] };
    const names = readdirSync(path)
      .filter((name) => yamlName.test(name))
      .toSorted();
    if (names.length > catalogueFilesMax) {
      return { ok: false, message: `${path} holds more than ${catalogueFilesMax} YAML files` };
    }
    return { ok: true, isFolder: true, files: names.map((name) => join(path, name)) };
  } catch (error) {
    const code = errorCode(error);
    return {
      ok: false,
      message: code === "ENOENT" ? `there is no ${path}` : `${path} cannot be read (${code})`,
    };
  }
}

function readFile(file: string): Read {
  const failed = (message: string): Read => ({
    document: { file, value: undefined, lineOf: () => null },
    faults: [faultOf({ path: [], value: null, message, fix: "is it the right file?" }, null, file)],
  });
  try {
    if (statSync(file).size > catalogueFileBytesMax)
      return failed(`is larger than ${catalogueFileBytesMax} bytes`);
    const document = readDocument(
      new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file)),
      "see docs/catalogue.md",
    );
    return {
      document: { file, value: document.value, lineOf: document.lineOf },
      faults: document.findings.map((finding) => faultOf(finding, document, file)),
    };
  } catch (error) {
    return failed(error instanceof TypeError ? "is not UTF-8 text" : `cannot be read (${errorCode(error)})`);
  }
}
