/** Bounds that only storage needs; what others share is in `src/limits.ts`. */

/** One call to a store, retries inside the store's client included. Streams: one chunk. */
export const storageDeadlineMs = 30_000;
/** A write of a whole object. */
export const storageWriteDeadlineMs = 300_000;
/** Bytes that a stream asks for at once. */
export const streamChunkBytes = 4 * 1_048_576;
/** Most that any single call brings into memory. */
export const readBytesMax = 64 * 1_048_576;
/** S3's own limit on one PUT. */
export const objectBytesMax = 5 * 1_073_741_824;
/** Objects in one page of a listing; S3's own limit. */
export const listPageMax = 1_000;
/** Tries of one S3 request, the first included. */
export const s3AttemptsMax = 3;
export const s3SocketsMax = 128;
export const s3ConnectMs = 5_000;
/** What a killed writer left behind is removed after this. */
export const leftoverMs = 3_600_000;

/** JetStream's object store: how long nothing comes of an object before it is asked whether it was replaced. */
export const lookAgainMs = 250;
/** Times that a read begins again because its object was replaced. */
export const replacedMax = 5;

/** First read of a FITS header: 432 cards, which is more than most headers have, in one request. */
export const headerFirstReadBytes = 12 * 2_880;
/** A read that did not reach END is repeated with so many times its length. */
export const headerReadGrowth = 4;

function assert(condition: boolean, relation: string): void {
  if (!condition) throw new Error(`storage/limits.ts: ${relation} does not hold`);
}

assert(streamChunkBytes <= readBytesMax, "streamChunkBytes <= readBytesMax");
assert(headerReadGrowth >= 2, "headerReadGrowth >= 2 (the number of reads stays logarithmic)");
assert(storageDeadlineMs <= storageWriteDeadlineMs, "storageDeadlineMs <= storageWriteDeadlineMs");
