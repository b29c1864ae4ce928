/** The version that is installed when none is found. */
export const NATS_SERVER_PINNED: "2.15.2";

/** The oldest version that is accepted: before it, overwritten values could come back after a hard kill. */
export const NATS_SERVER_FLOOR: "2.15.1";

export type NatsServerSource =
  | "ORRERY_NATS_SERVER"
  | "PATH"
  | "cache"
  | "go install"
  | "release archive"
  | "Docker";

export interface FoundNatsServer {
  /** The program's absolute path. */
  readonly path: string;
  /** What it answered to `--version`, without the `v`: `2.15.2`. */
  readonly version: string;
  readonly source: NatsServerSource;
}

export interface FindNatsServerOptions {
  /**
   * The variables that are read: `ORRERY_NATS_SERVER`, `PATH`, `ORRERY_CACHE`, `XDG_CACHE_HOME`, `ORRERY_NATS_RELEASES`.
   * Default: this process's own.
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** False: only look, install nothing. Default: true. */
  readonly install?: boolean;
  /** Told what is being done, as pieces of text that make whole lines. Default: nobody is told. */
  readonly say?: (text: string) => void;
  /** Default: this machine's own, as Node names them. */
  readonly platform?: string;
  readonly arch?: string;
  readonly limits?: Partial<NatsServerLimits>;
}

export interface NatsServerLimits {
  /** For `nats-server --version`, in ms. */
  readonly versionMs: number;
  /** For `go install`, in ms. */
  readonly goMs: number;
  /** For each file of a release, in ms. */
  readonly downloadMs: number;
  /** For the next bytes of a download, in ms. */
  readonly idleMs: number;
  /** For the Docker engine to answer at all, in ms. */
  readonly dockerAnswerMs: number;
  /** For Docker to pull the image and hand over the program, in ms. */
  readonly dockerMs: number;
}

/** Every place that was tried, in order, with the reason why it gave no server. Its message says how to mend it. */
export class NatsServerNotFound extends Error {
  readonly name: "NatsServerNotFound";
  readonly tried: ReadonlyArray<{ readonly place: NatsServerSource; readonly reason: string }>;
  /** One line: what to do. */
  readonly fix: string;
}

/**
 * Finds a nats-server of at least `NATS_SERVER_FLOOR`: `ORRERY_NATS_SERVER`, the `PATH`, the cache; else installs
 * `NATS_SERVER_PINNED` into the cache by `go install`, from the release's archive, or out of the Docker image.
 * Every server is run with `--version` before it is taken. Takes about 10 ms when there is one.
 *
 * Rejects with `NatsServerNotFound` when none of these gave one; nothing half-installed is left where it would be found.
 */
export function findNatsServer(options?: FindNatsServerOptions): Promise<FoundNatsServer>;
