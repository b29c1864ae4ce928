/** What a test tells a node process, and what the node process writes down of its work. */

/** Given to the node process as one JSON file. */
export interface NodePlan {
  /** Path of the site file. */
  readonly site: string;
  readonly node: string;
  /** Both are appended to, one JSON document a line, across all lives of the node. */
  readonly logFile: string;
  readonly ingestFile: string;
  /** How long each batch is in the driver. */
  readonly delayMs: number;
  /** A batch with an object whose key contains this ends the process by SIGKILL, once the batch is noted. */
  readonly killOn: string | null;
}

/**
 * One call of the driver, noted as it begins and as it ends. On a native lane keys contain `flaky` or `bad` to be failed; of another
 * driver's batch the end names what it has taken in.
 */
export interface IngestNote {
  readonly what: "begin" | "end";
  readonly node: string;
  readonly pid: number;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly items: ReadonlyArray<{ readonly record: string; readonly etag: string }>;
}

/** Printed on stdout once every actor of the node is ready. */
export interface ReadyLine {
  readonly http: string;
  readonly epoch: string;
}

export interface LogNote {
  readonly at: number;
  readonly pid: number;
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}
