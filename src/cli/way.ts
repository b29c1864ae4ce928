/** By which way a command went to its servers, and what its failure means there: who is away, and whose credentials may not. */
import { existsSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import * as Effect from "effect/Effect";
import { missingStreams, missingWords } from "../jetstream/missing.ts";
import type { ConnectSettings } from "../jetstream/Nats.ts";
import { connectNats } from "../jetstream/Nats.ts";
import type { ServerAt } from "./eachServer.ts";
import { awayWords, connectFirstMs } from "./eachServer.ts";
import { CommandFailed, exitCode, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";

export interface Way {
  readonly servers: ReadonlyArray<ServerAt>;
  readonly settings: Omit<ConnectSettings, "servers">;
  /** Who named the file of credentials: `ORRERY_CREDENTIALS`, say. */
  readonly namedBy: string;
  /** Streams that the site needs; where it is known. */
  readonly streams?: ReadonlyArray<string>;
  /** The name of a supernode; null for a site. */
  readonly supernode?: string | null;
}

/** From where the command was given, where the file is below it. */
export function shown(io: Pick<IoService, "cwd">, file: string): string {
  const near = relative(io.cwd, file);
  return near.startsWith("..") ? file : near;
}

/** Neither a file of them nor a user was named. */
export const hasNone = ({ settings }: Pick<Way, "settings">): boolean =>
  !settings.credentialsFile && (settings.user ?? null) === null;

/** Which file it was, and who named it. */
export const credentialsWords = (io: IoService, { settings, namedBy }: Omit<Way, "servers">): string =>
  settings.credentialsFile
    ? `${shown(io, settings.credentialsFile)} (named by ${namedBy})`
    : hasNone({ settings })
      ? `none (${namedBy} names none)`
      : `user and password of ${namedBy}`;

/** What to do about credentials that may not: the others that `site init` wrote beside them. */
function cure(io: IoService, way: Way): string {
  const file = way.settings.credentialsFile ?? "";
  const ours = `These are ${credentialsWords(io, way)}`;
  const own = basename(file);
  if (own === "admin.creds") return `${ours}, which may everything of its own account`;
  const beside = (name: string): string | null => {
    const other = join(dirname(file), name);
    return file !== "" && own !== name && existsSync(other) ? `ORRERY_CREDENTIALS=${shown(io, other)}` : null;
  };
  const look = beside("operator.creds");
  const change = beside("admin.creds");
  const changes = "for topology, backup, restore and whatever else changes the site";
  if (look === null && change === null)
    return `${ours}; ORRERY_CREDENTIALS takes others: operator.creds to look, admin.creds ${changes}`;
  if (look === null) return `${ours}; ${changes}: ${change ?? ""}`;
  return `${ours}; to look: ${look}${change === null ? "" : `; ${changes}: ${change}`}`;
}

/** Which of its streams are not there; where all are gone, that it has not been made; the failure itself where none is, or nobody can tell. */
const missingNow = (way: Way, failure: CommandFailed): Effect.Effect<CommandFailed> => {
  const { streams = [], supernode = null } = way;
  const error =
    supernode === null
      ? failure
      : new CommandFailed({
          exit: failure.exit,
          message: `supernode ${supernode} has not its streams yet: orrery topology apply --supernode ${supernode}`,
        });
  const servers = way.servers.map(({ url }) => url);
  return connectNats({ ...way.settings, servers }, { firstMs: connectFirstMs }).pipe(
    Effect.flatMap((nats) => missingStreams(nats, streams)),
    Effect.map((missing) =>
      missing.length === streams.length
        ? error
        : missing.length === 0
          ? failure
          : new CommandFailed({ exit: error.exit, message: missingWords(missing, supernode) }),
    ),
    Effect.scoped,
    Effect.orElseSucceed(() => failure),
  );
};

/** The failure in the light of the way: it costs a look at each server, so only a command that failed does it. */
export function explained(io: IoService, error: CommandFailed): Effect.Effect<CommandFailed> {
  const { way } = io.run;
  if (way === undefined) return Effect.succeed(error);
  if (error.refused === true)
    return Effect.succeed(
      new CommandFailed({ exit: error.exit, refused: true, message: `${error.message} ${cure(io, way)}` }),
    );
  if (error.lacksStream === true) return missingNow(way, error);
  if (error.exit !== exitCode.unreachable || way.servers.length < 2) return Effect.succeed(error);
  return Effect.map(awayWords(way.servers, way.settings), (away) =>
    away === null ? error : unreachable(away.hasMost ? `${error.message}; ${away.words}` : away.words),
  );
}
