/** Other sites whose files are inputs: whose, through which storage, and for which jobs. */
import type { Finding } from "../document.ts";
import { didYouMean } from "../nearMiss.ts";
import type { SiteFile } from "../SiteSchema.ts";
import { isName, nameFinding } from "./names.ts";

export function filesOfRules({ name, filesOf, storage, catalogue, jobs }: SiteFile): ReadonlyArray<Finding> {
  if (filesOf === null) return [];
  const { supernode, sites } = filesOf;
  const findings: Array<Finding> = [];
  if (!isName(supernode)) findings.push(nameFinding(supernode, ["filesOf", "supernode"], "supernode"));
  const isTaken = Object.values(jobs).some((job) => job.inputs.some(({ site }) => site !== null));
  if (catalogue === null && !isTaken) {
    findings.push({
      severity: "warning",
      path: ["filesOf"],
      message:
        "nothing is made of these files: this site has no catalogue, and no input of its jobs names a site",
      fix: "name a catalogue, or a site in an input of a job, or remove filesOf",
    });
  }
  if (Object.keys(sites).length === 0) {
    findings.push({
      path: ["filesOf", "sites"],
      value: null,
      message: "names no site",
      fix: "add sites: { NAME: { storage: NAME } }, or remove filesOf",
    });
  }
  for (const [site, settings] of Object.entries(sites)) {
    const path = ["filesOf", "sites", site];
    if (!isName(site)) findings.push(nameFinding(site, path, "site"));
    if (site === name) {
      findings.push({
        path,
        message: "is this site: its own files are inputs as they are",
        fix: "remove it",
      });
    }
    const driver = storage[settings.storage]?.driver;
    if (driver === undefined) {
      findings.push({
        path: [...path, "storage"],
        value: settings.storage,
        message: "names no storage of this file",
        fix: `add it under storage${didYouMean(settings.storage, Object.keys(storage))}`,
      });
    } else if (driver === "objectstore") {
      findings.push({
        path: [...path, "storage"],
        value: settings.storage,
        message: "is this site's own object store, in which no other site's files are",
        fix: "name a storage with the driver s3 or file",
      });
    }
  }
  return findings;
}
