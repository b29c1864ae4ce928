/** Each lane by itself. */
import type { Finding } from "../document.ts";
import { groupNames, knowsExposures, metadataOf } from "../laneDefaults.ts";
import { didYouMean } from "../nearMiss.ts";
import { msPerDay } from "../quantity.ts";
import type { Path } from "../SiteFileError.ts";
import type { LaneFile, SiteFile } from "../SiteSchema.ts";

const knownGroups = ["instrument", "day", "exposure", "group", "snap", "detector", "seq"];

export function laneRules(file: SiteFile): ReadonlyArray<Finding> {
  if (file.supernode) return [];
  if (Object.keys(file.lanes).length === 0) {
    return [
      {
        severity: "warning",
        path: ["lanes"],
        message: "no lane: nothing is taken in, only actors of your own run",
        fix: "add one, as in config/demo.yaml, unless that is meant",
      },
    ];
  }
  return Object.entries(file.lanes).flatMap(([name, lane]) => [
    ...storageRules(name, lane, file),
    ...patternRules(name, lane),
    ...presenceRules(name, lane, file),
    ...namesRules(name, lane),
    ...boundRules(name, lane),
  ]);
}

function storageRules(name: string, lane: LaneFile, file: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const known = Object.keys(file.storage);
  const path = ["lanes", name, "storage"];
  if (lane.storage !== null && !known.includes(lane.storage)) {
    findings.push({
      path,
      message: `no storage of this name${didYouMean(lane.storage, known)}`,
      fix:
        known.length === 0
          ? "define it under storage:"
          : `use one of ${known.join(", ")}, or define it under storage:`,
    });
  }
  if (lane.profile !== null && !/^[\w.-]+$/.test(lane.profile)) {
    findings.push({
      path: ["lanes", name, "profile"],
      message: "is no name of a profile",
      fix: "write the name alone, without the @ and the bucket",
    });
  }
  if (lane.storage === null && metadataOf(lane) === "header") {
    findings.push({
      path,
      value: null,
      message: "metadata is to be read from the files, and no storage says where they are",
      fix: "add storage: NAME, or set metadata: key",
    });
  }
  if (lane.sidecar !== null && metadataOf(lane) === "key" && lane.names === null) {
    findings.push({
      severity: "warning",
      path: ["lanes", name, "sidecar"],
      message: "is never read with metadata: key",
      fix: "remove it, or set metadata: header",
    });
  }
  if (lane.sidecar !== null && !/^\.?[\w.-]+$/.test(lane.sidecar)) {
    findings.push({
      path: ["lanes", name, "sidecar"],
      message: "is no ending of a file name",
      fix: "write .json",
    });
  }
  return findings;
}

function patternRules(name: string, lane: LaneFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const path = ["lanes", name, "pattern"];
  const groups = groupNames(lane.pattern);
  const source = lane.pattern?.source ?? null;
  if (!knowsExposures(lane) && (lane.kind === "exposure" || lane.needs.length > 0)) {
    findings.push({
      path,
      value: source,
      message:
        lane.kind === "exposure"
          ? "a lane of kind exposure cannot tell its exposures: no group `exposure`, and metadata: key"
          : "its files are to wait for their exposure, which cannot be told: no group `exposure`, and metadata: key",
      fix: "add (?<exposure>…) to the pattern, or set metadata: header",
    });
  }
  for (const group of groups.filter((written) => !knownGroups.includes(written))) {
    findings.push({
      severity: "warning",
      path,
      value: source,
      message: `the group "${group}" is not used${didYouMean(group, knownGroups)}`,
      fix: `name it one of ${knownGroups.join(", ")}, or write (?:…)`,
    });
  }
  if (!groups.includes("day") && lane.names === null) {
    findings.push({
      severity: "warning",
      path,
      value: source,
      message: "no group `day`: records of this lane belong to no day, so their retention never purges them",
      fix: String.raw`add (?<day>\d{8}) to the pattern`,
    });
  }
  for (const key of ["accept", "pattern"] as const) {
    const pattern = lane[key];
    if (pattern === null || !repeatsARepeat(pattern.source)) continue;
    findings.push({
      severity: "warning",
      path: ["lanes", name, key],
      value: pattern.source,
      message: "repeats what is itself repeated: some keys would take it minutes to refuse",
      fix: "write the inner repetition once: (?:a+)+ is a+",
    });
  }
  return findings;
}

/** Only a lane of kind exposure announces groups, and by its files' keys alone it must be told each part of one. */
function presenceRules(name: string, lane: LaneFile, { presence }: SiteFile): ReadonlyArray<Finding> {
  if (presence === null || lane.kind !== "exposure" || metadataOf(lane) !== "key") return [];
  const groups = groupNames(lane.pattern);
  const missing = ["instrument", "group", "detector"].filter((part) => !groups.includes(part));
  if (missing.length === 0) return [];
  return [
    {
      severity: "warning",
      path: ["lanes", name, "pattern"],
      value: lane.pattern?.source ?? null,
      message: `its files are never present: no group ${missing.map((part) => `\`${part}\``).join(", ")}, and metadata: key`,
      fix: `add ${missing.map((part) => `(?<${part}>…)`).join(", ")} to the pattern, or set metadata: header`,
    },
  ];
}

/** A mission's names say what a pattern, a header and a newer content would say otherwise. */
function namesRules(name: string, lane: LaneFile): ReadonlyArray<Finding> {
  if (lane.names === null) return [];
  const at = (key: string): Path => ["lanes", name, key];
  const findings: Array<Finding> = [];
  if (lane.kind !== "object") {
    findings.push({
      path: at("kind"),
      message: "a lane with names is of kind object: its files stand alone",
      fix: "write kind: object, or remove names",
    });
  }
  if (lane.pattern !== null) {
    findings.push({
      path: at("pattern"),
      value: lane.pattern.source,
      message: "names say what a file is, so a pattern has nothing to say",
      fix: "remove the pattern, or names; which keys the lane takes is said by accept",
    });
  }
  if (lane.metadata === "header") {
    findings.push({
      path: at("metadata"),
      message: "names say what a file is, so no header is read",
      fix: "remove it; a range is read from the sidecar and the store's metadata of the kinds with rangeGiven",
    });
  }
  if (lane.onContentChange === "supersede") {
    findings.push({
      path: at("onContentChange"),
      message: "within a mission one name is one file: other content comes under a higher version",
      fix: "remove it: other content is refused, visibly",
    });
  }
  if (lane.sidecar !== null && lane.storage === null) {
    findings.push({
      path: at("sidecar"),
      message: "no storage says where the sidecars are",
      fix: "add storage: NAME",
    });
  }
  return findings;
}

/** `(a+)+`, `([a-z]*)*`: the plain cases of a pattern whose time doubles with each character. */
function repeatsARepeat(source: string): boolean {
  const atom = String.raw`(?:\\.|\[(?:\\.|[^\]\\])*\]|[^\\()[\]|*+?{}])`;
  return new RegExp(String.raw`\((?:\?(?::|<\w+>))?${atom}[*+]\??\)(?:[*+]|\{\d+,\})`, "u").test(source);
}

function boundRules(name: string, lane: LaneFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  if (lane.backoffBase > lane.backoffMax) {
    findings.push({
      path: ["lanes", name, "backoffBase"],
      message: "is longer than backoffMax",
      fix: "make backoffMax at least as long",
    });
  }
  if (lane.retention % msPerDay !== 0) {
    findings.push({
      path: ["lanes", name, "retention"],
      message: "records are purged by whole days",
      fix: `write ${Math.ceil(lane.retention / msPerDay)} days`,
    });
  }
  const { driver } = lane;
  if (driver.type !== "native" && driver.startDeadline + driver.batchDeadline >= lane.workDeadline) {
    // The lane would give the batch back before the driver could say which item is to blame, again and again.
    findings.push({
      path: ["lanes", name, "workDeadline"],
      message: "must be longer than the driver's startDeadline and batchDeadline together",
      fix: `write ${Math.ceil((driver.startDeadline + driver.batchDeadline) / 1_000) + 10} s, or shorten those`,
    });
  }
  return findings;
}
