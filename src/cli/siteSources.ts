/** `orrery site apply` and `sources`: the supernode's bucket of all sites, and how far each site's ledger has come into it. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Taker } from "../jetstream/filesOf.ts";
import { applyFilesOf } from "../jetstream/filesOf.ts";
import { sitesTopology } from "../jetstream/sitesBucket.ts";
import { apply as applyTopology } from "../jetstream/topology.ts";
import type { Deployment } from "../sites/deployment.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, no, ofCause, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import { connectDeployment, wayTo } from "./siteConnect.ts";
import { folderOf, theDeployment } from "./siteFolder.ts";
import type { Folder } from "./siteFolder.ts";
import { rootOf, urlsOf } from "./siteInit.ts";
import type { Home } from "./siteLife.ts";
import { newLives, noteLives } from "./siteLife.ts";
import { unfinishedChanges } from "./siteRestoring.ts";
import type { Rebuilt } from "./sourced.ts";
import { readSourced, sourcedTable } from "./sourced.ts";
import { plural } from "./words.ts";

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

export const opened = (
  io: IoService,
  options: SourcesOptions,
): Effect.Effect<Opened, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = folderOf(rootOf(io, options.dir), options.supernode);
    const deployment = yield* Effect.tryPromise({
      try: () => theDeployment(folder, "supernode"),
      catch: ofCause,
    });
    io.run.way = wayTo(folder, deployment, "admin");
    const nats = yield* connectDeployment(folder, deployment, "admin").pipe(
      Effect.mapError(({ detail }) =>
        unreachable(`none of ${urlsOf(deployment.servers).join(", ")} answers (${detail})`),
      ),
    );
    return { folder, deployment, nats };
  });

/** Who is sent other sites' files. */
const takersOf = ({ members }: Deployment): ReadonlyArray<Taker> =>
  Object.entries(members).flatMap(([name, { revokedAt, epoch, filesOf = [] }]) =>
    revokedAt === null ? [{ name, epoch, filesOf }] : [],
  );

/** Sources every site that has joined and was not put out. What is there of a site that was stays. */
export const apply = (
  io: IoService,
  options: SourcesOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { folder, deployment: before, nats } = yield* opened(io, options);
    // A site that was rebuilt is sourced under its new epoch.
    const deployment = yield* Effect.tryPromise({
      try: async () =>
        noteLives({ folder, deployment: before }, await newLives({ folder, deployment: before })),
      catch: ofCause,
    });
    const sites = Object.entries(deployment.members).flatMap(([name, { revokedAt, epoch, sees }]) =>
      revokedAt === null ? [{ name, epoch, ...(sees === undefined ? {} : { sees }) }] : [],
    );
    const wanted = sitesTopology(sites, deployment.servers.length);
    const changes = yield* applyTopology(nats, wanted).pipe(Effect.mapError(ofJetStream));
    const sent = yield* applyFilesOf(nats, takersOf(deployment)).pipe(Effect.mapError(ofJetStream));
    const unfinished = yield* Effect.tryPromise({
      try: () => unfinishedChanges({ folder, deployment }),
      catch: ofCause,
    });
    const refused = [...unfinished, ...changes.filter((change) => change.kind === "refuse")];
    const names = sites.map(({ name }) => name).join(", ");
    if (options.json)
      sayJson(io, { supernode: deployment.name, sites, changes: [...unfinished, ...changes], sent });
    else {
      for (const words of sent) say(io, words);
      if (changes.length === 0 && sent.length === 0) say(io, `nothing to do: ${names}`);
      if (changes.length > 0) say(io, `sourced: ${names === "" ? "no site" : names}`);
    }
    if (refused.length > 0) return yield* failed(refused.map(({ words }) => words).join("; "));
    return undefined;
  });

const applyWords = ({ supernode, dir }: Pick<SourcesOptions, "supernode" | "dir">): string =>
  `orrery topology apply --supernode ${supernode}${dir === null ? "" : ` --dir ${dir}`}`;

/** By the folder, which tells of lives that the supernode has not taken over yet. */
export const rebuiltOf = (
  { folder, deployment }: Home,
  options: Pick<SourcesOptions, "supernode" | "dir">,
): Effect.Effect<Rebuilt, CommandFailed> =>
  Effect.tryPromise({
    try: async (): Promise<Rebuilt> => {
      const lives = await newLives({ folder, deployment });
      return ({ site, epoch }) => {
        const present = lives.get(site) ?? deployment.members[site]?.epoch;
        return present === undefined || present === epoch ? null : applyWords(options);
      };
    },
    catch: ofCause,
  });

/** Ends with "no" when a site is not heard of, by name: its lag would not tell. */
export const sources = (
  io: IoService,
  options: SourcesOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const at = yield* opened(io, options);
    const rebuilt = yield* rebuiltOf(at, options);
    const rows = yield* readSourced(at.nats, rebuilt).pipe(Effect.mapError(ofJetStream));
    if (options.json) sayJson(io, { supernode: options.supernode, sites: rows });
    else io.out.write(sourcedTable(rows, { color: io.out.color, columns: io.out.columns() }));
    const former = rows.filter((row) => row.rebuilt !== null).map(({ site }) => site);
    const silent = rows
      .filter((row) => row.rebuilt === null && (row.silent || row.groupsSilent))
      .map(({ site }) => site);
    const words = [
      ...(former.length === 0
        ? []
        : [`${plural(former.length, "site")} rebuilt: ${former.join(", ")}; ${applyWords(options)}`]),
      ...(silent.length === 0 ? [] : [`${plural(silent.length, "site")} not heard of: ${silent.join(", ")}`]),
    ];
    if (words.length === 0) return undefined;
    return yield* no(options.json ? "" : words.join("; "));
  });
