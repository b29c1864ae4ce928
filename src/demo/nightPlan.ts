/**
 * What is sent in a demonstration night, and what must have become of it at the end. Pure: the same for the same day and
 * seed, so that the account at the end compares the ledger with something that did not come from it.
 */
import { createHash } from "node:crypto";
import type { SampleFile } from "./fitsWriter.ts";
import { damage, exposureName, makeSample } from "./fitsWriter.ts";

export const nightInstrument = "LSSTCam";
export const nightBucket = "demo-raw";

export interface Night {
  /** Obs day, `YYYYMMDD`. */
  readonly day: string;
  readonly seed: number;
  /** What the quick-look waits for, `R22_S11`. */
  readonly needed: ReadonlyArray<string>;
}

export interface PlannedGroup {
  readonly instrument: string;
  readonly group: string;
  /** From 0. */
  readonly snap: number;
  readonly detector: string;
}

export type Expected =
  /** `refused`: other content came under its name, and the first stays. */
  | { readonly state: "known"; readonly refused?: true }
  | { readonly state: "parked"; readonly reason: string };

export interface Content {
  /** Null: announced, and never uploaded. */
  readonly fits: Uint8Array | null;
  readonly sidecar: Uint8Array | null;
  /** As an S3 server makes it: MD5 of the content. */
  readonly etag: string;
}

export interface PlannedObject {
  readonly bucket: string;
  readonly key: string;
  readonly sidecarKey: string;
  readonly detector: string | null;
  /** Made anew at each call: a whole night at once is not kept in memory. */
  readonly content: () => Content;
  readonly expected: Expected;
  /** Asked for at the end: present where the object is known, else absent. Null: nobody may ask. */
  readonly group: PlannedGroup | null;
  /** Announced so often, each time the same. */
  readonly times: number;
  /** Announced first and uploaded only once that has failed. */
  readonly late: boolean;
}

export interface PlannedExposure {
  readonly name: string;
  readonly seqNum: number;
  /** Sent before the others, and found waiting for them. */
  readonly early: ReadonlyArray<PlannedObject>;
  readonly objects: ReadonlyArray<PlannedObject>;
  /** Science detectors that will be known. */
  readonly science: number;
  /** False where a detector that the quick-look needs is one of the bad ones. */
  readonly complete: boolean;
}

const extras = ["R22_S00", "R22_S02", "R22_S20", "R22_S22"];
const guiders = ["R00_SG0", "R44_SG1"];
/** A sequence number that no exposure of the night reaches: its guider waits in vain. */
const orphanSeqNum = 99_001;
const groupMs = 38_000;

type Oddity =
  | "truncated"
  | "not-fits"
  | "empty"
  | "sidecar-broken"
  | "both-broken"
  | "missing"
  | "late"
  | "nulls"
  | "changed";

/** One of each in the first exposures, so that a short night has them all. `""` stands for a needed detector. */
const oddities: Readonly<Record<number, Readonly<Record<string, Oddity>>>> = {
  2: { R22_S00: "truncated" },
  3: { R22_S02: "not-fits", R22_S20: "sidecar-broken" },
  4: { R22_S22: "empty", R22_S00: "changed" },
  5: { needed: "both-broken" },
  6: { R22_S00: "missing", R22_S02: "late" },
  7: { R22_S20: "nulls" },
};

const expectations: Readonly<Record<Oddity, Expected>> = {
  truncated: { state: "parked", reason: "HeaderUnreadable" },
  "not-fits": { state: "parked", reason: "NoMetadata" },
  empty: { state: "parked", reason: "EmptyFile" },
  "sidecar-broken": { state: "known" },
  "both-broken": { state: "parked", reason: "SidecarUnreadable" },
  missing: { state: "parked", reason: "ObjectMissing" },
  late: { state: "known" },
  nulls: { state: "parked", reason: "MetadataIncomplete" },
  changed: { state: "known", refused: true },
};

const brokenJson = Buffer.from('{"INSTRUME": "lsstCam", ');

/** One exposure of the night. Of each five, the first two are the snaps of one group. */
export function planExposure(night: Night, seqNum: number): PlannedExposure {
  const place = (seqNum - 1) % 5;
  const paired = place < 2;
  const snap = place === 1 ? 1 : 0;
  const camera = {
    instrument: nightInstrument,
    day: night.day,
    seqNum,
    group: groupName(night.day, seqNum - snap, paired),
    snap,
    snaps: paired ? 2 : 1,
  } as const;
  const odd = oddities[seqNum] ?? {};
  const science = [...night.needed, ...extras.filter((detector) => !night.needed.includes(detector))];
  const objects = science.map((detector, i) => {
    const oddity = odd[detector] ?? (i === 0 ? odd["needed"] : undefined) ?? null;
    return planObject(night, camera, detector, oddity, {
      // Some come without a sidecar: then the header itself is read.
      sidecar: !(seqNum % 3 === 0 && i >= night.needed.length),
      times: seqNum % 4 === 2 ? 2 : 1,
    });
  });
  const guiding =
    seqNum % 3 === 0
      ? guiders.map((detector) => planObject(night, camera, detector, null, { sidecar: true, times: 1 }))
      : [];
  return {
    name: exposureName(camera),
    seqNum,
    // In every other exposure the guiders come first, and wait for their exposure.
    early: seqNum % 2 === 0 ? guiding : [],
    objects: seqNum % 2 === 0 ? objects : [...objects, ...guiding],
    science: objects.filter((object) => object.expected.state === "known").length,
    complete: !objects.slice(0, night.needed.length).some((object) => object.expected.state === "parked"),
  };
}

/** Objects of no exposure of the night: a guider whose exposure never comes, a key nobody understands, a bucket nobody reads. */
export function planStrays(night: Night): ReadonlyArray<PlannedObject> {
  const camera = { instrument: nightInstrument, day: night.day, seqNum: orphanSeqNum } as const;
  const orphan = planObject(night, camera, "R00_SG0", null, { sidecar: true, times: 1 });
  const flat = planObject(night, camera, "R22_S11", null, { sidecar: false, times: 1 });
  const stray = { ...flat, detector: null, group: null };
  return [
    { ...orphan, expected: { state: "parked", reason: "ExposureNeverCame" } },
    {
      ...stray,
      key: `flats/flat_${night.day}.fits`,
      sidecarKey: `flats/flat_${night.day}.json`,
      expected: { state: "parked", reason: "KeyNotUnderstood" },
    },
    {
      ...stray,
      bucket: "somebody-elses",
      key: `${night.day}/flat.fits`,
      sidecarKey: `${night.day}/flat.json`,
      expected: { state: "parked", reason: "UnknownBucket" },
    },
  ];
}

/** Content of a file that is uploaded again under its name, with other pixels. */
export function otherContent(object: PlannedObject): Content {
  const { fits, sidecar } = object.content();
  const changed = Buffer.from(fits ?? new Uint8Array(0));
  const last = changed.length - 1;
  if (last >= 0) changed[last] = (changed[last] ?? 0) ^ 0xff;
  return { fits: changed, sidecar, etag: md5(changed) };
}

function planObject(
  night: Night,
  camera: Omit<SampleFile, "raftBay" | "ccdSlot">,
  detector: string,
  oddity: Oddity | null,
  options: { readonly sidecar: boolean; readonly times: number },
): PlannedObject {
  const [raftBay = "", ccdSlot = ""] = detector.split("_");
  const sample = () =>
    makeSample({ ...camera, raftBay, ccdSlot, seed: seedOf(night, camera.seqNum, detector) });
  const { key, sidecarKey } = namesOf(camera, detector);
  const guider = ccdSlot.startsWith("SG");
  return {
    bucket: nightBucket,
    key,
    sidecarKey,
    detector,
    content: () => {
      const { fits, sidecar } = sample();
      return spoiled(fits, options.sidecar || oddity === "nulls" ? sidecar : null, oddity);
    },
    expected: oddity === null ? { state: "known" } : expectations[oddity],
    group:
      guider || camera.group == null
        ? null
        : { instrument: camera.instrument, group: camera.group, snap: camera.snap ?? 0, detector },
    times: options.times,
    late: oddity === "late",
  };
}

function spoiled(fits: Uint8Array, sidecar: Uint8Array | null, oddity: Oddity | null): Content {
  const made = (bytes: Uint8Array, beside: Uint8Array | null): Content => ({
    fits: bytes,
    sidecar: beside,
    etag: md5(bytes),
  });
  switch (oddity) {
    case null:
    case "late":
    case "changed":
      return made(fits, sidecar);
    case "truncated":
    case "not-fits":
      return made(damage(fits, oddity), null);
    case "empty":
      return made(damage(fits, oddity), sidecar);
    case "sidecar-broken":
      return made(fits, brokenJson);
    case "both-broken":
      return made(damage(fits, "truncated"), brokenJson);
    case "missing":
      return { fits: null, sidecar: null, etag: md5(fits) };
    case "nulls":
      return made(fits, withNulls(sidecar));
  }
  return oddity satisfies never;
}

function withNulls(sidecar: Uint8Array | null): Uint8Array {
  const fields = JSON.parse(Buffer.from(sidecar ?? brokenJson).toString()) as Record<string, unknown>;
  for (const name of ["DAYOBS", "SEQNUM", "OBSID"]) fields[name] = null;
  return Buffer.from(JSON.stringify(fields));
}

function namesOf(camera: Pick<SampleFile, "instrument" | "day" | "seqNum">, detector: string) {
  const exposure = exposureName(camera);
  const guider = /_SG\d$/.test(detector) ? "_guider" : "";
  const stem = `${camera.instrument}/${camera.day}/${exposure}/${exposure}_${detector}${guider}`;
  return { key: `${stem}.fits`, sidecarKey: `${stem}.json` };
}

/** The time at which the group began, as the observatory names groups; some of its names hold a `#`. */
function groupName(day: string, firstSeqNum: number, paired: boolean): string {
  const [year, month, date] = [day.slice(0, 4), day.slice(4, 6), day.slice(6, 8)].map(Number);
  const evening = Date.UTC(year ?? 0, (month ?? 1) - 1, date ?? 1, 23, 20);
  const at = new Date(evening + (firstSeqNum - 1) * groupMs - 2_143).toISOString().slice(0, 23);
  return paired ? `${at}#1` : at;
}

function seedOf(night: Night, seqNum: number, detector: string): number {
  const digest = createHash("sha256").update(`${night.seed}/${night.day}/${seqNum}/${detector}`).digest();
  return digest.readUInt32LE(0);
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

const dayPattern = /^\d{8}$/;

/** The obs day of a moment: it begins at noon UTC. */
export function obsDayOf(ms: number): string {
  return new Date(ms - 43_200_000).toISOString().slice(0, 10).replaceAll("-", "");
}

/** Tonight, or the day after the last one that was played: two nights never share a name. */
export function nextNight(played: ReadonlyArray<string>, now: number): string {
  const tonight = obsDayOf(now);
  const last = played
    .filter((name) => dayPattern.test(name))
    .sort()
    .at(-1);
  if (last === undefined || last < tonight) return tonight;
  const noon = Date.parse(`${last.slice(0, 4)}-${last.slice(4, 6)}-${last.slice(6, 8)}T12:00:00Z`);
  return obsDayOf(noon + 86_400_000 + 1);
}
