/** From a finding to the problem that is shown: its path as text, its line, its value as far as that may be seen. */
import { isRecord } from "./decode.ts";
import type { Finding, SiteDocument } from "./document.ts";
import { show } from "./show.ts";
import type { Path, Problem } from "./SiteFileError.ts";
import { formatPath } from "./SiteFileError.ts";

const outside: ReadonlySet<string | number> = new Set([
  "--node",
  "ORRERY_NODE",
  "--roles",
  "ORRERY_ROLES",
  "ORRERY_CREDENTIALS",
]);

export function problemOf(finding: Finding, document: SiteDocument | null): Problem {
  const { path } = finding;
  const value = finding.value === undefined ? valueAt(document?.value, path) : finding.value;
  const line =
    finding.line ?? (document === null || isOutside(path) ? null : document.lineOf(path, finding.atKey));
  return {
    severity: finding.severity ?? "error",
    path: isOutside(path) ? String(path[0]) : formatPath(path),
    line,
    value: show(value, path),
    message: finding.message,
    fix: finding.fix,
  };
}

/** Not from the file, but from the command line or the environment. */
function isOutside(path: Path): boolean {
  return outside.has(path[0] ?? "");
}

function valueAt(value: unknown, path: Path): unknown {
  let here = value;
  for (const part of path) {
    if (Array.isArray(here) && typeof part === "number") here = here[part];
    else if (isRecord(here) && Object.hasOwn(here, part)) here = here[String(part)];
    else return undefined;
  }
  return path.length === 0 ? undefined : here;
}
