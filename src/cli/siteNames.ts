/** Names of sites that a command was given, held against those that there are: a slip would let in nobody, and say nothing. */
import { didYouMean } from "../config/nearMiss.ts";
import { isName } from "../config/rules/names.ts";
import type { Deployment } from "../sites/deployment.ts";
import { quoted } from "../sites/template.ts";
import { misused } from "./failures.ts";
import { listDeployments } from "./siteFolder.ts";

const sorted = (names: Iterable<string>): ReadonlyArray<string> => [...new Set(names)].toSorted();

/** Sites of the folder, and those that have joined from elsewhere. */
async function knownSites(root: string, supernode: Deployment): Promise<ReadonlyArray<string>> {
  const made = (await listDeployments(root)).flatMap(({ kind, name }) => (kind === "site" ? [name] : []));
  return sorted([...made, ...Object.keys(supernode.members)]);
}

async function checkKnown(
  flag: string,
  names: ReadonlyArray<string>,
  root: string,
  supernode: Deployment,
): Promise<void> {
  const known = await knownSites(root, supernode);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw misused(
    `${flag}: there is no site ${unknown}${didYouMean(unknown, known)}; there are ${known.join(", ")}`,
  );
}

/** Whose files a site is to be sent. @param text names with commas between; null: of none */
export async function readFilesOf(
  name: string,
  text: string | null,
  root: string,
  supernode: Deployment,
): Promise<ReadonlyArray<string>> {
  const sites = text === null || text === "none" ? [] : text.split(",");
  for (const site of sites) {
    if (!isName(site)) throw misused(`--files-of: ${quoted(site)} is no name of a site`);
    if (site === name) throw misused(`--files-of: ${name} has its own files already`);
  }
  await checkKnown("--files-of", sites, root, supernode);
  return sorted(sites);
}

/** Whose groups a site may look up; null: all. @param text `all`, `none`, or names with commas between */
export async function readSees(
  text: string,
  root: string,
  supernode: Deployment,
): Promise<ReadonlyArray<string> | null> {
  if (text === "all") return null;
  const names = text === "none" ? [] : text.split(",");
  for (const name of names)
    if (!isName(name))
      throw misused(`${name} is no site's name: write all, none, or names with commas between`);
  await checkKnown("sees", names, root, supernode);
  return sorted(names);
}
