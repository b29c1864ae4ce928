/** The load of the `butler` bench: files of whole focal planes on disk, each with a sidecar as large as the camera's own. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { IngestItem } from "../src/drivers/Driver.ts";
import type { LabItem } from "../test/support/butler.ts";
import { bucket } from "./stage.ts";

export const butlerDay = "20260101";

const sample = join(
  import.meta.dirname,
  "../samples/LSSTCam/20260101/MC_O_20260101_000001/MC_O_20260101_000001_R22_S11.json",
);
/** Real sidecars of the camera hold about 5 KiB in 190 fields. */
const fillers = 145;
const rafts = "R01 R02 R03 R10 R11 R12 R13 R14 R20 R21 R22 R23 R24 R30 R31 R32 R33 R34 R41 R42 R43".split(
  " ",
);
const detectors = rafts.flatMap((raft) =>
  Array.from({ length: 9 }, (_, i) => ({ raft, slot: `S${Math.floor(i / 3)}${i % 3}` })),
);
const firstAt = Date.UTC(2026, 0, 1, 13);
const cadenceMs = 10_000;

export interface ButlerFile {
  readonly key: string;
  readonly uri: string;
  readonly header: Readonly<Record<string, unknown>>;
}

const iso = (at: number): string => new Date(at).toISOString().slice(0, -1);

/** Makes files under `<root>/<bucket>/`, never the same one twice: 189 to an exposure, the last one begun may have fewer. */
export class ButlerFiles {
  readonly #root: string;
  readonly #template: Readonly<Record<string, unknown>>;
  #exposures = 0;

  constructor(root: string) {
    this.#root = root;
    const fields = JSON.parse(readFileSync(sample, "utf8")) as Record<string, unknown>;
    const filler = Array.from({ length: fillers }, (_, i) => [
      `AUX${String(i).padStart(3, "0")}`,
      (i + 1) / 7,
    ]);
    this.#template = {
      ...Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith("HIERARCH"))),
      ...Object.fromEntries(filler),
    };
  }

  take(count: number): ReadonlyArray<ButlerFile> {
    const files: Array<ButlerFile> = [];
    while (files.length < count) {
      const seq = ++this.#exposures;
      for (const detector of detectors.slice(0, count - files.length))
        files.push(this.#write(seq, detector.raft, detector.slot));
    }
    return files;
  }

  #write(seq: number, raft: string, slot: string): ButlerFile {
    const name = `MC_O_${butlerDay}_${String(seq).padStart(6, "0")}`;
    const key = `LSSTCam/${butlerDay}/${name}/${name}_${raft}_${slot}.fits`;
    const begin = firstAt + seq * cadenceMs;
    const header = {
      ...this.#template,
      SEQNUM: seq,
      OBSID: name,
      GROUPID: iso(begin - 2_143),
      "DATE-BEG": iso(begin),
      "DATE-END": iso(begin + 5_000),
      RAFTBAY: raft,
      CCDSLOT: slot,
    };
    const at = join(this.#root, bucket, key);
    mkdirSync(join(at, ".."), { recursive: true });
    writeFileSync(at, "SIMPLE  =                    T");
    writeFileSync(at.replace(/fits$/, "json"), JSON.stringify(header));
    return { key, uri: pathToFileURL(at).href, header };
  }
}

export const labItemOf = ({ key, uri, header }: ButlerFile): LabItem => ({ key, uri, kind: "raw", header });

/** As a node would hand it to its driver. */
export const ingestItemOf = ({ key, uri, header }: ButlerFile): IngestItem => ({
  record: `file.camera.${butlerDay}.${bucket}/${key}`,
  bucket,
  key,
  uri,
  etag: `etag of ${key}`,
  size: 30,
  identity: {
    instrument: "LSSTCam",
    day: butlerDay,
    exposure: String(header["OBSID"]),
    group: String(header["GROUPID"]),
    snap: 0,
    detector: `${String(header["RAFTBAY"])}_${String(header["CCDSLOT"])}`,
    seq: Number(header["SEQNUM"]),
  },
  header,
  dependent: false,
});
