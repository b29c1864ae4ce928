/**
 * The servers of a deployment one by one, each by its own address: a client that is given all of them speaks to one that answers, and what
 * the others know, or that they are away, it does not hear.
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { connectNats } from "../jetstream/Nats.ts";
import type { ConnectSettings, NatsService } from "../jetstream/Nats.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import type { Deployment } from "../sites/deployment.ts";
import { plural } from "./words.ts";

export const connectFirstMs = 3_000;

/** The server answers, and does not let the user in. */
export const isLockedOut = (detail: string): boolean => /authori[sz]ation|authentication/i.test(detail);

/** The file of credentials was read, and holds none. */
export const isNoCredentials = (detail: string): boolean =>
  /unable to parse credentials|^Error: nkeys: /i.test(detail);

export interface ServerAt {
  /** As its configuration names it. */
  readonly name: string;
  readonly url: string;
}

export interface Answered<A> extends ServerAt {
  /** Null: it did not answer. */
  readonly answer: A | null;
  /** Why there is no answer, as the client says it. */
  readonly detail: string;
}

/** Under the names that `site init` writes into their configurations. */
export const serversOf = (
  { name, kind }: Pick<Deployment, "name" | "kind">,
  urls: ReadonlyArray<string>,
): ReadonlyArray<ServerAt> =>
  urls.map((url, index) => ({ name: kind === "site" ? name : `${name}-${index}`, url }));

/** Asks all at once; takes as long as the slowest, {@link connectFirstMs} for one that is away. */
export const askEach = <A, E extends { readonly detail: string }>(
  servers: ReadonlyArray<ServerAt>,
  settings: Omit<ConnectSettings, "servers">,
  ask: (nats: NatsService) => Effect.Effect<A, E, Scope.Scope>,
): Effect.Effect<ReadonlyArray<Answered<A>>> =>
  Effect.forEach(
    servers,
    (server) =>
      connectNats({ ...settings, servers: [server.url] }, { firstMs: connectFirstMs }).pipe(
        Effect.flatMap(ask),
        Effect.scoped,
        Effect.match({
          onSuccess: (answer): Answered<A> => ({ ...server, answer, detail: "" }),
          onFailure: ({ detail }: E | NatsUnavailable): Answered<A> => ({ ...server, answer: null, detail }),
        }),
      ),
    { concurrency: "unbounded" },
  );

/** `hub-0`, `hub-0 and hub-2`, `hub-0, hub-1 and hub-2`. */
export function namesOf(servers: ReadonlyArray<ServerAt>): string {
  const names = servers.map(({ name }) => name);
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
}

/** One that refuses the credentials is there. */
const isThere = ({ answer, detail }: Answered<unknown>): boolean => answer !== null || isLockedOut(detail);

export interface Away {
  readonly words: string;
  /** The others can go on without them. */
  readonly hasMost: boolean;
}

/** Which servers of a cluster do not answer; null where all do. */
export const awayWords = (
  servers: ReadonlyArray<ServerAt>,
  settings: Omit<ConnectSettings, "servers">,
): Effect.Effect<Away | null> =>
  Effect.map(
    askEach(servers, settings, () => Effect.succeed(true)),
    (found) => {
      const away = found.filter((server) => !isThere(server));
      if (away.length === 0) return null;
      const needs = Math.floor(servers.length / 2) + 1;
      const named = away.map(({ name, url }) => (name === url ? url : `${name} (${url})`)).join(", ");
      const verb = away.length === 1 ? "does" : "do";
      const hasMost = servers.length - away.length >= needs;
      const most = hasMost ? "" : `; ${needs} of them are needed`;
      return {
        words: `${away.length} of ${plural(servers.length, "server")} ${verb} not answer: ${named}${most}`,
        hasMost,
      };
    },
  );
