/** Which site a command speaks of, and the way to it. */
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { checkSite } from "../config/loadSite.ts";
import type { CheckedSite, LoadOptions } from "../config/loadSite.ts";
import type { Site } from "../config/Site.ts";
import { maskUserInfo } from "../config/show.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import { checkRestored } from "../jetstream/restoring.ts";
import { connectSite, siteSettings, siteTopology } from "../node/link.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { connectFirstMs, isLockedOut, isNoCredentials } from "./eachServer.ts";
import { credentialsWords, hasNone } from "./way.ts";

/** Beside `src/` in the checkout, beside `dist/` when installed. */
export const demoSiteFile = fileURLToPath(new URL("../../config/demo.yaml", import.meta.url));

const candidates = ["orrery.yaml", "site.yaml"];

export interface SiteChoice {
  /** As the user would write it. */
  readonly file: string;
  /** Nobody named it: it is the demo's. */
  readonly isFallback: boolean;
}

/**
 * The site file: what the command line names, else ORRERY_SITE, else ./orrery.yaml or ./site.yaml, else the demo's,
 * which is what somebody has who has just tried `npm start`.
 */
export function findSite(io: IoService, named: string | null): Effect.Effect<SiteChoice, CommandFailed> {
  const from = io.env["ORRERY_SITE"] ?? "";
  const wanted = named ?? (from === "" ? null : from);
  if (wanted !== null) {
    if (existsSync(resolve(io.cwd, wanted))) return Effect.succeed({ file: wanted, isFallback: false });
    const how = named === null ? " (from ORRERY_SITE)" : "";
    return Effect.fail(misused(`there is no site file ${wanted}${how}`));
  }
  const here = candidates.find((name) => existsSync(join(io.cwd, name)));
  if (here !== undefined) return Effect.succeed({ file: here, isFallback: false });
  // An installed package's demo keeps its copy here.
  const played = join(".orrery", "demo.yaml");
  if (existsSync(join(io.cwd, played))) return Effect.succeed({ file: played, isFallback: true });
  const near = relative(io.cwd, demoSiteFile);
  return Effect.succeed({ file: near.startsWith("..") ? demoSiteFile : near, isFallback: true });
}

/** Fails with everything that is wrong with the file, rendered for the terminal. */
export const readSite = (
  io: IoService,
  file: string,
  options: LoadOptions = {},
): Effect.Effect<CheckedSite, CommandFailed> =>
  checkSite(isAbsolute(file) ? file : resolve(io.cwd, file), { env: io.env, ...options }).pipe(
    Effect.mapError((error) => failed(error.render({ color: io.err.color }))),
  );

export interface SiteLink {
  readonly site: Site;
  readonly nats: NatsService;
  /** For people: no password in it. */
  readonly url: string;
  /** Monitoring endpoints of an embedded server, or of one elsewhere as the site file names them; null: nobody does. */
  readonly monitor: string | null;
}

interface Address {
  readonly servers: ReadonlyArray<string>;
  readonly monitor: string | null;
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as unknown;
  } catch {
    // Not there, or cut short: the same as no server for whoever asks.
    return null;
  }
}

function isGone(pidFile: string): boolean {
  let pid: number;
  try {
    pid = Number(readFileSync(pidFile, "utf8"));
  } catch {
    // No pid file: nothing is known, the port decides.
    return false;
  }
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Where the embedded server of a site listens, from what it wrote beside its data; null when it does not run. */
function embeddedAddress(site: Site): Address | null {
  const folder = join(site.dataDir, "nats");
  const ports = readJson(join(folder, "ports.json"));
  // A port that was remembered may be another program's by now, and belong to another site.
  if (ports === null || typeof ports !== "object" || isGone(join(folder, "nats-server.pid"))) return null;
  const { client, monitor } = ports as { readonly client?: unknown; readonly monitor?: unknown };
  if (typeof client !== "number") return null;
  return {
    servers: [`nats://127.0.0.1:${client}`],
    monitor: typeof monitor === "number" ? `http://127.0.0.1:${monitor}` : null,
  };
}

function startIt(choice: SiteChoice): string {
  return choice.isFallback
    ? "start the demo with `orrery demo`, or name your own site: --site FILE, ORRERY_SITE or ./orrery.yaml"
    : `start the site with \`orrery start ${choice.file}\``;
}

const credentialsVariable = "ORRERY_CREDENTIALS";
const hasCredentials = ({ env }: IoService): boolean => (env[credentialsVariable] ?? "") !== "";

/** Finds, reads and connects; the scope's end disconnects. */
export const openSite = (
  io: IoService,
  named: string | null,
): Effect.Effect<SiteLink, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const choice = yield* findSite(io, named);
    const { site } = yield* readSite(io, choice.file);
    const address =
      site.nats.mode === "embedded"
        ? embeddedAddress(site)
        : { servers: site.nats.servers, monitor: site.nats.monitor };
    if (address === null) {
      return yield* unreachable(
        `no embedded nats-server of site ${site.name} runs on this machine (${join(site.dataDir, "nats")}): ${startIt(choice)}`,
      );
    }
    const url = address.servers.map(maskUserInfo).join(", ");
    const name = `orrery command (${site.name})`;
    const way = {
      servers: address.servers.map((server) => ({ name: maskUserInfo(server), url: server })),
      settings: siteSettings(site, name),
      namedBy: site.nats.mode === "external" && hasCredentials(io) ? credentialsVariable : choice.file,
      streams: siteTopology(site, []).streams.map((stream) => stream.name),
      supernode: site.supernode ? site.name : null,
    };
    io.run.way = way;
    const nats = yield* connectSite(site, address.servers, name, { firstMs: connectFirstMs }).pipe(
      Effect.mapError(({ detail }) =>
        site.nats.mode === "embedded"
          ? unreachable(`nothing answers at ${url}: ${startIt(choice)}`)
          : isLockedOut(detail)
            ? failed(
                hasNone(way)
                  ? `${url} wants credentials, and ${way.namedBy} names none (${detail}): ${credentialsVariable} takes a file of them, and so does nats.credentialsFile`
                  : `${url} does not let in ${credentialsWords(io, way)} (${detail}): they may be another site's, or were made void; site ${site.name} wants its own`,
              )
            : isNoCredentials(detail)
              ? failed(
                  `${credentialsWords(io, way)} is no file of credentials that can be read (${detail}): orrery site init and topology apply write them`,
                )
              : unreachable(
                  `nothing usable answers at ${url} (${detail}): check that nats-server runs there; credentials are ${credentialsWords(io, way)}`,
                ),
      ),
    );
    // What a person decides is due by the site's clock, whatever this machine's says. Who may not ask for it goes by the local one.
    yield* Effect.ignore(nats.setClock);
    return { site, nats, url, monitor: address.monitor };
  });

/**
 * The same, of a site that is all there. While a restore of it has not ended nothing is answered and nothing is done: what is not
 * there yet would be told as unknown, and what is written would be replaced.
 */
export const openWholeSite = (
  io: IoService,
  named: string | null,
): Effect.Effect<SiteLink, CommandFailed, Scope.Scope> =>
  Effect.tap(openSite(io, named), ({ site, nats }) =>
    site.supernode
      ? Effect.void
      : // Whose credentials do not allow to look, their commands go on as before.
        checkRestored(nats, Effect.void).pipe(
          Effect.mapError((error) =>
            error._tag === "RestoreUnfinished" ? failed(error.message) : ofJetStream(error),
          ),
        ),
  );

/** As {@link openWholeSite}, for what only a site has: files, queues and runs of its own. */
export const openOwnSite = (
  io: IoService,
  named: string | null,
): Effect.Effect<SiteLink, CommandFailed, Scope.Scope> =>
  Effect.tap(openWholeSite(io, named), ({ site }) =>
    site.supernode
      ? Effect.fail(
          misused(
            `${site.name} is a supernode, and has no files of its own: name a site's file, --site FILE`,
          ),
        )
      : Effect.void,
  );
