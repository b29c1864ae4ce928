/** What one item of a claim becomes, by the outcome of its work. */
import type { Moment, Outcome, Settlement } from "../protocol/lifecycle.ts";
import { crashedReason, refuse, settle } from "../protocol/lifecycle.ts";
import type { ClaimSource, Item } from "./claimSource.ts";

/** @param alone the item was the only one of its claim */
export function settlementOf<Body>(
  source: Pick<ClaimSource<Body>, "rules" | "good" | "bodyOfRefused">,
  item: Item<Body>,
  outcome: Outcome<Body> | undefined,
  alone: boolean,
  moment: Moment,
): Settlement<Body> {
  const { place, etag, generation, body } = item;
  const before = item.held?.record ?? null;
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
  return settle(subject, settled, source.rules, moment, source.good);
}
