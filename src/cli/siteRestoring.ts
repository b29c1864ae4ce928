/**
 * That a restore of a site has begun and not ended, as its deployment's folder says it: the supernode, which cannot look at the site's
 * server, keeps what it has of the site as long.
 */
import type { Change } from "../jetstream/topologyDiff.ts";
import { changing } from "./folderLock.ts";
import { listDeployments, readDeployment, writeDeployment } from "./siteFolder.ts";
import type { Home } from "./siteLife.ts";

/** Stands until the site's new life begins. @param since ISO 8601 */
export const noteRestoring = ({ folder }: Home, since: string): Promise<void> =>
  changing(folder.root, async () => {
    const now = await readDeployment(folder);
    if (now !== null) await writeDeployment(folder, { ...now, restoring: since });
  });

/** The supernode's members of which that is so. */
export async function unfinishedChanges(supernode: Home): Promise<ReadonlyArray<Change>> {
  const { folder, deployment } = supernode;
  const found: Array<Change> = [];
  for (const { name, restoring } of await listDeployments(folder.root)) {
    const member = deployment.members[name];
    if (restoring === undefined || member === undefined || member.revokedAt !== null) continue;
    found.push({
      kind: "refuse",
      asset: `site ${name}`,
      words: `site ${name}: its restore began at ${restoring} and has not ended; it is not taken over before orrery restore has`,
    });
  }
  return found;
}
