/** The first two-dimensional image of a FITS file. */
import type { FitsHeader } from "../protocol/fits.ts";
import { blockBytes, parseFitsHeader } from "../protocol/fits.ts";

export interface FitsImage {
  readonly width: number;
  readonly height: number;
  /** Row by row from the first; BSCALE and BZERO applied; NaN where there is no value (BLANK). */
  readonly pixels: Float64Array;
}

/** Units of a file that are looked at for an image. */
const unitsMax = 300;

/** Throws an Error that says what is wrong with the file. */
export function readFitsImage(file: Uint8Array): FitsImage {
  let offset = 0;
  for (let unit = 0; unit < unitsMax && offset < file.length; unit++) {
    const rest = file.subarray(offset);
    const parsed = parseFitsHeader(rest, true);
    if (parsed._tag !== "Complete") {
      throw new Error(
        parsed._tag === "Refused" ? `unit ${unit}: ${parsed.reason}: ${parsed.detail}` : "no header",
      );
    }
    const shape = shapeOf(parsed.header);
    const data = rest.subarray(parsed.header.headerBytes);
    if (shape.image) return decode(parsed.header, data, shape);
    offset += parsed.header.headerBytes + Math.ceil(shape.bytes / blockBytes) * blockBytes;
  }
  throw new Error("no two-dimensional image in the file");
}

interface Shape {
  readonly image: boolean;
  readonly bits: number;
  readonly width: number;
  readonly height: number;
  /** Of the data, padding not counted. */
  readonly bytes: number;
}

function shapeOf(header: FitsHeader): Shape {
  const bits = numberOf(header, "BITPIX", 8);
  const axes = numberOf(header, "NAXIS", 0);
  let points = axes === 0 ? 0 : 1;
  for (let axis = 1; axis <= axes; axis++) points *= numberOf(header, `NAXIS${axis}`, 0);
  const groups = numberOf(header, "GCOUNT", 1);
  const bytes = (Math.abs(bits) / 8) * groups * (numberOf(header, "PCOUNT", 0) + points);
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw new Error("the header's sizes make no sense");
  const type = header.record["XTENSION"];
  const image = axes === 2 && points > 0 && (type === undefined || type === "IMAGE");
  return { image, bits, width: numberOf(header, "NAXIS1", 0), height: numberOf(header, "NAXIS2", 0), bytes };
}

function numberOf(header: FitsHeader, keyword: string, otherwise: number): number {
  const value = header.record[keyword];
  return typeof value === "number" ? value : otherwise;
}

const readers: Readonly<Record<string, (view: DataView, at: number) => number>> = {
  "8": (view, at) => view.getUint8(at),
  "16": (view, at) => view.getInt16(at),
  "32": (view, at) => view.getInt32(at),
  "64": (view, at) => Number(view.getBigInt64(at)),
  "-32": (view, at) => view.getFloat32(at),
  "-64": (view, at) => view.getFloat64(at),
};

function decode(header: FitsHeader, data: Uint8Array, shape: Shape): FitsImage {
  const { bits, width, height } = shape;
  const read = readers[String(bits)];
  if (read === undefined) throw new Error(`BITPIX ${bits} is none of FITS's`);
  const step = Math.abs(bits) / 8;
  const bytes = width * height * step;
  if (data.length < bytes) throw new Error(`the image ends after ${data.length} of ${bytes} bytes`);
  const view = new DataView(data.buffer, data.byteOffset, bytes);
  const zero = numberOf(header, "BZERO", 0);
  const scale = numberOf(header, "BSCALE", 1);
  const blank = bits > 0 ? numberOf(header, "BLANK", Number.NaN) : Number.NaN;
  const pixels = new Float64Array(width * height);
  for (let i = 0; i < pixels.length; i++) {
    const raw = read(view, i * step);
    pixels[i] = raw === blank ? Number.NaN : zero + scale * raw;
  }
  return { width, height, pixels };
}
