/** Statistics and a picture of an exposure, from the FITS files of its detectors. */
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { isGzip } from "../protocol/fits.ts";
import type { FitsImage } from "./fitsImage.ts";
import { readFitsImage } from "./fitsImage.ts";
import type { Tile } from "./mosaic.ts";
import { makeMosaic } from "./mosaic.ts";
import { encodeGreyPng } from "./png.ts";

/** Bytes of one input, inflated. */
const inputBytesMax = 512 * 1_048_576;
const inputsMax = 1_000;

export interface DetectorStatistics {
  readonly detector: string;
  readonly key: string | null;
  readonly width: number;
  readonly height: number;
  /** Pixels that have a value. */
  readonly pixels: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly median: number;
  /** Root mean square deviation from the mean. */
  readonly rms: number;
}

interface Input {
  readonly path: string;
  readonly detector: string;
  readonly key: string | null;
}

/** Pixels without a value do not count; an image of none but such is all zeros. */
export function measure(image: FitsImage): Omit<DetectorStatistics, "detector" | "key"> {
  const sorted = image.pixels.filter((value) => Number.isFinite(value)).sort();
  const { width, height } = image;
  const pixels = sorted.length;
  if (pixels === 0) return { width, height, pixels, min: 0, max: 0, mean: 0, median: 0, rms: 0 };
  const at = (index: number): number => sorted[index] ?? 0;
  let sum = 0;
  for (const value of sorted) sum += value;
  const mean = sum / pixels;
  let squares = 0;
  for (const value of sorted) squares += (value - mean) ** 2;
  const half = pixels >> 1;
  const median = pixels % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2;
  return {
    width,
    height,
    pixels,
    min: at(0),
    max: at(pixels - 1),
    mean,
    median,
    rms: Math.sqrt(squares / pixels),
  };
}

/** Reads the inputs and writes the two outputs. Throws an Error that names the input which cannot be read. */
export async function quicklook(
  manifest: string,
  outputs: string,
): Promise<ReadonlyArray<DetectorStatistics>> {
  const inputs = parseManifest(await readFile(manifest, "utf8"));
  const tiles: Array<Tile> = [];
  const detectors: Array<DetectorStatistics> = [];
  for (const { path, detector, key } of inputs) {
    const image = await readImage(path);
    tiles.push({ detector, image });
    detectors.push({ detector, key, ...measure(image) });
  }
  const mosaic = makeMosaic(tiles);
  const statistics = {
    inputs: detectors.length,
    mosaic: { width: mosaic.width, height: mosaic.height },
    detectors,
  };
  await mkdir(outputs, { recursive: true });
  await writeFile(join(outputs, "quicklook.png"), encodeGreyPng(mosaic.width, mosaic.height, mosaic.pixels));
  await writeFile(join(outputs, "statistics.json"), `${JSON.stringify(statistics, null, 2)}\n`);
  return detectors;
}

function parseManifest(text: string): ReadonlyArray<Input> {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list) || list.length === 0 || list.length > inputsMax) {
    throw new Error(`the manifest must be an array of 1 to ${inputsMax} inputs`);
  }
  const inputs = list.map(parseInput);
  return inputs.toSorted((a, b) => (a.detector < b.detector ? -1 : a.detector > b.detector ? 1 : 0));
}

function parseInput(input: unknown, index: number): Input {
  const fields =
    typeof input === "object" && input !== null ? (input as Readonly<Record<string, unknown>>) : {};
  const text = (name: string): string | null => {
    const value = fields[name];
    return typeof value === "string" && value !== "" ? value : null;
  };
  const [path, uri, key] = [text("path"), text("uri"), text("key")];
  const detector = text("detector") ?? key ?? `input ${index + 1}`;
  if (path !== null) return { path, detector, key };
  if (uri?.startsWith("file:") !== true) {
    throw new Error(
      `input ${index + 1} has neither a path nor a file: uri, and this program fetches nothing`,
    );
  }
  return { path: fileURLToPath(uri), detector, key };
}

async function readImage(path: string): Promise<FitsImage> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > inputBytesMax) throw new Error(`${size} bytes are more than ${inputBytesMax}`);
    const bytes = await file.readFile();
    return readFitsImage(isGzip(bytes) ? gunzipSync(bytes, { maxOutputLength: inputBytesMax }) : bytes);
  } catch (cause) {
    throw new Error(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  } finally {
    await file.close();
  }
}
