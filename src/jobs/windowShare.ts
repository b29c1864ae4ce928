/** The rule of windows: never before their end, at once when complete, else at their deadline if enough is there. */
import type { BlockedOn } from "./blockedOn.ts";
import type { View } from "./chooseInput.ts";
import type { CompiledInput, CompiledJob } from "./CompiledJob.ts";
import type { Share } from "./fact.ts";
import type { Instant, Range } from "./instant.ts";
import { dayUs } from "./instant.ts";

export interface Gate {
  /** Null: it may be made. */
  readonly lack: BlockedOn | null;
  /** Of its pointings or days; null where they are not counted. */
  readonly share: Share | null;
  readonly isComplete: boolean;
  readonly wakeAt: Instant | null;
}

const open: Gate = { lack: null, share: null, isComplete: true, wakeAt: null };

export function windowGate(job: CompiledJob, range: Range, view: View): Gate {
  const { policy } = job.definition;
  if (policy === null || !Number.isFinite(range.end)) return open;
  const { unit } = policy;
  if (view.now < range.end) {
    return { ...open, lack: { type: "windowOpen", until: range.end }, isComplete: false, wakeAt: range.end };
  }
  if (unit === "any") return open;
  const { share, missing } = shareOf(job, unit, range, view);
  const isComplete = share.have === share.of && share.of > 0 && reaches(unit, range, view);
  if (isComplete) return { lack: null, share, isComplete, wakeAt: null };
  const deadline = range.end + policy.deadlineDays * dayUs;
  // A share such as 0.9 of 10 is 9 and no rounding more.
  const need = Math.max(1, Math.ceil(policy.coverage * share.of - 1e-9));
  const late = view.now >= deadline;
  const lack: BlockedOn | null =
    late && share.have >= need
      ? null
      : { type: "windowShare", unit, ...share, deadline, late, need, dataset: missing };
  return { lack, share, isComplete, wakeAt: late ? null : deadline };
}

/** As it stands now, whatever the time; null where nothing is counted. */
export function windowShare(job: CompiledJob, range: Range, view: View): Share | null {
  const unit = job.definition.policy?.unit ?? "any";
  return unit === "any" || !Number.isFinite(range.end) ? null : shareOf(job, unit, range, view).share;
}

/** How many pointings or days have a file of every counted input that is required (of any, where none is). */
function shareOf(
  job: CompiledJob,
  unit: "pointing" | "day",
  range: Range,
  { index }: View,
): { readonly share: Share; readonly missing: string | null } {
  const all = job.products.filter((input) => input.counted);
  const required = all.filter((input) => input.declared.required);
  const counted = required.length > 0 ? required : all;
  const parts =
    unit === "pointing"
      ? index.calendar.overlapping(range)
      : Array.from({ length: Math.round((range.end - range.start) / dayUs) }, (_, day) => ({
          number: null,
          range: { start: range.start + day * dayUs, end: range.start + (day + 1) * dayUs },
        }));
  let have = 0;
  let missing: string | null = null;
  for (const part of parts) {
    const isThere = (input: CompiledInput): boolean =>
      input.files.selection === "product" &&
      (part.number === null
        ? input.files.files.overlaps(part.range)
        : input.files.files.ofPointing(part.number) !== undefined);
    const lacks = counted.find((input) => !isThere(input));
    if (required.length > 0 ? lacks === undefined : counted.some(isThere)) have++;
    else missing ??= lacks?.dataset ?? null;
  }
  return { share: { have, of: parts.length }, missing };
}

/** Whether all pointings of the window are known: a table that ends within it may yet bring more. */
function reaches(unit: "pointing" | "day", range: Range, { index }: View): boolean {
  if (unit === "day") return true;
  const last = index.calendar.pointings.at(-1);
  return last !== undefined && last.range.end >= range.end;
}
