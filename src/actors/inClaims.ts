/** What of a take goes into one claim, whose slot is one message. */
import { claimBytesMax, claimItemsMax, claimedItemBytes } from "../limits.ts";

/** A character of a tag becomes at most so many in JSON; a key is plain as it is. */
const escapedMax = 6;

/** In the same order, each part no more than a claim may hold: in number, and in bytes, where names are as long as stores grant them. */
export function inClaims<A extends { readonly key: string; readonly etag: string }>(
  items: ReadonlyArray<A>,
): ReadonlyArray<ReadonlyArray<A>> {
  const claims: Array<ReadonlyArray<A>> = [];
  let open: Array<A> = [];
  let bytes = 0;
  for (const item of items) {
    const more = item.key.length + escapedMax * item.etag.length + claimedItemBytes;
    if (open.length > 0 && (open.length >= claimItemsMax || bytes + more > claimBytesMax)) {
      claims.push(open);
      open = [];
      bytes = 0;
    }
    open.push(item);
    bytes += more;
  }
  return open.length === 0 ? claims : [...claims, open];
}
