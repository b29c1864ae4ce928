/** What a folder of deployments holds of each site and supernode: names, addresses, public keys. No secret stands in it. */
import * as Schema from "effect/Schema";

const ServerAddress = Schema.Struct({
  host: Schema.String,
  client: Schema.Number,
  monitor: Schema.Number,
  /** Of a supernode's server only. */
  cluster: Schema.optionalKey(Schema.Number),
  leaf: Schema.optionalKey(Schema.Number),
});

export type ServerAddress = typeof ServerAddress.Type;

const Member = Schema.Struct({
  /** Public key of the user by which it joins. */
  user: Schema.String,
  epoch: Schema.String,
  joinedAt: Schema.String,
  revokedAt: Schema.NullOr(Schema.String),
  /** Sites whose groups it may look up; left out: all. */
  sees: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Sites whose files it is sent. */
  filesOf: Schema.optionalKey(Schema.Array(Schema.String)),
});

export const Deployment = Schema.Struct({
  v: Schema.Literal(1),
  name: Schema.String,
  kind: Schema.Literals(["site", "supernode"]),
  madeAt: Schema.String,
  /** New with each making: what the supernode holds of a site's former life stays apart. */
  epoch: Schema.String,
  /** Of a site: when its server made the ledger of this epoch, as that tells it; left out while there is none, or none was seen. */
  ledger: Schema.optionalKey(Schema.String),
  /** Of a site: since when a restore of it has begun and not ended (ISO 8601); left out where none has. The supernode is not to take it over. */
  restoring: Schema.optionalKey(Schema.String),
  operator: Schema.String,
  account: Schema.String,
  system: Schema.String,
  servers: Schema.Array(ServerAddress),
  /** Of a site: the supernode that it has joined. */
  supernode: Schema.NullOr(Schema.String),
  /** Of a supernode: who has joined, by the site's name. */
  members: Schema.Record(Schema.String, Member),
  /** Of a supernode: users that may no longer join, and since when (epoch seconds). */
  revoked: Schema.Record(Schema.String, Schema.Number),
});

export type Deployment = typeof Deployment.Type;

export interface Ports {
  readonly client: number;
  readonly monitor: number;
  readonly cluster: number;
  readonly leaf: number;
}

/** Several servers on one host, as for a trial on loopback, take the ports that follow. */
export function addresses(
  hosts: ReadonlyArray<string>,
  kind: Deployment["kind"],
  ports: Ports,
): ReadonlyArray<ServerAddress> {
  const taken = new Map<string, number>();
  return hosts.map((host) => {
    const nth = taken.get(host) ?? 0;
    taken.set(host, nth + 1);
    const own = { host, client: ports.client + nth, monitor: ports.monitor + nth };
    return kind === "site" ? own : { ...own, cluster: ports.cluster + nth, leaf: ports.leaf + nth };
  });
}

/** `host:port`, an IPv6 address in brackets. */
export const hostPort = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

/** A server that is reached by loopback only listens there only. */
export const listenOn = (host: string, port: number): string =>
  hostPort(/^(127\.|localhost$|::1$)/.test(host) ? host : "0.0.0.0", port);
