import * as Cause from "effect/Cause";
import * as Exit from "effect/Exit";
import { inspect } from "node:util";

/**
 * How a child ended. `normal`: it returned. `shutdown`: its supervisor stopped it, and it did as it was told.
 * `failure`: a typed error. `defect`: a bug, a dying finalizer included. `interrupted`: by somebody else than its
 * supervisor. The last three are abnormal: a transient child is restarted after them.
 */
export type ExitKind = "normal" | "shutdown" | "failure" | "defect" | "interrupted";

export interface ChildExit {
  readonly kind: ExitKind;
  /** In words, of bounded length. */
  readonly reason: string;
  /** For whoever wants the stack traces; undefined if the child returned. */
  readonly cause: Cause.Cause<unknown> | undefined;
}

export const isAbnormal = (kind: ExitKind): boolean => kind !== "normal" && kind !== "shutdown";

/**
 * The reasons of a cause decide, all of them. (The error channel is not enough: a finalizer that dies turns the
 * typed error before it into a defect, and an interruption may stand beside either.)
 */
export const classify = (exit: Exit.Exit<unknown, unknown>, stoppedBySupervisor: boolean): ChildExit => {
  if (Exit.isSuccess(exit)) return { kind: "normal", reason: "returned", cause: undefined };
  const { cause } = exit;
  return { kind: kindOf(cause, stoppedBySupervisor), reason: describe(cause, stoppedBySupervisor), cause };
};

const kindOf = (cause: Cause.Cause<unknown>, stoppedBySupervisor: boolean): ExitKind => {
  if (Cause.hasDies(cause)) return "defect";
  if (Cause.hasFails(cause)) return "failure";
  if (!Cause.hasInterrupts(cause)) return "defect";
  return stoppedBySupervisor ? "shutdown" : "interrupted";
};

const reasonsShownMax = 4;
const reasonCharsMax = 600;

const describe = (cause: Cause.Cause<unknown>, stoppedBySupervisor: boolean): string => {
  if (cause.reasons.length === 0) return "ended with an empty cause";
  const interruption = stoppedBySupervisor ? "stopped by its supervisor" : "interrupted from outside";
  const words = cause.reasons.map((reason) => {
    if (Cause.isFailReason(reason)) return `failed: ${inWords(reason.error)}`;
    return Cause.isDieReason(reason) ? `died: ${inWords(reason.defect)}` : interruption;
  });
  const distinct = [...new Set(words)];
  const shown = distinct.slice(0, reasonsShownMax);
  if (distinct.length > shown.length) shown.push(`and ${distinct.length - shown.length} more`);
  return shown.join("; ");
};

const inWords = (value: unknown): string => {
  const text = value instanceof Error ? `${value.name}: ${value.message}` : showValue(value);
  return text.length > reasonCharsMax ? `${text.slice(0, reasonCharsMax)}…` : text;
};

const showValue = (value: unknown): string =>
  typeof value === "string" ? value : inspect(value, { depth: 2, breakLength: Infinity, maxArrayLength: 10 });
