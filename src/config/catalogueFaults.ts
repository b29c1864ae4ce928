/** From a finding in one of a catalogue's files to the fault that is told: with its file, line and job. */
import type { Fault, FaultRule } from "../jobs/faults.ts";
import type { Finding, SiteDocument } from "./document.ts";
import { problemOf } from "./problems.ts";

/** @param file as it is named to people */
export function faultOf(
  finding: Finding,
  document: SiteDocument | null,
  file: string,
  rule: FaultRule = "form",
): Fault {
  const problem = problemOf(finding, document);
  const [section, name] = finding.path;
  const value = problem.value === null ? "" : ` (${problem.value})`;
  const where = problem.path === "" ? "" : `${problem.path}${value}: `;
  return {
    severity: problem.severity,
    rule,
    at: { file, line: problem.line ?? 1 },
    job: section === "jobs" && typeof name === "string" ? name : null,
    message: `${where}${problem.message}`,
    fix: problem.fix,
  };
}
