/**
 * A night of a large camera as it is announced: which files come, in which order and when, and what must have become of them. Pure:
 * the same for the same shape, so that what the site says afterwards is compared with something that did not come from it.
 */
import { exposureName } from "../src/demo/fitsWriter.ts";

export const instrument = "LSSTCam";
/** Of the real telescope, from one exposure to the next. */
export const cadenceMs = 38_000;

export interface NightShape {
  /** That are taken: what the shutter saw, whatever of it was announced. */
  readonly exposures: number;
  /** `YYYYMMDD`. */
  readonly day: string;
  readonly seed: number;
  /** Some files are announced and lie in no store. Only where somebody looks. */
  readonly lostFiles: boolean;
}

export interface PlannedFile {
  readonly exposure: string;
  readonly seqNum: number;
  /** The first of its group is taken at this sequence number; two snaps are one group. */
  readonly groupSeqNum: number;
  readonly snap: number;
  readonly detector: string;
  readonly key: string;
  readonly guider: boolean;
  /** `never`: its exposure is not taken. `lost`: it is announced and lies nowhere. */
  readonly fate: "known" | "never" | "lost";
}

export interface Announcement {
  /** Into the night, ms. */
  readonly at: number;
  readonly file: number;
}

/** What must stand in the day's statistics. */
export interface Expected {
  readonly received: number;
  readonly duplicates: number;
  readonly known: number;
  readonly parked: number;
  readonly exposures: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly gaps: ReadonlyArray<{ readonly from: number; readonly to: number }>;
  /** Exposures of which detectors are missing, in the order of their names, and which. */
  readonly incomplete: ReadonlyArray<{ readonly exposure: string; readonly missing: ReadonlyArray<string> }>;
}

export interface NightPlan {
  readonly shape: NightShape;
  readonly files: ReadonlyArray<PlannedFile>;
  /** In the order in which they come. */
  readonly announcements: ReadonlyArray<Announcement>;
  readonly expected: Expected;
}

const corners = ["R00", "R04", "R40", "R44"];
const rafts = Array.from({ length: 25 }, (_, i) => `R${Math.floor(i / 5)}${i % 5}`);
const nine = Array.from({ length: 9 }, (_, i) => `S${Math.floor(i / 3)}${i % 3}`);

/** 189: 21 rafts of nine. */
export const scienceDetectors: ReadonlyArray<string> = rafts
  .filter((raft) => !corners.includes(raft))
  .flatMap((raft) => nine.map((slot) => `${raft}_${slot}`));
/** 16: in each corner raft two guiders and two halves of a wavefront sensor. */
export const cornerDetectors: ReadonlyArray<string> = corners.flatMap((raft) =>
  ["SG0", "SG1", "SW0", "SW1"].map((slot) => `${raft}_${slot}`),
);
const detectors = [...scienceDetectors, ...cornerDetectors];

/** Uniform in [0, 1): the same row for the same seed. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000;
  };
}

/** Sequence numbers that are never announced: one, three in a row, and one near the end; of short nights the first alone, of the shortest none. */
function gapsOf(exposures: number): Expected["gaps"] {
  if (exposures < 4) return [];
  const gaps = [{ from: 4, to: 4 }];
  if (exposures >= 20) gaps.push({ from: 12, to: 14 });
  if (exposures >= 200) gaps.push({ from: exposures - 30, to: exposures - 30 });
  return gaps;
}

const isIn = (gaps: Expected["gaps"], n: number): boolean =>
  gaps.some(({ from, to }) => n >= from && n <= to);

function missingOf(place: number): ReadonlyArray<string> {
  // A raft that was not read out, single detectors, a guider; always the same places of the night.
  if (place === 2) return ["R22_S11"];
  if (place === 7) return nine.map((slot) => `R30_${slot}`);
  if (place === 9) return ["R00_SG1", "R41_S02"];
  return place % 250 === 249 ? ["R01_S00", "R44_SW0"] : [];
}

const duplicatesEvery = 211;
const stragglersOf = 0.02;

export function keyOf(exposure: string, day: string, detector: string): string {
  const guider = /_SG\d$/.test(detector) ? "_guider" : "";
  return `${instrument}/${day}/${exposure}/${exposure}_${detector}${guider}.fits`;
}

/** When a file is announced, ms after its exposure's place in the night began. */
function offsetOf(random: () => number, guider: boolean, guidersFirst: boolean): number {
  if (guider && guidersFirst) return 1_000 + random() * 900;
  if (random() < stragglersOf) return 8_000 + random() * 52_000;
  return 2_000 + random() * 6_000;
}

export function planNight(shape: NightShape): NightPlan {
  const { day } = shape;
  const random = numbers(shape.seed);
  const gaps = gapsOf(shape.exposures);
  const files: Array<PlannedFile> = [];
  const announcements: Array<Announcement> = [];
  const incomplete = new Map<string, Array<string>>();
  let duplicates = 0;
  const announce = (file: PlannedFile, at: number): void => {
    const n = files.push(file) - 1;
    announcements.push({ at, file: n });
    if (n % duplicatesEvery !== duplicatesEvery - 1) return;
    // The store did not hear the answer, and asks again.
    announcements.push({ at: at + 200 + random() * 20_000, file: n });
    duplicates++;
  };
  const fileOf = (seqNum: number, detector: string, fate: PlannedFile["fate"]): PlannedFile => {
    const exposure = exposureName({ instrument, day, seqNum });
    // Of each five, two are the snaps of one group, unless the first of them is missing.
    const second = seqNum % 5 === 2 && !isIn(gaps, seqNum - 1);
    return {
      exposure,
      seqNum,
      groupSeqNum: second ? seqNum - 1 : seqNum,
      snap: second ? 1 : 0,
      detector,
      key: keyOf(exposure, day, detector),
      guider: /_SG\d$/.test(detector),
      fate,
    };
  };
  let taken = 0;
  let lost = 0;
  let seqNum = 0;
  while (taken < shape.exposures) {
    seqNum++;
    if (isIn(gaps, seqNum)) continue;
    const place = taken++;
    const missing = missingOf(place);
    const exposure = exposureName({ instrument, day, seqNum });
    if (missing.length > 0) incomplete.set(exposure, [...missing]);
    for (const detector of detectors) {
      if (missing.includes(detector)) continue;
      const isLost = shape.lostFiles && place === 5 && detector === "R12_S21";
      if (isLost) {
        lost++;
        incomplete.set(exposure, [detector]);
      }
      const file = fileOf(seqNum, detector, isLost ? "lost" : "known");
      const at = seqNum * cadenceMs + offsetOf(random, file.guider, place % 2 === 1);
      announce(file, at);
    }
  }
  let never = 0;
  for (const { from } of gaps) {
    // Guiders of an exposure that nobody took.
    for (const detector of ["R00_SG0", "R44_SG1"]) {
      announce(fileOf(from, detector, "never"), from * cadenceMs + offsetOf(random, true, false));
      never++;
    }
  }
  announcements.sort((a, b) => a.at - b.at || a.file - b.file);
  return {
    shape,
    files,
    announcements,
    expected: {
      received: announcements.length,
      duplicates,
      known: files.length - never - lost,
      parked: never + lost,
      exposures: taken,
      firstSeq: 1,
      lastSeq: seqNum,
      gaps,
      incomplete: [...incomplete]
        .map(([exposure, missing]) => ({ exposure, missing: missing.toSorted() }))
        .sort((a, b) => (a.exposure < b.exposure ? -1 : 1)),
    },
  };
}

/** As the observatory names groups: the time at which it began; some of its names hold a `#`. */
export function groupOf({ groupSeqNum }: PlannedFile, day: string): string {
  const [year, month, date] = [day.slice(0, 4), day.slice(4, 6), day.slice(6, 8)].map(Number);
  const evening = Date.UTC(year ?? 0, (month ?? 1) - 1, date ?? 1, 23, 20);
  const at = new Date(evening + (groupSeqNum - 1) * cadenceMs - 2_143).toISOString().slice(0, 23);
  return groupSeqNum % 5 === 1 ? `${at}#1` : at;
}
