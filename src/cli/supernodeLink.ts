/**
 * Whether a site's server is linked to the supernode that it has joined. No user of the site may ask the supernode for that, and what
 * comes from there says nothing while nothing is to come: its server's own monitoring tells, which listens on its machine alone.
 */
import * as Effect from "effect/Effect";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Deployment } from "../sites/deployment.ts";
import type { Style } from "./table.ts";

export interface SupernodeLink {
  readonly name: string;
  /** Null: not seen from here. */
  readonly linked: boolean | null;
}

const monitorMs = 2_000;

interface Leafz {
  readonly server_id?: unknown;
  readonly leafs?: ReadonlyArray<{ readonly account?: unknown; readonly is_spoke?: unknown }>;
}

/** @param deployment in whose folder the site file lies. Null where it has joined none. */
export const readSupernodeLink = (
  nats: NatsService,
  { supernode, servers, account }: Pick<Deployment, "supernode" | "servers" | "account">,
): Effect.Effect<SupernodeLink | null> => {
  if (supernode === null) return Effect.succeed(null);
  const unseen: SupernodeLink = { name: supernode, linked: null };
  const [server] = servers;
  if (server === undefined) return Effect.succeed(unseen);
  return Effect.tryPromise(async (): Promise<SupernodeLink> => {
    const signal = AbortSignal.timeout(monitorMs);
    const answer = await fetch(`http://127.0.0.1:${server.monitor}/leafz`, { signal });
    const { server_id: id, leafs = [] } = (await answer.json()) as Leafz;
    // On another machine that port is another server's.
    if (id !== nats.connection.info?.server_id) return unseen;
    return {
      name: supernode,
      linked: leafs.some((leaf) => leaf.account === account && leaf.is_spoke === true),
    };
  }).pipe(Effect.orElseSucceed(() => unseen));
};

export function supernodeLinkWords({ name, linked }: SupernodeLink): readonly [string, Style] {
  if (linked === true) return [`linked to supernode ${name}`, "dim"];
  if (linked === false)
    return [
      `no link to supernode ${name}: what happens here is not seen there until it is back, and other sites' files and groups not here`,
      "red",
    ];
  return [
    `joined to supernode ${name}; whether the link stands is seen on the server's own machine, and there by orrery site sources`,
    "dim",
  ];
}
