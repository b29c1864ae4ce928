/** `orrery site apply` and `sources`: the supernode's bucket of all sites, and how far each site's ledger has come into it. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { NatsService } from "../jetstream/Nats.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import { sitesTopology, sourceStates } from "../jetstream/sitesBucket.ts";
import { countSince } from "../jetstream/survey.ts";
import { apply as applyTopology } from "../jetstream/topology.ts";
import { sourceSilentMsMax } from "../limits.ts";
import { kvStream } from "../protocol/keys.ts";
import { sitesBucket, siteSubjects } from "../protocol/sites.ts";
import type { Deployment } from "../sites/deployment.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, no, ofCause, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import { connectDeployment } from "./siteConnect.ts";
import { folderOf, theDeployment } from "./siteFolder.ts";
import type { Folder } from "./siteFolder.ts";
import { rootOf, urlsOf } from "./siteInit.ts";
import { table } from "./table.ts";
import { count, plural } from "./words.ts";

export interface SourcesOptions {
  readonly supernode: string;
  readonly dir: string | null;
  readonly json: boolean;
}

interface Opened {
  readonly folder: Folder;
  readonly deployment: Deployment;
  readonly nats: NatsService;
}

const opened = (io: IoService, options: SourcesOptions): Effect.Effect<Opened, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = folderOf(rootOf(io, options.dir), options.supernode);
    const deployment = yield* Effect.tryPromise({
      try: () => theDeployment(folder, "supernode"),
      catch: ofCause,
    });
    const nats = yield* connectDeployment(folder, deployment, "admin").pipe(
      Effect.mapError(({ detail }) =>
        unreachable(`none of ${urlsOf(deployment.servers).join(", ")} answers (${detail})`),
      ),
    );
    return { folder, deployment, nats };
  });

/** Sources every site that has joined and was not put out. What is there of a site that was stays. */
export const apply = (
  io: IoService,
  options: SourcesOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { deployment, nats } = yield* opened(io, options);
    const sites = Object.entries(deployment.members).flatMap(([name, { revokedAt, epoch, sees }]) =>
      revokedAt === null ? [{ name, epoch, ...(sees === undefined ? {} : { sees }) }] : [],
    );
    const wanted = sitesTopology(sites, deployment.servers.length);
    const changes = yield* applyTopology(nats, wanted).pipe(Effect.mapError(ofJetStream));
    const refused = changes.filter((change) => change.kind === "refuse");
    const names = sites.map(({ name }) => name).join(", ");
    if (options.json) sayJson(io, { supernode: deployment.name, sites, changes });
    else
      say(
        io,
        changes.length === 0 ? `nothing to do: ${names}` : `sourced: ${names === "" ? "no site" : names}`,
      );
    if (refused.length > 0) return yield* failed(refused.map(({ words }) => words).join("; "));
    return undefined;
  });

const isSilent = ({ silentMs, error }: SourceState): boolean =>
  error !== null || silentMs === null || silentMs > sourceSilentMsMax;

/** Ends with "no" when a site is not heard of, by name: its lag would not tell. */
export const sources = (
  io: IoService,
  options: SourcesOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { nats } = yield* opened(io, options);
    const states = yield* sourceStates(nats).pipe(Effect.mapError(ofJetStream));
    const rows = yield* Effect.forEach(states, (state) =>
      countSince(nats, kvStream(sitesBucket), siteSubjects(state.site, state.epoch, "file"), 0).pipe(
        Effect.mapError(ofJetStream),
        Effect.map((files) => ({ ...state, files, silent: isSilent(state) })),
      ),
    );
    if (options.json) sayJson(io, { supernode: options.supernode, sites: rows });
    else {
      const columns = [
        { title: "SITE" },
        { title: "EPOCH" },
        { title: "FILES", right: true },
        { title: "LAG", right: true },
        { title: "LAST HEARD", give: 10 },
      ];
      const lines = rows.map(({ site, epoch, files, lag, silentMs, error }) => [
        site,
        epoch,
        count(files),
        count(lag),
        error ?? (silentMs === null ? "never" : `${Math.round(silentMs / 1_000)} s ago`),
      ]);
      io.out.write(table(columns, lines, { color: io.out.color, columns: io.out.columns() }));
    }
    const silent = rows.filter((row) => row.silent).map(({ site }) => site);
    if (silent.length === 0) return undefined;
    return yield* no(
      options.json ? "" : `${plural(silent.length, "site")} not heard of: ${silent.join(", ")}`,
    );
  });
