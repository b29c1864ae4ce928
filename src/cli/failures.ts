/** How a command ends, as its exit code says it. docs/cli.md is the promise to scripts. */
import * as Schema from "effect/Schema";
import type { JetStreamError } from "../protocol/errors.ts";
import { JetStreamRejected, refusalIn } from "../protocol/errors.ts";

export const exitCode = {
  ok: 0,
  /** It could not be done; stderr says why and what to do. */
  failure: 1,
  /** The command line, or the site file's name, is not understood. Nothing was done. */
  usage: 2,
  /** The answer is no: absent, not found, not in agreement. */
  no: 3,
  /** Nothing answers where the site should be. */
  unreachable: 4,
  /** ^C. */
  interrupted: 130,
} as const;

/** A command ends with this code; `message` goes to stderr, empty where all is said already. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  exit: Schema.Number,
  message: Schema.String,
  /** The credentials do not allow it. */
  refused: Schema.optionalKey(Schema.Boolean),
  /** It may be that a stream of the site is not there: whether, and which, has not been looked for yet. */
  lacksStream: Schema.optionalKey(Schema.Boolean),
}) {}

export const failed = (message: string): CommandFailed =>
  new CommandFailed({ exit: exitCode.failure, message });
export const misused = (message: string): CommandFailed =>
  new CommandFailed({ exit: exitCode.usage, message });
export const no = (message: string): CommandFailed => new CommandFailed({ exit: exitCode.no, message });
export const unreachable = (message: string): CommandFailed =>
  new CommandFailed({ exit: exitCode.unreachable, message });

/** Of lists that are never shown whole. What is more than they can hold is cut, as their help says. */
export const limitFault = (limit: number): CommandFailed | null =>
  limit >= 1 ? null : misused(`--limit ${limit}: a number from 1`);

/** The server answers, and does not let these credentials do it. */
export const refused = (message: string): CommandFailed =>
  new CommandFailed({ exit: exitCode.failure, message, refused: true });

const streamNotFound = 10059;
const clusterNotAvailable = 10008;

/** What a JetStream error means for somebody who typed a command. */
export function ofJetStream(error: JetStreamError): CommandFailed {
  if (error._tag === "NatsUnavailable")
    return error.refusal === null
      ? // A node tries again by itself; a command has ended.
        unreachable(
          `${error.operation}: no answer from NATS (${error.detail}). Nothing is known to be stored: check that nats-server runs and is reachable, and do it again`,
        )
      : refused(error.message);
  if (error._tag === "TransactionBusy" && error.code === clusterNotAvailable)
    return unreachable(error.message);
  if (error._tag === "JetStreamRejected" && error.code === streamNotFound) {
    return new CommandFailed({
      exit: exitCode.failure,
      lacksStream: true,
      message:
        "this NATS server holds no Orrery site yet: start a node (orrery start SITE), or orrery topology apply SITE",
    });
  }
  return failed(error.message);
}

const isJetStreamError = (cause: unknown): cause is JetStreamError =>
  typeof cause === "object" &&
  cause !== null &&
  "_tag" in cause &&
  [
    "NatsUnavailable",
    "JetStreamRejected",
    "TransactionConflict",
    "TransactionDuplicate",
    "TransactionBusy",
  ].some((tag) => tag === cause._tag);

/** Of an error as the NATS client throws it; null for another. */
function apiCodeOf(cause: unknown): number | null {
  const { apiError } = (cause ?? {}) as { readonly apiError?: unknown };
  if (typeof apiError !== "function") return null;
  const { err_code: code } = (cause as { apiError: () => { err_code?: number } }).apiError();
  return code ?? null;
}

/** For what plain promises reject with. */
export function ofCause(cause: unknown): CommandFailed {
  if (cause instanceof CommandFailed) return cause;
  if (isJetStreamError(cause)) return ofJetStream(cause);
  if (apiCodeOf(cause) === streamNotFound)
    return ofJetStream(new JetStreamRejected({ operation: "read", code: streamNotFound, detail: "" }));
  const message = cause instanceof Error ? cause.message : String(cause);
  const refusal = refusalIn(message);
  return refusal === null ? failed(message) : refused(`refused, these credentials may not ${refusal}.`);
}
