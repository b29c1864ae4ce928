import * as Schema from "effect/Schema";
import { inspect } from "node:util";

/**
 * A specification was refused before anything of it was started. `value` is what stands there, `expected` what may.
 */
export class InvalidSpec extends Schema.TaggedError<InvalidSpec>()("InvalidSpec", {
  /** Path of the supervisor or child whose specification it is. */
  path: Schema.String,
  option: Schema.String,
  value: Schema.Unknown,
  expected: Schema.String,
}) {
  override get message(): string {
    return `${this.path}: ${this.option} is ${show(this.value)}, expected ${this.expected}; nothing was started`;
  }
}

/**
 * A child could not be started, by its supervisor's own start or by `startChild`, `restartChild`, `spawn`. What
 * had been started before it has been stopped again, in reverse (by a supervisor), or goes on untouched (by an
 * operation).
 */
export class StartFailed extends Schema.TaggedError<StartFailed>()("StartFailed", {
  path: Schema.String,
  /** Why, in words. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.path} did not start: ${this.reason}`;
  }
}

/**
 * A supervisor gave up: the next restart would have been more than `intensity` within `periodMillis`. All its
 * children have been stopped. Its parent treats this as the failure of a child; at the root, leave the process
 * with a non-zero code and let whoever watches it start it anew.
 */
export class IntensityExceeded extends Schema.TaggedError<IntensityExceeded>()("IntensityExceeded", {
  path: Schema.String,
  intensity: Schema.Number,
  periodMillis: Schema.Number,
  /** The child whose exit was one too many, and that exit in words. */
  child: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.path}: more than ${this.intensity} restarts within ${this.periodMillis} ms, the last for ${this.child}: ${this.reason}`;
  }
}

/** An operation on a running tree was refused; the tree is as it was. */
export class OperationRefused extends Schema.TaggedError<OperationRefused>()("OperationRefused", {
  operation: Schema.Literals(["startChild", "spawn", "terminateChild", "restartChild", "deleteChild"]),
  path: Schema.String,
  reason: Schema.Literals([
    /** Nothing is at this path. */
    "not_found",
    /** What is at this path is a worker, or a supervisor of another strategy than the operation needs. */
    "not_for_worker",
    "not_for_simple_one_for_one",
    /** The name is taken, by a child that is alive or by one that is stopped or restarting. */
    "already_started",
    "already_present",
    /** The child would have to be stopped first: see `terminateChild`. */
    "running",
    "restarting",
    /** The supervisor ended, or is between two lives, so it cannot answer. */
    "supervisor_stopped",
  ]),
}) {
  override get message(): string {
    return `${this.operation} ${this.path}: ${this.reason}`;
  }
}

const show = (value: unknown): string => inspect(value, { depth: 1, breakLength: Infinity });
