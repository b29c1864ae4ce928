/** Other sites whose files are inputs: whose, through which storage, and for which jobs. */
import type { Finding } from "../document.ts";
import { didYouMean } from "../nearMiss.ts";
import type { SiteFile } from "../SiteSchema.ts";
import { isName, nameFinding } from "./names.ts";

export function filesOfRules({ name, filesOf, storage, catalogue }: SiteFile): ReadonlyArray<Finding> {
  if (filesOf === null) return [];
  const { supernode, sites } = filesOf;
  const findings: Array<Finding> = [];
  if (!isName(supernode)) findings.push(nameFinding(supernode, ["filesOf", "supernode"], "supernode"));
  if (catalogue === null) {
    findings.push({
      severity: "warning",
      path: ["filesOf"],
      message: "only jobs of a catalogue are made of other sites' files, and this site has none",
      fix: "name it under catalogue:, or remove filesOf",
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
