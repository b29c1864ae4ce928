/** Of files that something waits for, those that came and do not count: withdrawn, or given up on. */
import type { Recogniser } from "../jobs/names.ts";
import { overlap, parseInstant } from "../jobs/instant.ts";
import type { Range } from "../jobs/instant.ts";
import { recordKey } from "../protocol/keys.ts";
import { withdrawnReason } from "../protocol/lifecycle.ts";
import type { RootCause, Stretch } from "../protocol/operatorQuestions.ts";
import { fileName } from "../protocol/route.ts";
import { nameOf } from "./ids.ts";
import type { Parked } from "./parkedIndex.ts";
import type { SetAside } from "./whyNext.ts";

const setAsideMax = 5;

const rangeOf = ({ start, end }: Stretch): Range => ({
  start: (start === null ? null : parseInstant(start)) ?? Number.NEGATIVE_INFINITY,
  end: (end === null ? null : parseInstant(end)) ?? Number.POSITIVE_INFINITY,
});

/** The latest first, the first few of many. */
export function setAsideOf(
  parked: ReadonlyArray<Parked>,
  roots: ReadonlyArray<RootCause>,
  recogniser: Recogniser,
): ReadonlyArray<SetAside> {
  const awaited = roots.filter(({ type, dataset }) => type === "arrival" && dataset !== null);
  const found: Array<SetAside & { readonly at: string }> = [];
  for (const { place, reason, at } of parked) {
    const name = fileName(nameOf(place));
    const recognised = recogniser.recognise(name);
    if (!recognised.ok) continue;
    const { dataset, range } = recognised.file;
    const isAwaited = awaited.some(
      (root) =>
        root.dataset === dataset &&
        // Where a pointing lies its name does not say.
        (root.range === null || range === null || overlap(range, rangeOf(root.range))),
    );
    if (isAwaited) found.push({ key: recordKey(place), name, dataset, reason, at });
  }
  return found
    .sort((a, b) => b.at.localeCompare(a.at))
    .slice(0, setAsideMax)
    .map(({ at: _at, ...one }) => one);
}

export const setAsideWords = ({ name, reason }: SetAside): string =>
  reason === withdrawnReason
    ? `${name} came and was withdrawn`
    : `${name} came and was given up on: ${reason}`;
