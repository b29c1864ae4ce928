/** Jobs: that what they wait for can come, and that what they make can come back. */
import type { Finding } from "../document.ts";
import type { Path } from "../SiteFileError.ts";
import { bucketName } from "../../protocol/notification.ts";
import { acceptOf, knowsExposures } from "../laneDefaults.ts";
import { didYouMean, nearMiss } from "../nearMiss.ts";
import type { JobFile, SiteFile } from "../SiteSchema.ts";
import { lanesOf, untaken } from "./buckets.ts";

/** What a key of an output may name, with an example of each. */
const placeholders: Readonly<Record<string, string>> = {
  exposure: "MC_O_20251121_000156",
  day: "20251121",
  instrument: "LSSTCam",
  run: "quicklook-20251121-1",
};

export function jobRules(file: SiteFile): ReadonlyArray<Finding> {
  return Object.entries(file.jobs).flatMap(([name, job]) => [
    ...inputRules(name, job, file),
    ...outputRules(name, job, file),
  ]);
}

function siteRules(site: string, path: Path, { filesOf }: SiteFile): ReadonlyArray<Finding> {
  const known = Object.keys(filesOf?.sites ?? {});
  if (known.includes(site)) return [];
  const fix =
    known.length === 0 ? `add ${site} to filesOf.sites` : `use one of ${known.join(", ")}, or add it there`;
  return [{ path, value: site, message: `no site of filesOf${didYouMean(site, known)}`, fix }];
}

function inputRules(name: string, job: JobFile, file: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const known = Object.keys(file.lanes);
  for (const [index, input] of job.inputs.entries()) {
    const path = ["jobs", name, "inputs", index];
    const lane = Object.hasOwn(file.lanes, input.lane) ? file.lanes[input.lane] : undefined;
    if (input.site !== null) {
      // Its lanes stand in another file.
      findings.push(...siteRules(input.site, [...path, "site"], file));
    } else if (lane === undefined) {
      findings.push({
        path: [...path, "lane"],
        message: `no lane of this name${didYouMean(input.lane, known)}`,
        fix: `use one of ${known.join(", ")}`,
      });
    } else if (!knowsExposures(lane)) {
      findings.push({
        path: [...path, "lane"],
        message: "its files cannot be told apart by exposure, and the job runs for each exposure",
        fix: `add (?<exposure>…) to lanes.${input.lane}.pattern, or set its metadata: header`,
      });
    }
    if (input.count !== null && input.detectors.length > 0) {
      findings.push({
        path: [...path, "count"],
        message: "count and detectors are two answers to one question",
        fix: "keep one: detectors waits for all of them",
      });
    }
    const twice = input.detectors.findIndex((detector, i) => input.detectors.indexOf(detector) < i);
    if (twice >= 0) {
      findings.push({
        path: [...path, "detectors", twice],
        message: "is named twice",
        fix: "remove one of the two",
      });
    }
  }
  if (!job.inputs.some((input) => input.required)) {
    findings.push({
      path: ["jobs", name, "inputs"],
      message: "no required input: nothing would ever make it ready",
      fix: "add an input, or remove required: false from one",
    });
  }
  return findings;
}

function outputRules(name: string, job: JobFile, file: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  for (const [index, output] of job.outputs.entries()) {
    const path = ["jobs", name, "outputs", index];
    const same = job.outputs.findIndex(
      (other) => bucketName(other.bucket) === bucketName(output.bucket) && other.key === output.key,
    );
    if (same < index) {
      findings.push({
        path: [...path, "key"],
        message: "is the key of another output too",
        fix: "give each its own key",
      });
    }
    if (!/^[^/\\\0]+$/.test(output.name) || output.name === "." || output.name === "..") {
      findings.push({
        path: [...path, "name"],
        message: "is no plain file name",
        fix: "write a name without folders: statistics.json",
      });
    }
    if (job.outputs.findIndex((other) => other.name === output.name) < index) {
      findings.push({
        path: [...path, "name"],
        message: "is the name of another output too",
        fix: "give each its own name",
      });
    }
    findings.push(...keyRules(output.key, [...path, "key"]));
    const fault = untaken(file, output.bucket);
    if (fault === null) findings.push(...returnRules(job, output, path, file));
    else findings.push({ path: [...path, "bucket"], ...fault });
  }
  return findings;
}

function keyRules(key: string, path: ReadonlyArray<string | number>): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const known = Object.keys(placeholders);
  for (const [, word = ""] of key.matchAll(/\{([^{}]*)\}/g)) {
    if (known.includes(word)) continue;
    const near = nearMiss(word, known);
    findings.push({
      path,
      message: `{${word}} is not known here`,
      fix: near === null ? `use ${known.map((k) => `{${k}}`).join(", ")}` : `write {${near}}`,
    });
  }
  if (!key.includes("{exposure}") && !key.includes("{run}")) {
    findings.push({
      path,
      message: "every exposure's output would have the same key",
      fix: "put {exposure} or {run} into it",
    });
  }
  if (key.startsWith("/") || key.split("/").some((part) => part === ".." || part === ".")) {
    findings.push({
      path,
      message: "is no key of an object",
      fix: "write it without a leading / and without . and .. parts",
    });
  }
  return findings;
}

/** Tried with an example key: whether it is accepted where it comes back, and does not start its own job again. */
function returnRules(
  job: JobFile,
  output: JobFile["outputs"][number],
  path: ReadonlyArray<string | number>,
  file: SiteFile,
): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const example = output.key.replaceAll(/\{(\w+)\}/g, (whole, word: string) => placeholders[word] ?? whole);
  const takers = Object.entries(file.lanes).filter(([name]) => lanesOf(file, output.bucket).includes(name));
  const accepting = takers.filter(([, lane]) => acceptOf(lane).test(example));
  const names = takers.map(([name]) => name).join(", ");
  if (accepting.length === 0) {
    findings.push({
      severity: "warning",
      path: [...path, "key"],
      value: output.key,
      message: `a key like ${example} is not accepted by lane ${names}: the output would not come back`,
      fix: `change the key, or accept of lane ${names}`,
    });
  }
  if (takers.every(([, lane]) => lane.storage === null)) {
    findings.push({
      path: [...path, "bucket"],
      message: `lane ${names} has no storage: there is nowhere to put the output`,
      fix: `add storage to lanes.${names}`,
    });
  }
  const loop = job.inputs.some(
    (input) =>
      input.site === null &&
      input.detectors.length === 0 &&
      (input.match?.test(example) ?? true) &&
      accepting.some(([name]) => name === input.lane),
  );
  if (loop) {
    findings.push({
      path: [...path, "bucket"],
      message: "the output comes back as an input of the same job, which would run again for ever",
      fix: "put outputs into a bucket of another lane, or give the input a match that leaves them out",
    });
  }
  return findings;
}
