import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { crc32, gzipSync, inflateSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeFitsHeader } from "../../../src/demo/fitsHeader.ts";
import { readFitsImage } from "../../../src/demo/fitsImage.ts";
import { damage, makeSample } from "../../../src/demo/fitsWriter.ts";
import { measure } from "../../../src/demo/look.ts";
import { makeMosaic } from "../../../src/demo/mosaic.ts";
import { encodeGreyPng } from "../../../src/demo/png.ts";

const program = fileURLToPath(new URL("../../../src/demo/quicklook.ts", import.meta.url));
const exposure = { instrument: "LSSTCam", day: "20260101", seqNum: 7 } as const;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "orrery-look-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(inputs: unknown, outputs: string | null): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const manifest = join(folder, "inputs.json");
    const env = { ORRERY_INPUTS: manifest, ...(outputs === null ? {} : { ORRERY_OUTPUTS: outputs }) };
    writeFile(manifest, JSON.stringify(inputs)).then(
      () =>
        execFile(process.execPath, [program], { env, timeout: 120_000 }, (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
        ),
      reject,
    );
  });
}

/** Reads a PNG back, checking each chunk's sum. */
function decodePng(png: Uint8Array): { width: number; height: number; pixels: Uint8Array } {
  const file = Buffer.from(png);
  expect([...file.subarray(0, 8)]).toEqual([137, 80, 78, 71, 13, 10, 26, 10]);
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < file.length;) {
    const length = file.readUInt32BE(at);
    const body = file.subarray(at + 4, at + 8 + length);
    expect(file.readUInt32BE(at + 8 + length)).toBe(crc32(body));
    chunks.set(body.toString("latin1", 0, 4), body.subarray(4));
    at += length + 12;
  }
  expect([...chunks.keys()]).toEqual(["IHDR", "IDAT", "IEND"]);
  const header = chunks.get("IHDR") ?? Buffer.alloc(0);
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const rows = inflateSync(chunks.get("IDAT") ?? Buffer.alloc(0));
  expect(rows.length).toBe((width + 1) * height);
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    expect(rows[y * (width + 1)]).toBe(0);
    pixels.set(rows.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)), y * width);
  }
  return { width, height, pixels };
}

describe("the program", () => {
  test("writes statistics and a picture of an exposure", async () => {
    const plain = makeSample({ ...exposure, raftBay: "R22", ccdSlot: "S11" });
    const packed = makeSample({ ...exposure, raftBay: "R22", ccdSlot: "S10" });
    const guider = makeSample({ ...exposure, raftBay: "R00", ccdSlot: "SG0" });
    await writeFile(join(folder, "plain.fits"), plain.fits);
    await writeFile(join(folder, "packed #1.fits"), gzipSync(packed.fits));
    await writeFile(join(folder, "guider.fits"), guider.fits);
    const outputs = join(folder, "new", "outputs");
    const ended = await run(
      [
        { path: join(folder, "plain.fits"), key: plain.key, detector: "R22_S11" },
        { uri: pathToFileURL(join(folder, "packed #1.fits")).href, detector: "R22_S10" },
        { path: join(folder, "guider.fits"), detector: "R00_SG0" },
      ],
      outputs,
    );
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    const statistics = JSON.parse(await readFile(join(outputs, "statistics.json"), "utf8"));
    expect(statistics).toMatchObject({
      inputs: 3,
      detectors: [
        { detector: "R00_SG0", width: 24, height: 24, pixels: 576 },
        { detector: "R22_S10", key: null, width: 64 },
        { detector: "R22_S11", key: plain.key, width: 64, height: 64, pixels: 4_096 },
      ],
    });
    const image = readFitsImage(plain.fits);
    expect(statistics.detectors[2]).toEqual({ detector: "R22_S11", key: plain.key, ...measure(image) });
    const { width, height, pixels } = decodePng(await readFile(join(outputs, "quicklook.png")));
    expect({ width, height }).toEqual(statistics.mosaic);
    expect(Math.max(...pixels)).toBe(255);
    expect(new Set(pixels).size).toBeGreaterThan(50);
  });

  test.each([
    ["an image cut off", (fits: Uint8Array) => fits.slice(0, 9_000), "ends after"],
    ["no FITS", (fits: Uint8Array) => damage(fits, "not-fits"), "NotFits"],
    ["an empty file", (fits: Uint8Array) => damage(fits, "empty"), "no two-dimensional image"],
  ])("with %s exits 1, names it, and writes nothing", async (_what, spoil, detail) => {
    const { fits } = makeSample({ ...exposure, raftBay: "R22", ccdSlot: "S11" });
    await writeFile(join(folder, "good.fits"), fits);
    await writeFile(join(folder, "bad.fits"), spoil(fits));
    const outputs = join(folder, "outputs");
    const ended = await run(
      [{ path: join(folder, "good.fits") }, { path: join(folder, "bad.fits") }],
      outputs,
    );
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain("bad.fits");
    expect(ended.stderr).toContain(detail);
    expect(await readdir(folder)).not.toContain("outputs");
  });

  test.each([
    ["no inputs", []],
    ["no array", { path: "x" }],
    ["an address it cannot open", [{ uri: "s3://raw/a.fits" }]],
    ["a path that is not there", [{ path: "/nowhere/a.fits" }]],
  ])("with %s exits 1 and says so", async (_what, inputs) => {
    const ended = await run(inputs, join(folder, "outputs"));
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/^quicklook: /);
  });

  test("without its variables exits 2", async () => {
    expect((await run([], null)).code).toBe(2);
  });
});

describe("statistics", () => {
  const image = (values: ReadonlyArray<number>) => ({
    width: values.length,
    height: 1,
    pixels: Float64Array.from(values),
  });

  test("of a few pixels, by hand", () => {
    const expected = {
      width: 4,
      height: 1,
      pixels: 4,
      min: -2,
      max: 10,
      mean: 3,
      median: 2,
      rms: Math.sqrt(19.5),
    };
    expect(measure(image([10, 1, 3, -2]))).toEqual(expected);
    expect(measure(image([5, 1, 9])).median).toBe(5);
  });

  test("pixels without a value do not count", () => {
    expect(measure(image([1, Number.NaN, 3]))).toMatchObject({
      pixels: 2,
      mean: 2,
      median: 2,
      min: 1,
      max: 3,
    });
    expect(measure(image([Number.NaN]))).toMatchObject({ pixels: 0, mean: 0 });
  });
});

describe("reading images", () => {
  const fitsOf = (bits: number, cards: Readonly<Record<string, number>>, data: Buffer) =>
    Buffer.concat([
      writeFitsHeader([
        { keyword: "SIMPLE", value: true },
        { keyword: "BITPIX", value: bits },
        { keyword: "NAXIS", value: 2 },
        { keyword: "NAXIS1", value: 2 },
        ...("NAXIS2" in cards ? [] : [{ keyword: "NAXIS2", value: 1 }]),
        ...Object.entries(cards).map(([keyword, value]) => ({ keyword, value })),
      ]),
      data,
    ]);
  const floats = Buffer.alloc(8);
  floats.writeFloatBE(1.5, 0);
  floats.writeFloatBE(Number.NaN, 4);
  const long = Buffer.alloc(16);
  long.writeBigInt64BE(-5n, 0);
  const double = Buffer.alloc(16);
  double.writeDoubleBE(0.1, 8);

  test.each([
    [8, {}, Buffer.from([7, 255]), [7, 255]],
    [16, { BZERO: 32_768 }, Buffer.from([0x80, 0, 0x7f, 0xff]), [0, 65_535]],
    [16, { BSCALE: 0.5, BZERO: 10 }, Buffer.from([0, 4, 0xff, 0xff]), [12, 9.5]],
    [16, { BLANK: -1 }, Buffer.from([0, 4, 0xff, 0xff]), [4, Number.NaN]],
    [32, {}, Buffer.from([0, 1, 0, 0, 0xff, 0xff, 0xff, 0xfe]), [65_536, -2]],
    [64, {}, long, [-5, 0]],
    [-32, {}, floats, [1.5, Number.NaN]],
    [-64, {}, double, [0, 0.1]],
  ] as const)("BITPIX %i with %j", (bits, cards, data, pixels) => {
    expect([...readFitsImage(fitsOf(bits, cards, data)).pixels]).toEqual([...pixels]);
  });

  test("sizes that make no sense are refused before anything is allocated", () => {
    expect(() => readFitsImage(fitsOf(16, { GCOUNT: -1 }, Buffer.alloc(4)))).toThrow("no sense");
    // Parameters below zero must not hide how large the image itself says it is.
    expect(() => readFitsImage(fitsOf(16, { NAXIS2: 1e9, PCOUNT: -2e9 }, Buffer.alloc(4)))).toThrow(
      "ends after 4",
    );
    expect(() => readFitsImage(fitsOf(12, {}, Buffer.alloc(4)))).toThrow("BITPIX 12");
  });
});

describe("the mosaic", () => {
  const flat = (value: number) => ({ width: 4, height: 4, pixels: new Float64Array(16).fill(value) });
  const at = (mosaic: ReturnType<typeof makeMosaic>, column: number, row: number) =>
    mosaic.pixels[(3 + row * 7 + 1) * mosaic.width + 3 + column * 7 + 1] ?? -1;

  test("places detectors by their names, and takes no room for what is not there", () => {
    const mosaic = makeMosaic([
      { detector: "R22_S00", image: flat(0) },
      { detector: "R22_S02", image: flat(100) },
      { detector: "R22_S10", image: flat(200) },
      { detector: "R00_SG0", image: flat(300) },
    ]);
    // S10 lies above S00, and S02 to its right; the guider has a row of its own below.
    expect([mosaic.width, mosaic.height]).toEqual([2 * 7 + 3, 3 * 7 + 3]);
    const [s10, nothing, s00, s02, guider] = [
      at(mosaic, 0, 0),
      at(mosaic, 1, 0),
      at(mosaic, 0, 1),
      at(mosaic, 1, 1),
      at(mosaic, 0, 2),
    ];
    expect(s00).toBe(0);
    expect(guider).toBe(255);
    expect(s02).toBeGreaterThan(s00);
    expect(s10).toBeGreaterThan(s02);
    expect(nothing).toBe(24);
  });

  test("shows the first row of a FITS image at the bottom", () => {
    const pixels = new Float64Array(16);
    pixels[0] = 1_000;
    const mosaic = makeMosaic([{ detector: "x", image: { width: 4, height: 4, pixels } }]);
    expect(mosaic.pixels[(3 + 3) * mosaic.width + 3]).toBe(255);
    expect(mosaic.pixels[3 * mosaic.width + 3]).toBe(0);
  });

  test("is sampled down to its bound", () => {
    const image = { width: 3_000, height: 3_000, pixels: new Float64Array(9_000_000) };
    const mosaic = makeMosaic([
      { detector: "R22_S00", image },
      { detector: "R22_S01", image },
    ]);
    expect(mosaic.width).toBeLessThanOrEqual(4_096);
    expect(mosaic.pixels).toHaveLength(mosaic.width * mosaic.height);
  });
});

test("a PNG is what went into it", () => {
  const pixels = Uint8Array.from({ length: 35 }, (_, i) => i * 7);
  expect(decodePng(encodeGreyPng(7, 5, pixels))).toEqual({ width: 7, height: 5, pixels });
  expect(() => encodeGreyPng(7, 6, pixels)).toThrow(RangeError);
});
