/** Names that become parts of NATS subjects and ledger keys. */
import type { Finding } from "../document.ts";
import type { Path } from "../SiteFileError.ts";
import type { SiteFile } from "../SiteSchema.ts";

const nameCharsMax = 64;
const namePattern = /^[a-z0-9][a-z0-9_-]*$/;
/** Ledger keys tell runs and users' own items from files by these beginnings. */
const reservedBeginnings = ["run-", "item-"];

export function isName(text: string): boolean {
  return text.length <= nameCharsMax && namePattern.test(text);
}

/** The nearest allowed name. */
export function asName(text: string): string {
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, "-")
    .replaceAll(/^[-_]+|-+$/g, "")
    .slice(0, nameCharsMax);
  return name === "" ? "orrery" : name;
}

export function nameFinding(name: string, path: Path, what: string): Finding {
  return {
    path,
    value: name,
    message: `is no name for a ${what}: it becomes a part of NATS subjects`,
    fix: `use a-z, 0-9, _ and - only, at most ${nameCharsMax}: ${asName(name)}`,
  };
}

export function nameRules(file: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  if (!isName(file.name)) findings.push(nameFinding(file.name, ["name"], "site"));
  for (const [section, what] of [
    ["storage", "storage"],
    ["lanes", "lane"],
    ["jobs", "job"],
    ["webhooks", "webhook"],
  ] as const) {
    for (const name of Object.keys(file[section])) {
      if (!isName(name)) findings.push({ ...nameFinding(name, [section, name], what), atKey: true });
    }
  }
  for (const name of Object.keys(file.lanes)) {
    const reserved = reservedBeginnings.find((beginning) => name.startsWith(beginning));
    if (reserved === undefined) continue;
    findings.push({
      path: ["lanes", name],
      atKey: true,
      value: name,
      message: `a lane's name must not begin with ${reserved}: the ledger keeps something else under such names`,
      fix: `rename it: ${name.slice(reserved.length) || "files"}`,
    });
  }
  for (const [name, job] of Object.entries(file.jobs)) {
    if (job.lane !== null && !isName(job.lane))
      findings.push(nameFinding(job.lane, ["jobs", name, "lane"], "run lane"));
  }
  if (file.nats.domain !== null && !/^[A-Za-z0-9_-]+$/.test(file.nats.domain)) {
    findings.push(nameFinding(file.nats.domain, ["nats", "domain"], "JetStream domain"));
  }
  return findings;
}
