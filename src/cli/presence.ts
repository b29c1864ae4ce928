/** `orrery presence`: is this group here? The exit code is the answer. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { presenceWaitSecondsMax, requestDeadlineMs } from "../limits.ts";
import { presenceRequestSubject } from "../protocol/keys.ts";
import type { Scope as Whose } from "../protocol/presence.ts";
import { CommandFailed, exitCode, failed, misused, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, tell } from "./Io.ts";
import { openWholeSite } from "./site.ts";
import { harmless } from "./words.ts";

export interface PresenceOptions {
  readonly site: string | null;
  readonly instrument: string;
  readonly group: string;
  readonly snap: string;
  readonly detector: string;
  /** Seconds. */
  readonly wait: number;
  readonly scope: Whose | null;
  readonly json: boolean;
}

interface Reply {
  readonly error?: boolean;
  readonly present?: boolean;
  readonly uri?: string;
  /** Of another site's group. */
  readonly site?: string;
  readonly unheard?: ReadonlyArray<string>;
  readonly message?: string;
}

function readReply(data: Uint8Array): Reply | null {
  try {
    return JSON.parse(new TextDecoder().decode(data)) as Reply;
  } catch {
    // Not an answer of ours: told as such.
    return null;
  }
}

function unheardWords(sites: ReadonlyArray<string> = []): string {
  if (sites.length === 0) return "";
  return sites.includes("*")
    ? "; other sites could not be asked"
    : `; of ${harmless(sites.join(", "))} nothing was heard lately`;
}

export const presence = (
  io: IoService,
  options: PresenceOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { instrument, group, snap, detector, wait, scope } = options;
    if (wait < 0 || wait > presenceWaitSecondsMax) {
      return yield* misused(`--wait ${wait}: it may be 0 to ${presenceWaitSecondsMax} seconds`);
    }
    if (!/^[0-9]+$/.test(snap))
      return yield* misused(
        `${harmless(snap)} is no SNAP: the place of the exposure within its group, from 0`,
      );
    const { nats, site } = yield* openWholeSite(io, options.site);
    const question = JSON.stringify({
      instrument,
      group,
      snap,
      detector,
      ...(wait > 0 ? { wait } : {}),
      ...(scope === null ? {} : { scope }),
    });
    const answer = yield* nats
      .request("presence", presenceRequestSubject, question, { deadlineMs: wait * 1_000 + requestDeadlineMs })
      .pipe(
        Effect.mapError((error) =>
          error.detail.includes("NoResponders")
            ? unreachable(
                `no node of site ${site.name} answers presence look-ups: start one with the role "presence"`,
              )
            : ofJetStream(error),
        ),
      );
    const reply = readReply(answer.data);
    if (reply === null)
      return yield* failed("what answers presence look-ups here does not speak Orrery's language");
    if (options.json) io.out.write(`${JSON.stringify(reply)}\n`);
    if (reply.error === true) {
      const status = Number(answer.headers?.get("Nats-Service-Error-Code") ?? "503");
      const message = options.json ? "" : (reply.message ?? "the question was refused");
      return yield* status === 503
        ? // Its node takes a bucket that is gone for a server that does not answer.
          new CommandFailed({ exit: exitCode.failure, message, lacksStream: true })
        : misused(message);
    }
    if (reply.present === true) {
      if (!options.json) say(io, harmless(reply.uri ?? ""));
      if (!options.json && reply.site !== undefined) tell(io, `at ${harmless(reply.site)}`);
      return undefined;
    }
    const waited = wait > 0 ? `, after waiting ${wait} s` : "";
    if (!options.json) tell(io, `absent${waited}${unheardWords(reply.unheard)}`);
    return yield* new CommandFailed({ exit: exitCode.no, message: "" });
  });
