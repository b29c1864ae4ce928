/** `orrery start`: one node of a site, until it is told to stop. */
import { existsSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { renderProblems } from "../config/SiteFileError.ts";
import { maskUserInfo } from "../config/show.ts";
import type { Site } from "../config/Site.ts";
import { makeLog } from "../log.ts";
import type { Actor } from "../actors/Actor.ts";
import type { RunningNode } from "../node.ts";
import { startNode } from "../node.ts";
import { keepHeapSmall } from "../node/heap.ts";
import { version } from "../node/version.ts";
import { loadActors } from "./actorModules.ts";
import { catalogueWords } from "./catalogueWords.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { tell } from "./Io.ts";
import { findSite, readSite } from "./site.ts";
import { paint } from "./table.ts";
import { shown } from "./way.ts";
import { harmless } from "./words.ts";

export interface StartOptions {
  readonly site: string | null;
  readonly node: string | null;
  readonly roles: string | null;
  readonly httpPort: number | null;
  readonly readyFile: string | null;
}

/** Name and value of each line: of this node, and so of its roles. What others of the site do is theirs to say. */
export function bannerOf(
  file: string,
  node: Pick<RunningNode, "site" | "natsUrl" | "httpUrl" | "durability">,
  actors: ReadonlyArray<Actor>,
): ReadonlyArray<readonly [string, string]> {
  const { site } = node;
  const lanes = [...site.lanes.values()].map((lane) => `${lane.name} (${lane.buckets.join(", ")})`);
  const http = node.httpUrl();
  return [
    ["site", `${site.name}${site.supernode ? ", a supernode" : ""} (${file})`],
    ["node", `${site.node}, process ${process.pid}: ${[...site.roles].join(", ")}`],
    ["nats", `${maskUserInfo(node.natsUrl)}${site.nats.mode === "embedded" ? ", embedded" : ""}`],
    ["kept", node.durability],
    ["http", http ?? "none"],
    ...(http === null ? [] : [["health", `${http}/readyz, ${http}/metrics`] as const]),
    ...(http === null || site.lanes.size === 0 || !site.roles.has("enqueuer")
      ? []
      : [["notify", `${http}${site.enqueuer.path}`] as const]),
    ...(site.watch.length === 0 || !site.roles.has("watcher")
      ? []
      : [["watch", site.watch.map((one) => `${one.directory} (${one.bucket})`).join("; ")] as const]),
    ...(lanes.length === 0 ? [] : [["lanes", lanes.join("; ")] as const]),
    ...(actors.length === 0
      ? []
      : [["actors", actors.map((actor) => actor.options.name).join(", ")] as const]),
    ...(site.jobs.size === 0 ? [] : [["jobs", [...site.jobs.keys()].join(", ")] as const]),
    ...(site.catalogue === null ? [] : [["jobs", catalogueWords(site.catalogue)] as const]),
    ["data", site.dataDir],
  ];
}

/** With the credentials of a person who looks, where they lie beside the node's own, which may not look at everything. */
export function lookWords(
  io: Pick<IoService, "cwd">,
  file: string,
  { nats }: { readonly nats: Pick<Site["nats"], "credentialsFile"> },
): string {
  const own = nats.credentialsFile;
  const beside = own === null ? null : join(dirname(own), "operator.creds");
  const by =
    beside === null || basename(own ?? "") === "admin.creds" || !existsSync(beside)
      ? ""
      : `ORRERY_CREDENTIALS=${shown(io, beside)} `;
  return `${by}orrery status --site ${file}`;
}

function banner(io: IoService, file: string, node: RunningNode, actors: ReadonlyArray<Actor>): void {
  const look = ["look", lookWords(io, file, node.site)] as const;
  const text = [...bannerOf(file, node, actors), look].map(([name, value]) => {
    const isDoubtful = name === "kept" && !value.startsWith("fsync before");
    const words = isDoubtful ? paint(io.out.color, "yellow", harmless(value)) : harmless(value);
    return `  ${paint(io.out.color, "dim", name.padEnd(6))} ${words}`;
  });
  io.out.write(`${paint(io.out.color, "bold", `Orrery ${version}`)}\n${text.join("\n")}\n`);
}

/** What went wrong, without the supervisors that passed it on. */
export function innermost(message: string): string {
  let text = message;
  for (;;) {
    const inner = text
      .replace(/^node \S+: /, "")
      .replace(/^\S+ did not start: /, "")
      .replace(/^(?:failed|died): (?:[A-Z]\w*: )?/, "");
    if (inner === text) return text;
    text = inner;
  }
}

/** For whoever waits until it is up: there at once and whole, or not there. */
const writeReady = (io: IoService, file: string, node: RunningNode): Effect.Effect<void, CommandFailed> =>
  Effect.tryPromise({
    try: async () => {
      const path = resolve(io.cwd, file);
      const { site, natsUrl } = node;
      const ready = {
        pid: process.pid,
        site: site.name,
        node: site.node,
        natsUrl: maskUserInfo(natsUrl),
        httpUrl: node.httpUrl(),
        serverPid: node.serverPid(),
      };
      await writeFile(`${path}.new`, `${JSON.stringify(ready)}\n`);
      await rename(`${path}.new`, path);
    },
    catch: (cause) => failed(`cannot write --ready-file ${file}: ${String(cause)}`),
  });

function withPort(site: Site, port: number | null): Effect.Effect<Site, CommandFailed> {
  if (port === null) return Effect.succeed(site);
  if (port < 0 || port > 65_535) return Effect.fail(misused(`--http-port ${port}: a port is 0 to 65535`));
  return Effect.succeed({ ...site, http: { ...site.http, port } });
}

/** Runs until a signal; fails with the reason when the node has to stop by itself. */
export const start = (
  io: IoService,
  options: StartOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const choice = yield* findSite(io, options.site);
    if (choice.isFallback) {
      return yield* misused(
        "which site? Name its file: orrery start SITE, or call it orrery.yaml or site.yaml. The demo is `orrery demo`",
      );
    }
    const loaded = yield* readSite(io, choice.file, {
      node: options.node ?? undefined,
      roles: options.roles ?? undefined,
      here: true,
    });
    if (loaded.warnings.length > 0) {
      tell(io, renderProblems(choice.file, loaded.warnings, { color: io.err.color }));
    }
    const site = yield* withPort(loaded.site, options.httpPort);
    const actors = yield* loadActors(site);
    io.run.onSignal = 0;
    io.run.survivesClosedOutput = true;
    // A terminal has a reader of lines, not of JSON.
    const format = io.err.columns() === null ? site.log.format : "pretty";
    const log = makeLog({ ...site.log, format }, { site: site.name, node: site.node }, io.err.write);
    keepHeapSmall();
    const node = yield* startNode({ site, actors, log }).pipe(
      Effect.mapError((error) => failed(innermost(error.message))),
    );
    banner(io, choice.file, node, actors);
    if (options.readyFile !== null) yield* writeReady(io, options.readyFile, node);
    yield* node.ended.pipe(Effect.mapError((error) => failed(error.message)));
    return yield* failed(`node ${site.node} ended by itself; its log says why`);
  });
