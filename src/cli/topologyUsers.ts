/**
 * Permissions as a part of the topology: the .creds files of a deployment's folder against the table from which they are made. A file
 * that was made from an earlier table is drift; the account's seed in `keys/` signs it anew, for the same user.
 */
import { readFile } from "node:fs/promises";
import type { UserClaims, UserOptions } from "../jetstream/trust.ts";
import { newUser, readUser, renewUser } from "../jetstream/trust.ts";
import type { Change } from "../jetstream/topologyDiff.ts";
import { leafSubjects } from "../sites/leaf.ts";
import { leafFilesSubjects } from "../sites/leafFiles.ts";
import type { CredentialName } from "../sites/permissions.ts";
import { credentials, subjectsOf } from "../sites/permissions.ts";
import type { SupernodeCredentialName } from "../sites/supernodePermissions.ts";
import { supernodeCredentials, supernodeSubjectsOf } from "../sites/supernodePermissions.ts";
import type { Folder } from "./siteFolder.ts";
import { credsFile, folderOf, readSeed, writeCreds } from "./siteFolder.ts";
import { adminSubjects } from "./siteInit.ts";
import type { Home } from "./siteLife.ts";

/** A user as it should be. */
interface Wanted {
  /** Whose folder its file is in. */
  readonly folder: Folder;
  readonly role: string;
  /** Public key of the account that signs it. */
  readonly account: string;
  /** In whose folder that account's seed is. */
  readonly signer: Folder;
  readonly may: (inbox: string) => UserOptions;
  /** Public key by which the supernode knows it; null for a role's. Another cannot be made here: nobody could put it out. */
  readonly joined: string | null;
}

interface Drift {
  readonly wanted: Wanted;
  /** As the file is now; null where there is none. */
  readonly creds: string | null;
  readonly change: Change;
}

function rolesOf({ folder, deployment }: Home): ReadonlyArray<Wanted> {
  const of = (role: string, may: Wanted["may"]): Wanted => ({
    folder,
    role,
    account: deployment.account,
    signer: folder,
    may,
    joined: null,
  });
  const roles =
    deployment.kind === "site"
      ? (Object.keys(credentials) as ReadonlyArray<CredentialName>).map((role) =>
          of(role, (inbox) => subjectsOf(role, inbox)),
        )
      : (Object.keys(supernodeCredentials) as ReadonlyArray<SupernodeCredentialName>).map((role) =>
          of(role, (inbox) => supernodeSubjectsOf(role, inbox)),
        );
  return [...roles, of("admin", () => adminSubjects)];
}

/** By which sites join: made by the supernode, kept by the site; those of sites in other folders are not seen. */
function leavesOf({ folder, deployment }: Home): ReadonlyArray<Wanted> {
  return Object.entries(deployment.members).flatMap(([site, { user, revokedAt, filesOf = [] }]) =>
    revokedAt === null
      ? [
          {
            folder: folderOf(folder.root, site),
            role: "leaf",
            account: deployment.account,
            signer: folder,
            may: () => leafUser(site, deployment.name, filesOf),
            joined: user,
          },
        ]
      : [],
  );
}

function leafUser(site: string, supernode: string, filesOf: ReadonlyArray<string>): UserOptions {
  const own = leafSubjects(site);
  const files = leafFilesSubjects(site, supernode, filesOf);
  return {
    publish: [...own.publish, ...files.publish],
    subscribe: [...own.subscribe, ...files.subscribe],
    leaf: true,
  };
}

async function fileOf(folder: Folder, role: string): Promise<string | null> {
  try {
    return await readFile(credsFile(folder, role), "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw cause;
  }
}

const shownMax = 3;

function someOf(subjects: ReadonlyArray<string>): string {
  const more = subjects.length - shownMax;
  return `${subjects.slice(0, shownMax).join(" ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** In words, what the file says otherwise than the table; empty where they agree. */
export function permissionWords(have: UserClaims, want: UserOptions): ReadonlyArray<string> {
  const words: Array<string> = [];
  const hold = (verb: string, before: ReadonlyArray<string>, after: ReadonlyArray<string>): void => {
    const more = after.filter((subject) => !before.includes(subject));
    const less = before.filter((subject) => !after.includes(subject));
    if (more.length > 0) words.push(`does not let it ${verb} ${someOf(more)}`);
    if (less.length > 0) words.push(`still lets it ${verb} ${someOf(less)}`);
  };
  hold("publish", have.publish, want.publish);
  hold("hear", have.subscribe, want.subscribe);
  const denied = (not: ReadonlyArray<string>, wanted: ReadonlyArray<string> = []): boolean =>
    not.length === wanted.length && not.every((subject) => wanted.includes(subject));
  if (!denied(have.publishNot, want.publishNot) || !denied(have.subscribeNot, want.subscribeNot))
    words.push("refuses other subjects");
  if (have.leaf !== (want.leaf === true))
    words.push(have.leaf ? "is for a server" : "is for a client, and not for a server");
  return words;
}

async function driftOf(wanted: Wanted): Promise<Drift | null> {
  const creds = await fileOf(wanted.folder, wanted.role);
  const asset = `credentials ${wanted.folder.name}/${wanted.role}`;
  if (creds === null) {
    // Of a site in another folder nothing is known.
    if (wanted.joined !== null) return null;
    return { wanted, creds, change: { kind: "create", asset, words: `create ${asset}` } };
  }
  let have: UserClaims;
  try {
    have = await readUser(creds);
  } catch {
    const words = `${asset}: its file holds no credentials`;
    return {
      wanted,
      creds: null,
      change: { kind: wanted.joined === null ? "replace" : "refuse", asset, words },
    };
  }
  if (have.account !== wanted.account) {
    const words = `${asset}: signed by ${have.account}, and not by ${wanted.account}`;
    return {
      wanted,
      creds: null,
      change: { kind: wanted.joined === null ? "replace" : "refuse", asset, words },
    };
  }
  if (wanted.joined !== null && have.publicKey !== wanted.joined) {
    const words = `${asset}: of another user than joined, whom site revoke would not put out; revoke ${wanted.folder.name}, and have it join again`;
    return { wanted, creds: null, change: { kind: "refuse", asset, words } };
  }
  const found = permissionWords(have, wanted.may(`_INBOX.${have.publicKey}`));
  if (found.length === 0) return null;
  const renews =
    wanted.joined !== null
      ? "its site's server takes it at its next start"
      : "whoever uses it takes it at its next start";
  const words = `${asset}: made from an earlier table: ${found.join("; ")} (${renews})`;
  return { wanted, creds, change: { kind: "update", asset, words } };
}

async function driftsOf(home: Home): Promise<ReadonlyArray<Drift>> {
  const wanted = [...rolesOf(home), ...(home.deployment.kind === "supernode" ? leavesOf(home) : [])];
  const found = await Promise.all(wanted.map(driftOf));
  return found.filter((drift) => drift !== null);
}

export const planUsers = async (home: Home): Promise<ReadonlyArray<Change>> =>
  (await driftsOf(home)).map(({ change }) => change);

/** Rejects, with what it is good for, where the account's seed is not in the folder. */
export async function applyUsers(home: Home): Promise<ReadonlyArray<Change>> {
  const drifts = await driftsOf(home);
  for (const { wanted, creds, change } of drifts) {
    if (change.kind === "refuse") continue;
    const seed = await readSeed(wanted.signer, "account");
    const text =
      creds === null
        ? (await newUser(`${wanted.folder.name} ${wanted.role}`, seed, wanted.may)).creds
        : await renewUser(creds, seed, wanted.may);
    await writeCreds(wanted.folder, wanted.role, text);
  }
  return drifts.map(({ change }) => change);
}
