/** Says when files that the mission's jobs need have grown old: once when they have, again each day, and when they are fresh again. */
import type { FileAge } from "../jobs/ageing.ts";
import { fileAges, isAged } from "../jobs/ageing.ts";
import type { Instant } from "../jobs/instant.ts";
import { dayUs } from "../jobs/instant.ts";
import type { AgedKind } from "../protocol/operatorQuestions.ts";
import type { Known } from "./answering.ts";
import { isoOrNull } from "./answering.ts";
import type { NodeContextService } from "./NodeContext.ts";

const lookEveryUs = 60_000_000;
const againUs = dayUs;

export const agesOf = ({ core, catalogue, facts }: Known): ReadonlyArray<FileAge> =>
  fileAges(core, new Map([...catalogue.ages].map(([kind, ms]) => [kind, ms * 1_000])), (name) =>
    facts.cameAt(name),
  );

const daysOf = (us: number): number => Math.floor(us / dayUs);

export const agedOf = (known: Known): ReadonlyArray<AgedKind> =>
  agesOf(known)
    .filter(isAged)
    .map(({ kind, dataset, newest, at, of, age, ageMax }) => ({
      kind,
      dataset,
      newest,
      at: isoOrNull(at) ?? "",
      of,
      days: daysOf(age),
      daysMax: ageMax / dayUs,
    }));

export class AgeAlarm {
  #lookedAt: Instant = Number.NEGATIVE_INFINITY;
  /** When it was said last, by data set. */
  readonly #said = new Map<string, Instant>();

  look(known: Known, node: Pick<NodeContextService, "log" | "counters">): void {
    const { now } = known.core;
    if (now - this.#lookedAt < lookEveryUs) return;
    this.#lookedAt = now;
    for (const one of agesOf(known)) {
      const { kind, dataset, newest, at, age, ageMax } = one;
      node.counters.fileAge(dataset, Math.max(0, age / dayUs), isAged(one));
      const said = this.#said.get(dataset);
      if (!isAged(one)) {
        if (this.#said.delete(dataset)) node.log("info", "files are fresh again", { kind, newest });
      } else if (said === undefined || now - said >= againUs) {
        this.#said.set(dataset, now);
        node.log("error", "files have grown old: what must be made of them waits or is made of old ones", {
          kind,
          dataset,
          newest,
          reaches: isoOrNull(at),
          days: daysOf(age),
          daysMax: ageMax / dayUs,
        });
      }
    }
  }
}
