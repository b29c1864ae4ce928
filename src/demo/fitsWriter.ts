/** Small, valid FITS files with the header cards and the sidecar of a Rubin camera; the same bytes for the same input. */
import type { FitsValue } from "../protocol/fits.ts";
import { blockBytes } from "../protocol/fits.ts";
import type { FitsCard } from "./fitsHeader.ts";
import { writeFitsHeader } from "./fitsHeader.ts";

export interface SampleFile {
  readonly instrument: "LSSTCam" | "LATISS" | "LSSTComCam" | "LSSTComCamSim";
  /** Day of observation, `YYYYMMDD`. */
  readonly day: string;
  /** From 1. */
  readonly seqNum: number;
  /** `O` (default), `C`, `H`, `P`, `Q` or `S`. */
  readonly controller?: string;
  /** `R22` and `S11`; a slot that begins with SG makes a guider file. */
  readonly raftBay: string;
  readonly ccdSlot: string;
  /** Default: the time of the group's first exposure; null leaves the group out. */
  readonly group?: string | null;
  /** Place in the group, from 0 (default). */
  readonly snap?: number;
  /** Exposures in the group, default 1. */
  readonly snaps?: number;
  readonly filter?: string;
  /** As IMGTYPE, default OBJECT. */
  readonly imageType?: string;
  readonly reason?: string | null;
  /** Seconds, default 30. */
  readonly exposureSeconds?: number;
  /** Pixels a side, default 64. */
  readonly pixels?: number;
  /** Default: from day, sequence number and detector. */
  readonly seed?: number;
}

export interface Sample {
  /** `LSSTCam/20260101/MC_O_20260101_000001/MC_O_20260101_000001_R22_S11.fits` */
  readonly key: string;
  readonly sidecarKey: string;
  readonly exposure: string;
  readonly detector: string;
  readonly fits: Uint8Array;
  /** JSON. */
  readonly sidecar: Uint8Array;
}

const cameras = {
  LSSTCam: { code: "MC", name: "lsstCam", telescope: "Simonyi Survey Telescope" },
  LATISS: { code: "AT", name: "LATISS", telescope: "LSST AuxTelescope" },
  LSSTComCam: { code: "CC", name: "ComCam", telescope: "Simonyi Survey Telescope" },
  LSSTComCamSim: { code: "CC", name: "ComCamSim", telescope: "Simonyi Survey Telescope" },
} as const;

/** Time between the begins of two exposures of the sample night, seconds. */
const cadenceSeconds = 38;

/** Makes one file of an exposure, with its sidecar. */
export function makeSample(file: SampleFile): Sample {
  const exposure = exposureName(file);
  const detector = `${file.raftBay}_${file.ccdSlot}`;
  const guider = file.ccdSlot.startsWith("SG");
  const stem = `${exposure}_${detector}${guider ? "_guider" : ""}`;
  const folder = `${file.instrument}/${file.day}/${exposure}`;
  const cards = headerCards(file, exposure, `${stem}.fits`);
  const pixels = file.pixels ?? 64;
  const seed = file.seed ?? seedOf(stem);
  const fits = guider ? guiderFits(cards, seed) : imageFits(cards, pixels, seed);
  const begin = guider ? primaryWithoutData : imageCards(pixels);
  return {
    key: `${folder}/${stem}.fits`,
    sidecarKey: `${folder}/${stem}.json`,
    exposure,
    detector,
    fits,
    sidecar: sidecarOf([...begin, ...cards]),
  };
}

/** `MC_O_20260101_000001` */
export function exposureName(file: Pick<SampleFile, "instrument" | "controller" | "day" | "seqNum">): string {
  const { code } = cameras[file.instrument];
  return `${code}_${file.controller ?? "O"}_${file.day}_${String(file.seqNum).padStart(6, "0")}`;
}

export type Damage = "empty" | "truncated" | "not-fits" | "no-end";

/** A file as it should not be: without a byte, cut in its header, of another kind, or with no END in its header. */
export function damage(fits: Uint8Array, how: Damage): Uint8Array {
  switch (how) {
    case "empty":
      return new Uint8Array(0);
    case "truncated":
      return fits.slice(0, 1_000);
    case "not-fits":
      return Buffer.from("<html><body>502 Bad Gateway</body></html>\n");
    case "no-end":
      return Buffer.from(
        Buffer.from(fits.slice(0, blockBytes)).toString("latin1").padEnd(blockBytes),
        "latin1",
      );
  }
  return how satisfies never;
}

function headerCards(file: SampleFile, exposure: string, filename: string): ReadonlyArray<FitsCard> {
  const camera = cameras[file.instrument];
  const seconds = file.exposureSeconds ?? 30;
  const beginMs = beginOf(file.day, file.seqNum);
  const endMs = beginMs + seconds * 1_000;
  const snap = file.snap ?? 0;
  const group = file.group === undefined ? iso(beginMs - 2_143 - snap * cadenceSeconds * 1_000) : file.group;
  const type = file.imageType ?? "OBJECT";
  const filter = file.filter ?? "r_57";
  const latiss = file.instrument === "LATISS";
  const rows: ReadonlyArray<readonly [string, FitsValue, string?]> = [
    ["DATE", iso(endMs + 400), "When the file was written"],
    ["MJD", mjd(endMs + 400), "The same, Modified Julian Date"],
    ["IMGTYPE", type, "Kind of image"],
    ["DATE-OBS", iso(beginMs), "Begin of the exposure"],
    ["MJD-OBS", mjd(beginMs)],
    ["DATE-BEG", iso(beginMs), "Begin of the exposure"],
    ["MJD-BEG", mjd(beginMs)],
    ["DATE-END", iso(endMs), "End of the exposure"],
    ["MJD-END", mjd(endMs)],
    ["OBSID", exposure, "Name of the exposure"],
    ["GROUPID", group, "Group of exposures that belong together"],
    ["TIMESYS", "TAI", "Time scale of all dates"],
    ["INSTRUME", camera.name, "Instrument"],
    ["TELESCOP", camera.telescope, "Telescope"],
    ["RA", 83.6331 + file.seqNum / 100, "[deg]"],
    ["DEC", -5.3911, "[deg]"],
    ["ROTPA", 12.5, "[deg] Rotation against the sky"],
    ["OBJECT", "Orrery_sample", "What was looked at"],
    ["CAMCODE", camera.code, "First part of the name"],
    ["CONTRLLR", file.controller ?? "O", "Second part of the name"],
    ["DAYOBS", file.day, "Third part of the name"],
    ["SEQNUM", file.seqNum, "Fourth part of the name"],
    ["PROGRAM", "ORRERY-DEMO", "Programme"],
    ["REASON", file.reason === undefined ? "it's a demonstration" : file.reason, "Why"],
    ["CURINDEX", snap + 1, "Place of the exposure in its group"],
    ["MAXINDEX", file.snaps ?? 1, "Exposures in the group"],
    ["TESTTYPE", type, "Kind of test"],
    ["CCD_MANU", "SIM", "Maker of the detector"],
    ["CCDSLOT", file.ccdSlot, "Slot in the raft"],
    ["RAFTBAY", file.raftBay, "Place of the raft"],
    ["LSST_NUM", `SIM-${file.raftBay}-${file.ccdSlot}`, "Serial number of the detector"],
    ["FILTER", latiss ? "SDSSr_65mm" : filter, "Physical filter"],
    ...(latiss ? ([["GRATING", "empty_1", "Grating"]] as const) : []),
    ["EXPTIME", seconds, "[s] Exposure time"],
    ["DARKTIME", seconds + 0.9387, "[s]"],
    ["SHUTTIME", null, "[s]"],
    ["AIRTEMP", 9.75, "[C]"],
    ["HEADVER", 2, "Version of this header"],
    ["FILENAME", filename, "Name of the file as it was written"],
    ["STUTTER ROWS", 0, "Rows shifted"],
    ["STUTTER DELAY", 0.5, "[s]"],
    ["HAS_ARCHIVE", false],
    ["OBSANNOT", annotation, "Longer than a card"],
  ];
  return rows.map(([keyword, value, comment]) => ({
    keyword,
    value,
    ...(comment === undefined ? {} : { comment }),
  }));
}

const annotation =
  "Made by Orrery for its demonstration: an artificial sky, whose stars stand where a generator of numbers put them.";

/** The night of an observing day begins at 23:20 UTC. */
function beginOf(day: string, seqNum: number): number {
  const [year, month, date] = [day.slice(0, 4), day.slice(4, 6), day.slice(6, 8)].map(Number);
  return Date.UTC(year ?? 0, (month ?? 1) - 1, date ?? 1, 23, 20) + (seqNum - 1) * cadenceSeconds * 1_000;
}

function iso(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23);
}

function mjd(ms: number): number {
  return ms / 86_400_000 + 40_587;
}

const primaryWithoutData: ReadonlyArray<FitsCard> = [
  { keyword: "SIMPLE", value: true, comment: "FITS, as the standard says" },
  { keyword: "BITPIX", value: 8 },
  { keyword: "NAXIS", value: 0 },
  { keyword: "EXTEND", value: true },
];

function imageCards(pixels: number): ReadonlyArray<FitsCard> {
  return [
    { keyword: "SIMPLE", value: true, comment: "FITS, as the standard says" },
    { keyword: "BITPIX", value: 16, comment: "Bits of a pixel" },
    { keyword: "NAXIS", value: 2 },
    { keyword: "NAXIS1", value: pixels },
    { keyword: "NAXIS2", value: pixels },
    { keyword: "EXTEND", value: true },
    { keyword: "BSCALE", value: 1 },
    { keyword: "BZERO", value: 32_768, comment: "Pixels are unsigned" },
    { keyword: "BUNIT", value: "adu" },
  ];
}

function imageFits(cards: ReadonlyArray<FitsCard>, pixels: number, seed: number): Uint8Array {
  return Buffer.concat([
    writeFitsHeader([...imageCards(pixels), ...cards]),
    writePixels(makeSky(pixels, pixels, seed)),
  ]);
}

const guiderStamps = 4;
const stampPixels = 24;

function guiderFits(cards: ReadonlyArray<FitsCard>, seed: number): Uint8Array {
  const parts = [
    writeFitsHeader([...primaryWithoutData, ...cards, { keyword: "N_STAMPS", value: guiderStamps }]),
  ];
  for (let i = 0; i < guiderStamps; i++) {
    parts.push(
      writeFitsHeader(
        [
          { keyword: "XTENSION", value: "IMAGE" },
          ...imageCards(stampPixels).filter((card) => card.keyword !== "SIMPLE" && card.keyword !== "EXTEND"),
          { keyword: "PCOUNT", value: 0 },
          { keyword: "GCOUNT", value: 1 },
          { keyword: "EXTNAME", value: `STAMP${i}` },
        ].toSorted((a, b) => order(a.keyword) - order(b.keyword)),
      ),
      writePixels(makeSky(stampPixels, stampPixels, seed + i)),
    );
  }
  return Buffer.concat(parts);
}

/** The standard fixes the order of the first cards of an extension. */
function order(keyword: string): number {
  const place = ["XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT"].indexOf(keyword);
  return place < 0 ? 7 : place;
}

/** A sky: level and read noise, a slope, and stars with Gaussian profiles. Row by row, values 0 to 65535. */
export function makeSky(width: number, height: number, seed: number): Uint16Array {
  const random = generator(seed);
  const sky = new Float64Array(width * height);
  const level = 900 + random() * 200;
  const slope = (random() - 0.5) * 60;
  for (let i = 0; i < sky.length; i++) {
    // Twelve uniform numbers make a good enough bell.
    let noise = -6;
    for (let n = 0; n < 12; n++) noise += random();
    sky[i] = level + (slope * (i % width)) / width + noise * 8;
  }
  const stars = Math.max(3, Math.round((width * height) / 250));
  for (let n = 0; n < stars; n++) {
    const [x, y, sigma] = [random() * width, random() * height, 0.9 + random() * 0.5];
    addStar(sky, width, height, x, y, sigma, 200 * Math.exp(random() * 5));
  }
  return Uint16Array.from(sky, (value) => Math.min(65_535, Math.max(0, Math.round(value))));
}

function addStar(
  sky: Float64Array,
  width: number,
  height: number,
  x: number,
  y: number,
  sigma: number,
  peak: number,
): void {
  const reach = Math.ceil(sigma * 5);
  for (let row = Math.max(0, Math.floor(y) - reach); row < Math.min(height, y + reach); row++) {
    for (let column = Math.max(0, Math.floor(x) - reach); column < Math.min(width, x + reach); column++) {
      const distance = (column - x) ** 2 + (row - y) ** 2;
      const at = row * width + column;
      sky[at] = (sky[at] ?? 0) + peak * Math.exp(-distance / (2 * sigma * sigma));
    }
  }
}

/** Big-endian, 32768 taken off (BZERO), padded to blocks with zeros. */
function writePixels(pixels: Uint16Array): Uint8Array {
  const bytes = Buffer.alloc(Math.ceil((pixels.length * 2) / blockBytes) * blockBytes);
  pixels.forEach((pixel, i) => bytes.writeInt16BE(pixel - 32_768, i * 2));
  return bytes;
}

function sidecarOf(cards: ReadonlyArray<FitsCard>): Uint8Array {
  const fields: Record<string, FitsValue> = {};
  for (const { keyword, value } of cards) {
    const name = keyword.length <= 8 ? keyword : `HIERARCH.${keyword.replaceAll(" ", ".")}`;
    fields[name] = value;
  }
  return Buffer.from(`${JSON.stringify({ __CONTENT__: "metadata", ...fields }, null, 2)}\n`);
}

/** FNV-1a, 32 bits. */
function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** Uniform numbers in [0, 1): a 32-bit Weyl sequence, mixed. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000;
  };
}
