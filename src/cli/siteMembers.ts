/** `orrery site join`, `sees`, `ls` and `revoke`: which sites are joined to which supernode, and what each may see there. */
import { copyFile } from "node:fs/promises";
import { join as joinPath } from "node:path";
import * as Effect from "effect/Effect";
import { newUser } from "../jetstream/trust.ts";
import { compareEpochs } from "../protocol/filesOf.ts";
import { hostPort } from "../sites/deployment.ts";
import type { Deployment } from "../sites/deployment.ts";
import { leafSubjects } from "../sites/leaf.ts";
import { leafFilesSubjects } from "../sites/leafFiles.ts";
import { fill, quoted } from "../sites/template.ts";
import { certificateFiles } from "./certificates.ts";
import { namesOf } from "./eachServer.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, no, ofCause, unreachable } from "./failures.ts";
import { changing } from "./folderLock.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
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
import { epochAfter } from "./siteLife.ts";
import { readFilesOf, readSees } from "./siteNames.ts";
import { table } from "./table.ts";
import { tellEach } from "./topologyAccount.ts";
import { plural } from "./words.ts";

export interface MemberOptions {
  readonly name: string;
  readonly supernode: string;
  readonly dir: string | null;
  readonly json: boolean;
}

export interface JoinOptions extends MemberOptions {
  /** Names of sites with commas between; `all`, `none`. */
  readonly sees: string | null;
  /** Names of sites with commas between: whose files it is to be sent; null: of none. */
  readonly filesOf: string | null;
}

const withSees = (sees: ReadonlyArray<string> | null) => (sees === null ? {} : { sees });
const seesWords = (sees: ReadonlyArray<string> | undefined): string =>
  sees === undefined ? "all sites" : sees.length === 0 ? "no other site" : sees.join(", ");

export const join = (io: IoService, options: JoinOptions): Effect.Effect<void, CommandFailed> =>
  Effect.tryPromise({
    try: () => changing(rootOf(io, options.dir), () => joinSite(io, options)),
    catch: ofCause,
  });

async function joinSite(io: IoService, options: JoinOptions): Promise<void> {
  const { name, supernode, dir, json } = options;
  const root = rootOf(io, dir);
  const site = folderOf(root, name);
  const hub = folderOf(root, supernode);
  const of = await theDeployment(site, "site");
  const to = await theDeployment(hub, "supernode");
  const before = to.members[name];
  if (before !== undefined && before.revokedAt === null) {
    throw misused(`${name} has joined ${supernode} already; to give it a new key revoke it first`);
  }
  const sees = await readSees(options.sees ?? "all", root, to);
  const filesOf = await readFilesOf(name, options.filesOf, root, to);
  const own = leafSubjects(name);
  const files = leafFilesSubjects(name, supernode, filesOf);
  const made = await newUser(`leaf ${name}`, await readSeed(hub, "account"), () => ({
    publish: [...own.publish, ...files.publish],
    subscribe: [...own.subscribe, ...files.subscribe],
    leaf: true,
  }));
  // One that was put out, and is another life now, comes after the one that the supernode knew: whatever clock made its folder.
  const isBefore = before !== undefined && compareEpochs(of.epoch, before.epoch) < 0;
  const epoch = isBefore ? epochAfter([before.epoch]) : of.epoch;
  // The supernode's list comes first: a user that it does not know of could not be revoked.
  const joinedAt = new Date().toISOString();
  const members = {
    ...to.members,
    [name]: { user: made.publicKey, epoch, joinedAt, revokedAt: null, filesOf, ...withSees(sees) },
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
  await writeDeployment(site, { ...of, epoch, supernode });
  if (json) return sayJson(io, { site: name, supernode, user: made.publicKey, configuration: file });
  say(
    io,
    `${name} may join ${supernode}: its server does at its next start with ${joinPath(site.path, "nats.conf")}, which includes ${file}
  next: orrery site apply --supernode ${supernode}${dir === null ? "" : ` --dir ${dir}`}   has what it knows taken over
With presence: { scope: all } in its site file look-ups there answer for other sites, too`,
  );
  return undefined;
}

/** Noted here; the supernode goes by it once it was applied. */
export const sees = (
  io: IoService,
  options: MemberOptions & { readonly sites: string },
): Effect.Effect<void, CommandFailed> =>
  Effect.tryPromise({
    try: () => changing(rootOf(io, options.dir), () => noteSees(io, options)),
    catch: ofCause,
  });

async function noteSees(
  io: IoService,
  { name, supernode, dir, json, sites }: MemberOptions & { readonly sites: string },
): Promise<void> {
  const root = rootOf(io, dir);
  const hub = folderOf(root, supernode);
  const of = await theDeployment(hub, "supernode");
  const member = of.members[name];
  if (member === undefined)
    throw misused(`${name} has not joined ${supernode}; orrery site ls shows who has`);
  const { sees: _before, ...rest } = member;
  const now = { ...rest, ...withSees(await readSees(sites, root, of)) };
  await writeDeployment(hub, { ...of, members: { ...of.members, [name]: now } });
  if (json) return sayJson(io, { site: name, supernode, sees: now.sees ?? "all" });
  say(
    io,
    `look-ups at ${name} see ${seesWords(now.sees)}, once it is applied: orrery site apply --supernode ${supernode}`,
  );
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
    if (json) sayJson(io, { folder: root, deployments: standing });
    if (all.length === 0)
      return yield* no(json ? "" : `no site or supernode in ${root}: orrery site init NAME makes one`);
    if (json) return undefined;
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

/** Written down first and pushed then, to each server: who was not told is by the next call, or by its next start. */
export const revoke = (
  io: IoService,
  { name, supernode, dir, json }: MemberOptions,
): Effect.Effect<void, CommandFailed> =>
  Effect.gen(function* () {
    const hub = folderOf(rootOf(io, dir), supernode);
    const { deployment, jwt } = yield* Effect.tryPromise({
      try: () => changing(hub.root, () => noteRevoked(hub, name)),
      catch: ofCause,
    });
    const found = yield* tellEach({ folder: hub, deployment }, jwt);
    const told = found.filter(({ answer }) => answer?.length === 0);
    const untold = found.filter(({ answer }) => answer?.length !== 0);
    if (json && told.length > 0) {
      const named = { told: told.map((each) => each.name), untold: untold.map((each) => each.name) };
      sayJson(io, { site: name, supernode, user: deployment.members[name]?.user, ...named });
    }
    const servers = plural(found.length, "server");
    if (untold.length === 0) {
      if (json) return undefined;
      return say(
        io,
        `${name} is out of ${supernode}, as ${found.length === 1 ? "its server knows" : `all of its ${servers} know`}: its connection is ended, and it cannot come back with the key it had`,
      );
    }
    const why = untold.map((each) => `${each.name} (${each.url}): ${each.detail || "not told"}`).join("; ");
    if (told.length === 0) {
      return yield* unreachable(
        `${name} is revoked in ${hub.path}, and not yet at the servers: none of ${servers} knows (${why}). Do it again when they answer`,
      );
    }
    return yield* failed(
      json
        ? ""
        : `${name} is revoked in ${hub.path}; ${told.length} of ${servers} ${told.length === 1 ? "knows" : "know"}: ${name} may be linked to the others, or come back to them, for minutes. Do it again when ${namesOf(untold)} ${untold.length === 1 ? "is" : "are"} back (${why})`,
    );
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
