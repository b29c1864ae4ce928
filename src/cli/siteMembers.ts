/** `orrery site join`, `ls` and `revoke`: which sites are joined to which supernode. */
import { copyFile } from "node:fs/promises";
import { join as joinPath } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { pushAccount } from "../jetstream/accounts.ts";
import { newUser } from "../jetstream/trust.ts";
import { hostPort } from "../sites/deployment.ts";
import type { Deployment } from "../sites/deployment.ts";
import { leafSubjects } from "../sites/leaf.ts";
import { fill, quoted } from "../sites/template.ts";
import { certificateFiles } from "./certificates.ts";
import type { CommandFailed } from "./failures.ts";
import { misused, no, ofCause, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import { connectDeployment } from "./siteConnect.ts";
import type { Folder } from "./siteFolder.ts";
import {
  credsFile,
  folderOf,
  listDeployments,
  readSeed,
  readTemplate,
  theDeployment,
  writeCreds,
  writeDeployment,
  writeWhole,
} from "./siteFolder.ts";
import { rootOf, urlsOf, writeTrust } from "./siteInit.ts";
import { table } from "./table.ts";

export interface MemberOptions {
  readonly name: string;
  readonly supernode: string;
  readonly dir: string | null;
  readonly json: boolean;
}

export const join = (io: IoService, options: MemberOptions): Effect.Effect<void, CommandFailed> =>
  Effect.tryPromise({ try: () => joinSite(io, options), catch: ofCause });

async function joinSite(io: IoService, { name, supernode, dir, json }: MemberOptions): Promise<void> {
  const root = rootOf(io, dir);
  const site = folderOf(root, name);
  const hub = folderOf(root, supernode);
  const of = await theDeployment(site, "site");
  const to = await theDeployment(hub, "supernode");
  const before = to.members[name];
  if (before !== undefined && before.revokedAt === null) {
    throw misused(`${name} has joined ${supernode} already; to give it a new key revoke it first`);
  }
  const made = await newUser(`leaf ${name}`, await readSeed(hub, "account"), () => ({
    ...leafSubjects(name),
    leaf: true,
  }));
  // The supernode's list comes first: a user that it does not know of could not be revoked.
  const joinedAt = new Date().toISOString();
  const members = {
    ...to.members,
    [name]: { user: made.publicKey, epoch: of.epoch, joinedAt, revokedAt: null },
  };
  await writeDeployment(hub, { ...to, members });
  await writeCreds(site, "leaf", made.creds);
  const ca = joinPath(site.path, "tls", `${supernode}-ca.pem`);
  await copyFile(certificateFiles(joinPath(hub.path, "tls")).ca, ca);
  const file = joinPath(site.path, "leaf.conf");
  await writeWhole(
    file,
    fill(await readTemplate("leaf"), {
      name,
      supernode,
      urls: to.servers.map(({ host, leaf = 0 }) => quoted(`tls://${hostPort(host, leaf)}`)).join(", "),
      account: of.account,
      credentials: quoted(credsFile(site, "leaf")),
      ca: quoted(ca),
    }),
  );
  await writeDeployment(site, { ...of, supernode });
  if (json) return sayJson(io, { site: name, supernode, user: made.publicKey, configuration: file });
  say(io, `${name} may join ${supernode}: its server does when it is started with ${file}`);
  return undefined;
}

export const list = (
  io: IoService,
  { dir, json }: Pick<MemberOptions, "dir" | "json">,
): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const root = rootOf(io, dir);
    const all = yield* Effect.tryPromise({ try: () => listDeployments(root), catch: ofCause });
    const standing = all.map((each) => ({ ...each, state: stateOf(each, all) }));
    if (json) return sayJson(io, { folder: root, deployments: standing });
    if (all.length === 0)
      return yield* no(`no site or supernode in ${root}: orrery site init NAME makes one`);
    const columns = [
      { title: "NAME" },
      { title: "KIND" },
      { title: "SERVERS", give: 8 },
      { title: "STATE", give: 10 },
    ];
    const rows = standing.map(({ name, kind, servers, state }) => [
      name,
      kind,
      urlsOf(servers).join(" "),
      state,
    ]);
    io.out.write(table(columns, rows, { color: io.out.color, columns: io.out.columns() }));
    return undefined;
  });

function stateOf({ name, kind, supernode, members }: Deployment, all: ReadonlyArray<Deployment>): string {
  if (kind === "supernode") {
    const joined = Object.entries(members).filter(([, { revokedAt }]) => revokedAt === null);
    return joined.length === 0 ? "no site has joined" : `joined: ${joined.map(([site]) => site).join(", ")}`;
  }
  if (supernode === null) return "alone";
  const member = all.find((each) => each.name === supernode)?.members[name];
  if (member === undefined) return `joined ${supernode}, which is not in this folder`;
  return member.revokedAt === null
    ? `joined ${supernode} ${member.joinedAt}`
    : `revoked by ${supernode} ${member.revokedAt}`;
}

/** Written down first and pushed then: a push that fails is made by the next call, or by the servers' next start. */
export const revoke = (
  io: IoService,
  { name, supernode, dir, json }: MemberOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const hub = folderOf(rootOf(io, dir), supernode);
    const { deployment, jwt } = yield* Effect.tryPromise({
      try: () => noteRevoked(hub, name),
      catch: ofCause,
    });
    const urls = urlsOf(deployment.servers);
    const nats = yield* connectDeployment(hub, deployment, "system").pipe(
      Effect.mapError((error) =>
        unreachable(
          `${name} is revoked in ${hub.path}, and not yet at the servers: none of ${urls.join(", ")} answers (${error.detail}). Do it again when they do`,
        ),
      ),
    );
    yield* pushAccount(nats, jwt).pipe(Effect.mapError(ofJetStream));
    const user = deployment.members[name]?.user;
    if (json) return sayJson(io, { site: name, supernode, user });
    say(
      io,
      `${name} is out of ${supernode}: its connection is ended, and it cannot come back with the key it had`,
    );
    return undefined;
  });

async function noteRevoked(
  hub: Folder,
  name: string,
): Promise<{ readonly deployment: Deployment; readonly jwt: string }> {
  const before = await theDeployment(hub, "supernode");
  const member = before.members[name];
  if (member === undefined) throw misused(`${name} has not joined ${hub.name}; orrery site ls shows who has`);
  const seeds = [readSeed(hub, "operator"), readSeed(hub, "system"), readSeed(hub, "account")] as const;
  const [operator, system, account] = await Promise.all(seeds);
  const now = new Date();
  const deployment: Deployment = {
    ...before,
    members: { ...before.members, [name]: { ...member, revokedAt: member.revokedAt ?? now.toISOString() } },
    revoked: { ...before.revoked, [member.user]: Math.floor(now.getTime() / 1_000) },
  };
  await writeDeployment(hub, deployment);
  return { deployment, jwt: await writeTrust(hub, deployment, operator, system, account) };
}
