/**
 * A site's life: from its making, or its rebuilding, to its end. Each has an epoch of its own, under which the supernode keeps what it
 * takes over of the site's ledger, so that a former life is dropped and never mixed with the present one. It is new with `site init`,
 * when the site is destroyed, and when it is restored: what the site did after its backup is lost to it, and would else stay at the
 * supernode for ever.
 */
import { dirname, resolve } from "node:path";
import type { Site } from "../config/Site.ts";
import { compareEpochs } from "../protocol/filesOf.ts";
import type { Deployment } from "../sites/deployment.ts";
import { changing } from "./folderLock.ts";
import type { Folder } from "./siteFolder.ts";
import { folderOf, listDeployments, readDeployment, writeDeployment } from "./siteFolder.ts";

export interface Home {
  readonly folder: Folder;
  readonly deployment: Deployment;
}

/** The deployment in whose folder the site file lies, where it lies in one of its name. */
export async function homeOf(site: Pick<Site, "name">, siteFile: string): Promise<Home | null> {
  const path = dirname(resolve(siteFile));
  const folder = folderOf(dirname(path), site.name);
  if (folder.path !== path) return null;
  const deployment = await readDeployment(folder);
  return deployment === null || deployment.name !== site.name ? null : { folder, deployment };
}

/**
 * Later than any of the former ones, whatever the clock says: others take the later one for the present life.
 * @param former epochs; those that are no times are not compared
 */
export function epochAfter(former: ReadonlyArray<string>, now = Date.now()): string {
  const times = former.map((epoch) => (/^[0-9a-z]{1,10}$/.test(epoch) ? Number.parseInt(epoch, 36) : 0));
  return Math.max(now, ...times.map((time) => time + 1)).toString(36);
}

/** Epochs by which the supernodes of the folder know a site of that name, put out ones as well. */
export async function knownEpochs(root: string, site: string): Promise<ReadonlyArray<string>> {
  return (await listDeployments(root)).flatMap(({ members }) => members[site]?.epoch ?? []);
}

/**
 * @param ledger when the server made the ledger of this life; null where there is none yet
 * @returns the new epoch
 */
export const beginNewLife = (home: Home, ledger: string | null): Promise<string> =>
  changing(home.folder.root, async () => begin(await asItIs(home), ledger));

/** By what the folder says now: another command may have changed it since it was read. */
async function asItIs({ folder, deployment }: Home): Promise<Home> {
  return { folder, deployment: (await readDeployment(folder)) ?? deployment };
}

async function begin({ folder, deployment }: Home, ledger: string | null): Promise<string> {
  const known = await knownEpochs(folder.root, deployment.name);
  const epoch = epochAfter([deployment.epoch, ...known]);
  const { ledger: _former, restoring: _ended, ...rest } = deployment;
  await writeDeployment(folder, { ...rest, epoch, ...(ledger === null ? {} : { ledger }) });
  return epoch;
}

/** Whether the ledger is another than that of the site's epoch: its server lost the former one, and nobody said so. */
export const isOtherLedger = ({ deployment }: Home, ledger: string | null): boolean =>
  ledger !== null && deployment.ledger !== undefined && deployment.ledger !== ledger;

/** Remembers the ledger of this life. Another than was remembered begins a new one. */
export async function noteLedger(home: Home, ledger: string | null): Promise<void> {
  if (ledger === null || home.deployment.ledger === ledger) return;
  await changing(home.folder.root, async () => {
    const now = await asItIs(home);
    if (isOtherLedger(now, ledger)) await begin(now, ledger);
    else await writeDeployment(now.folder, { ...now.deployment, ledger });
  });
}

/**
 * Sites of the folder whose epoch is no more the one under which the supernode has them; by name, the new epoch. Of a site whose own
 * epoch is before that one, as where its folder was made by a clock that was behind, one that is after both.
 */
export async function newLives(supernode: Home): Promise<ReadonlyMap<string, string>> {
  const { folder, deployment } = supernode;
  const found = new Map<string, string>();
  for (const site of await listDeployments(folder.root)) {
    const member = deployment.members[site.name];
    if (site.kind !== "site" || member === undefined || member.revokedAt !== null) continue;
    if (site.supernode !== deployment.name || site.epoch === member.epoch) continue;
    // A part of it only may be there.
    if (site.restoring !== undefined) continue;
    const isLater = compareEpochs(site.epoch, member.epoch) > 0;
    found.set(site.name, isLater ? site.epoch : epochAfter([member.epoch]));
  }
  return found;
}

/** In the supernode's file, and where a site's epoch was put after its own, in the site's. */
export async function noteLives(supernode: Home, lives: ReadonlyMap<string, string>): Promise<Deployment> {
  if (lives.size === 0) return supernode.deployment;
  return changing(supernode.folder.root, async () => note(await asItIs(supernode), lives));
}

async function note({ folder, deployment }: Home, lives: ReadonlyMap<string, string>): Promise<Deployment> {
  const members = Object.fromEntries(
    Object.entries(deployment.members).map(([name, member]) => {
      const epoch = lives.get(name);
      return [name, epoch === undefined ? member : { ...member, epoch }];
    }),
  );
  const noted = { ...deployment, members };
  // The site's first: broken off between the two, the next call goes on from there.
  for (const site of await listDeployments(folder.root)) {
    const epoch = lives.get(site.name);
    if (site.kind === "site" && epoch !== undefined && site.epoch !== epoch)
      await writeDeployment(folderOf(folder.root, site.name), { ...site, epoch });
  }
  await writeDeployment(folder, noted);
  return noted;
}
