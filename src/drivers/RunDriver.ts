/**
 * Where a run's command runs: `process` on this machine, `docker` in a container; a cluster scheduler is another implementation of
 * the same contract, which test/conformance/runDriver.ts holds them all to:
 *
 * - `run` starts the command once and ends when it has ended, with everything that it started.
 * - Time limit: the command is asked to end (SIGTERM, or the engine's stop) and after `termGraceMs` made to.
 * - Interruption: the same, within `interruptGraceMs`. When `run` has ended nothing of the command is left running.
 * - This program may be killed at any moment: then the command must be ended without it. A driver whose engine outlives
 *   this program names what it starts after `task.id`, and ends what is left of that name before it starts.
 * - A driver publishes nothing: inputs are read from `scratch`, outputs are left there, and only the runner puts them
 *   into buckets. That is why an orphan does no harm.
 * - Output goes to `logFile`, at most `logBytesMax` of it and a note of what was cut off.
 */
import type * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";

/**
 * The command could not be run: no scratch folder, no process to be had, no engine that answers. It is nobody's fault. Nothing ran, or
 * what did, as in a container whose engine was killed, is ended before the next try.
 */
export class DriverFailed extends Schema.TaggedError<DriverFailed>()("DriverFailed", {
  driver: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `the ${this.driver} driver could not run a command (${this.detail}). This is no failure of the run; it is tried again.`;
  }
}

export interface RunTask {
  /** Unique to this try: letters, digits, `_`, `-`, `=` and `.`. */
  readonly id: string;
  /** Ids of earlier tries of the same run: what is left of them is ended before this one starts. */
  readonly leftovers: ReadonlyArray<string>;
  /** Who starts it: what a former life of the same owner left is ended by {@link RunDriver.sweep}. As an id. */
  readonly owner: string;
  /** Program and arguments; no shell reads them. Of an image, its arguments. */
  readonly command: ReadonlyArray<string>;
  /** Of a driver that runs images; null for the others. */
  readonly image: string | null;
  /** Folders outside of `scratch` that the command reads, absolute. */
  readonly reads: ReadonlyArray<string>;
  /** Absolute. */
  readonly cwd: string;
  /** What the job and the runner say; the driver adds what its commands need to start at all. */
  readonly env: Readonly<Record<string, string>>;
  /** Folder of this try, absolute: a driver with a file system of its own brings it in under the same path. */
  readonly scratch: string;
  readonly logFile: string;
  readonly logBytesMax: number;
  readonly timeLimitMs: number;
  /** Told about once a second while it runs. */
  readonly onProgress?: (progress: RunProgress) => void;
}

export interface RunProgress {
  /** Its last line so far, clipped. */
  readonly line: string;
  /** Largest resident size seen so far, bytes. */
  readonly peakRssBytes: number | null;
}

export interface RunEnd {
  /** As a shell gives it: 128 + n for signal n. Null when the command was ended before it had one. */
  readonly exit: number | null;
  readonly timedOut: boolean;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Largest resident size seen of the command's own process, bytes; null where the system does not say. */
  readonly peakRssBytes: number | null;
  /** Processor time of the command and of all that it waited for, ms; null where the system does not say. */
  readonly cpuMs: number | null;
  /** Bytes that the command wrote, also of what was cut off. */
  readonly logBytes: number;
  /** Its last line that is not blank, clipped. */
  readonly lastLine: string;
}

export interface RunDriver {
  readonly name: string;
  readonly run: (task: RunTask) => Effect.Effect<RunEnd, DriverFailed>;
  /** Ends whatever was started for this owner. Called when the owner has nothing in hand; what cannot be reached now is left. */
  readonly sweep: (owner: string) => Effect.Effect<void, DriverFailed>;
}
