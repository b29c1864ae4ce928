/**
 * Files that grow old: kernels, spin data, clocks that nobody has delivered for longer than they may be missing. What jobs take is
 * looked at and nothing else; of a kind that never came nobody can say how old it is, and whatever waits for it says so itself.
 */
import type { DatasetId } from "./dataset.ts";
import type { Instant } from "./instant.ts";
import type { Resolver } from "./Resolver.ts";

export interface FileAge {
  readonly kind: string;
  readonly dataset: DatasetId;
  /** Name of the one that reaches furthest; of files for all time, that came last. */
  readonly newest: string;
  /** To where it reaches; of files for all time, when it came. */
  readonly at: Instant;
  readonly of: "end" | "arrival";
  /** µs. */
  readonly age: number;
  readonly ageMax: number;
}

/**
 * Every data set that is watched, the oldest first.
 *
 * @param agesMax by kind, µs
 * @param cameAt when a file came, by its name; null where nobody knows
 */
export function fileAges(
  { consumers, now }: Pick<Resolver, "consumers" | "now">,
  agesMax: ReadonlyMap<string, number>,
  cameAt: (name: string) => Instant | null,
): ReadonlyArray<FileAge> {
  const found: Array<FileAge> = [];
  for (const [dataset, [consumer]] of consumers) {
    if (consumer === undefined) continue;
    const { files, declared } = consumer.input;
    const ageMax = agesMax.get(declared.kind);
    if (ageMax === undefined || files.selection === "product") continue;
    const of = files.selection === "timeless" ? "arrival" : "end";
    let newest: { readonly name: string; readonly at: Instant } | null = null;
    for (const { name, range } of files.files.all) {
      const at = of === "end" ? range.end : cameAt(name);
      if (at !== null && (newest === null || at > newest.at)) newest = { name, at };
    }
    if (newest === null || !Number.isFinite(newest.at)) continue;
    const { name, at } = newest;
    found.push({ kind: declared.kind, dataset, newest: name, at, of, age: now - at, ageMax });
  }
  return found.sort((a, b) => b.age - a.age);
}

export const isAged = ({ age, ageMax }: FileAge): boolean => age > ageMax;
