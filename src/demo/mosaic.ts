/** Puts the detectors of an exposure where they stand in the focal plane, in one grey image. */
import type { FitsImage } from "./fitsImage.ts";

export interface Tile {
  readonly detector: string;
  readonly image: FitsImage;
}

export interface Mosaic {
  readonly width: number;
  readonly height: number;
  /** One byte each, row by row from the top. */
  readonly pixels: Uint8Array;
}

const sideMax = 4_096;
const gap = 3;
const background = 24;

/**
 * Columns and rows that no tile stands in take no room. Tiles that are no part of the science grid (guiders,
 * wavefront, unknown names) stand in a row below it. Sampled down so that neither side exceeds 4096 pixels.
 */
export function makeMosaic(tiles: ReadonlyArray<Tile>): Mosaic {
  const placed = place(tiles);
  const columns = Math.max(...placed.map((tile) => tile.column)) + 1;
  const rows = Math.max(...placed.map((tile) => tile.row)) + 1;
  const cell = Math.max(...tiles.flatMap(({ image }) => [image.width, image.height]));
  const step = Math.max(
    1,
    Math.ceil((cell * Math.max(columns, rows)) / (sideMax - gap * (Math.max(columns, rows) + 1))),
  );
  const pitch = Math.ceil(cell / step) + gap;
  const [width, height] = [columns * pitch + gap, rows * pitch + gap];
  const pixels = new Uint8Array(width * height).fill(background);
  const grey = stretch(tiles.map((tile) => tile.image));
  for (const { image, column, row } of placed) {
    const [left, top] = [gap + column * pitch, gap + row * pitch];
    for (let y = 0; y < image.height; y += step) {
      // FITS counts rows from the bottom, PNG from the top.
      const from = (image.height - 1 - y) * image.width;
      const to = (top + y / step) * width + left;
      for (let x = 0; x < image.width; x += step) pixels[to + x / step] = grey(image.pixels[from + x] ?? 0);
    }
  }
  return { width, height, pixels };
}

interface Placed extends Tile {
  readonly column: number;
  readonly row: number;
}

function place(tiles: ReadonlyArray<Tile>): ReadonlyArray<Placed> {
  const named = tiles.map((tile) => ({ tile, name: /^R(\d)(\d)_S(\d)(\d)$/.exec(tile.detector) }));
  const grid = named.flatMap(({ tile, name }) => {
    if (name === null) return [];
    const [, raftRow, raftColumn, row, column] = name.map(Number);
    return [{ tile, x: (raftColumn ?? 0) * 3 + (column ?? 0), y: -((raftRow ?? 0) * 3 + (row ?? 0)) }];
  });
  const xs = [...new Set(grid.map(({ x }) => x))].sort((a, b) => a - b);
  const ys = [...new Set(grid.map(({ y }) => y))].sort((a, b) => a - b);
  const others = named.filter(({ name }) => name === null);
  return [
    ...grid.map(({ tile, x, y }) => ({ ...tile, column: xs.indexOf(x), row: ys.indexOf(y) })),
    ...others.map(({ tile }, column) => ({ ...tile, column, row: ys.length })),
  ];
}

/** Of all tiles together, so that they can be compared: from the 1st to the 99.7th percentile, faint things raised. */
function stretch(images: ReadonlyArray<FitsImage>): (value: number) => number {
  const sample: Array<number> = [];
  const samplesMax = 100_000;
  const points = images.reduce((sum, image) => sum + image.pixels.length, 0);
  const every = Math.max(1, Math.floor(points / samplesMax));
  for (const image of images) {
    for (let i = 0; i < image.pixels.length; i += every) {
      const value = image.pixels[i] ?? Number.NaN;
      if (Number.isFinite(value)) sample.push(value);
    }
  }
  const sorted = Float64Array.from(sample).sort();
  const at = (part: number): number => sorted[Math.round(part * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(0.01), at(0.997)];
  const span = high > low ? high - low : 1;
  return (value) => {
    if (!Number.isFinite(value)) return 0;
    const part = Math.min(1, Math.max(0, (value - low) / span));
    return Math.round((255 * Math.asinh(part * 10)) / Math.asinh(10));
  };
}
