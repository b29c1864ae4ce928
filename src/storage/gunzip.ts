/** The beginning of what a gzip stream holds, from the beginning of the stream. */
import { constants, createGunzip } from "node:zlib";

export interface Inflated {
  /** At most the bytes asked for. */
  readonly bytes: Uint8Array;
  /** True when these bytes are all that the compressed bytes hold, and not only because the bound was reached. */
  readonly exhausted: boolean;
  /** Why inflating stopped before the end of the compressed bytes, or null. */
  readonly fault: string | null;
}

/**
 * Inflates until `maxBytes` came out or the input ends, whichever is first. Input that is cut off anywhere is no
 * fault; and however much a few bytes would inflate to, no more than `maxBytes` (and one piece) is ever in memory.
 */
export async function inflatePrefix(compressed: Uint8Array, maxBytes: number): Promise<Inflated> {
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH, chunkSize: 32_768 });
  const pieces: Array<Uint8Array> = [];
  let length = 0;
  gunzip.end(compressed);
  try {
    for await (const piece of gunzip) {
      pieces.push(piece as Uint8Array);
      length += (piece as Uint8Array).length;
      // Leaving the loop destroys the stream, which stops the inflating.
      if (length >= maxBytes) {
        return { bytes: Buffer.concat(pieces).subarray(0, maxBytes), exhausted: false, fault: null };
      }
    }
  } catch (cause) {
    const fault = cause instanceof Error ? cause.message : String(cause);
    return { bytes: Buffer.concat(pieces), exhausted: true, fault };
  }
  return { bytes: Buffer.concat(pieces), exhausted: true, fault: null };
}
