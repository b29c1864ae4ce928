/** `orrery status`: how a site stands at this moment, once or again and again. */
import { resolve } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { CommandFailed } from "./failures.ts";
import { misused, no, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { sayJson, tell } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { findSite, openSite } from "./site.ts";
import { rootOf } from "./siteInit.ts";
import type { Home } from "./siteLife.ts";
import { homeOf } from "./siteLife.ts";
import { rebuiltOf } from "./siteSources.ts";
import type { Rebuilt } from "./sourced.ts";
import { renderStatus } from "./statusView.ts";
import type { SupernodeLink } from "./supernodeLink.ts";
import { readSupernodeLink } from "./supernodeLink.ts";
import type { SupernodeStatus } from "./supernodeStatus.ts";
import { readSupernodeStatus, renderSupernodeStatus } from "./supernodeStatus.ts";
import type { SiteStatus } from "./survey.ts";
import { readStatus } from "./survey.ts";
import type { TableOptions } from "./table.ts";
import { missingStreams, missingWords } from "../jetstream/missing.ts";
import { checkRestored } from "../jetstream/restoring.ts";
import { siteTopology } from "../node/link.ts";
import { JetStreamRejected, RestoreUnfinished } from "../protocol/errors.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import { kvStream, ledgerBucket, nodesBucket } from "../protocol/keys.ts";
import { explained } from "./way.ts";

export interface StatusOptions {
  readonly site: string | null;
  readonly json: boolean;
  readonly watch: boolean;
  /** Seconds between two looks. */
  readonly every: number;
}

const everySecondsMax = 3_600;

/** Home, and each line cleared to its end: the screen never goes blank between two looks. */
function redraw(io: IoService, text: string): void {
  const lines = text.split("\n").join("\u001b[K\n");
  io.out.write(`\u001b[H${lines}\u001b[J`);
}

interface Look {
  readonly seen: (SiteStatus | SupernodeStatus) & {
    readonly missing: ReadonlyArray<string>;
    readonly restoring: Restoring | null;
  };
  readonly text: () => string;
  /** Streams that somebody deleted, or a restore that has not ended; null: all is there. */
  readonly fault: string | null;
}

interface Restoring {
  /** ISO 8601, by the server's clock. */
  readonly since: string;
  readonly from: string;
}

const streamNotFound = 10059;
/** Without these nothing can be told. */
const needed = [kvStream(ledgerBucket), kvStream(nodesBucket)];

const read = (
  io: IoService,
  link: SiteLink,
  rebuilt: Rebuilt,
  joined: SupernodeLink | null,
): Effect.Effect<
  { readonly seen: SiteStatus | SupernodeStatus; readonly text: () => string },
  NatsUnavailable | JetStreamRejected
> => {
  const options = (): TableOptions => ({ color: io.out.color, columns: io.out.columns() });
  return link.site.supernode
    ? Effect.map(readSupernodeStatus(link, rebuilt), (seen) => ({
        seen,
        text: () => renderSupernodeStatus(seen, options()),
      }))
    : Effect.map(readStatus(link), (of) => {
        const seen = { ...of, supernode: joined };
        return { seen, text: () => renderStatus(seen, options()) };
      });
};

/** The deployment in whose folder the site file lies; null where it lies in none. */
const homeHere = (
  io: IoService,
  named: string | null,
  { site }: SiteLink,
): Effect.Effect<Home | null, CommandFailed> =>
  Effect.flatMap(findSite(io, named), ({ file }) =>
    Effect.tryPromise({ try: () => homeOf(site, resolve(io.cwd, file)), catch: ofCause }),
  );

/** Told from the folder of deployments, where the supernode's site file lies in it. */
const rebuiltHere = (
  io: IoService,
  { site }: SiteLink,
  home: Home | null,
): Effect.Effect<Rebuilt, CommandFailed> => {
  if (!site.supernode || home === null) return Effect.succeed(() => null);
  const { root } = home.folder;
  return rebuiltOf(home, { supernode: site.name, dir: root === rootOf(io, null) ? null : root });
};

/** Null where none is unfinished, or where the credentials do not allow to look. */
const restoringNow = ({ site, nats }: SiteLink): Effect.Effect<Restoring | null, CommandFailed> =>
  site.supernode
    ? Effect.succeed(null)
    : Effect.matchEffect(checkRestored(nats, Effect.void), {
        onSuccess: () => Effect.succeed(null),
        onFailure: (error) =>
          error._tag === "RestoreUnfinished"
            ? Effect.succeed({ since: error.since, from: error.from })
            : Effect.fail(ofJetStream(error)),
      });

const lookAt = (io: IoService, named: string | null, link: SiteLink): Effect.Effect<Look, CommandFailed> =>
  Effect.gen(function* () {
    const { site, nats } = link;
    const names = siteTopology(site, []).streams.map(({ name }) => name);
    const restoring = yield* restoringNow(link);
    const missing = yield* missingStreams(nats, names).pipe(Effect.mapError(ofJetStream));
    if (missing.length === names.length && restoring === null) {
      const detail = "stream not found";
      return yield* ofJetStream(
        new JetStreamRejected({ operation: "look at the site", code: streamNotFound, detail }),
      );
    }
    // What a restore has not brought yet nobody deleted.
    const fault =
      restoring !== null
        ? new RestoreUnfinished(restoring).message
        : missing.length === 0
          ? null
          : missingWords(missing, site.supernode ? site.name : null);
    if (fault !== null && missing.some((name) => site.supernode || needed.includes(name)))
      return yield* no(fault);
    const home = yield* homeHere(io, named, link);
    const rebuilt = yield* rebuiltHere(io, link, home);
    const joined = home === null || site.supernode ? null : yield* readSupernodeLink(nats, home.deployment);
    const { seen, text } = yield* read(io, link, rebuilt, joined).pipe(Effect.mapError(ofJetStream));
    return { seen: { ...seen, missing, restoring }, text, fault };
  });

export const status = (
  io: IoService,
  options: StatusOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (!(options.every >= 0.2 && options.every <= everySecondsMax)) {
      return yield* misused(`--every ${options.every}: it may be 0.2 to ${everySecondsMax} seconds`);
    }
    const link = yield* openSite(io, options.site);
    const look = lookAt(io, options.site, link);
    if (!options.watch) {
      const { seen, text, fault } = yield* look;
      if (options.json) sayJson(io, seen);
      else io.out.write(text());
      if (fault !== null) return yield* no(options.json ? "" : fault);
      return undefined;
    }
    // ^C is how one stops watching.
    io.run.onSignal = 0;
    const terminal = io.out.columns() !== null && !options.json;
    if (terminal) io.out.write("\u001b[2J");
    return yield* Effect.forever(
      Effect.gen(function* () {
        const found = yield* Effect.catch(look, (error) =>
          Effect.map(explained(io, error), ({ message }) => {
            // A server that is away comes back; whoever watches wants to see that, too.
            if (terminal) redraw(io, `${message}\n`);
            else tell(io, message);
            return null;
          }),
        );
        if (found !== null && options.json) io.out.write(`${JSON.stringify(found.seen)}\n`);
        else if (found !== null) {
          const fault = found.fault === null ? "" : `\n${found.fault}\n`;
          if (terminal) redraw(io, `${found.text()}${fault}`);
          else io.out.write(`${found.text()}${fault}\n`);
        }
        yield* Effect.sleep(Math.round(options.every * 1_000));
      }),
    );
  });
