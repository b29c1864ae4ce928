/** What one item of a claim becomes, by the outcome of its work. */
import type { Moment, Outcome, Settlement } from "../protocol/lifecycle.ts";
import { crashedReason, refuse, settle } from "../protocol/lifecycle.ts";
import type { ClaimSource, Item } from "./claimSource.ts";

/** @param alone the item was the only one of its claim */
export function settlementOf<Body>(
  source: Pick<ClaimSource<Body>, "rules" | "good" | "bodyOfRefused" | "carries">,
  item: Item<Body>,
  outcome: Outcome<Body> | undefined,
  alone: boolean,
  moment: Moment,
): Settlement<Body> {
  const { place, etag, generation } = item;
  const before = item.held?.record ?? null;
  const { carries } = source;
  // Of other content nothing is carried: what was said of that need not be so of this.
  const carried = (body: Body): Body =>
    carries === undefined || before === null || before.etag !== etag ? body : carries(before.body, body);
  const body = carried(item.body);
  const subject = { place, etag, generation, before, body, alone };
  if (item.refused === true && before !== null) {
    const content = {
      etag,
      size: null,
      at: new Date(moment.now).toISOString(),
      sequence: item.sequence,
      ...(source.bodyOfRefused === undefined ? {} : { body: source.bodyOfRefused(body) }),
    };
    return refuse({ ...subject, before }, content, moment);
  }
  const settled =
    outcome ?? ({ type: "transient", reason: crashedReason, detail: "the worker gave no outcome" } as const);
  const told =
    "body" in settled && settled.body !== undefined ? { ...settled, body: carried(settled.body) } : settled;
  return settle(subject, told, source.rules, moment, source.good);
}
