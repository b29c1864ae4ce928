/** Who takes what arrives: buckets between lanes, watched folders and jobs. */
import { isAbsolute, join, resolve } from "node:path";
import type { Finding } from "../document.ts";
import { bucketName } from "../../protocol/notification.ts";
import { acceptOf, metadataOf } from "../laneDefaults.ts";
import { didYouMean } from "../nearMiss.ts";
import type { SiteFile } from "../SiteSchema.ts";
import { provenDisjoint } from "./disjoint.ts";

export function bucketRules(file: SiteFile): ReadonlyArray<Finding> {
  return [...fedRules(file), ...sharedRules(file), ...takenRules(file), ...storageUse(file)];
}

/** Webhooks, watched folders and job outputs all name a bucket: a lane without one is fed by nothing. */
function fedRules({ lanes }: SiteFile): ReadonlyArray<Finding> {
  return Object.entries(lanes).flatMap(([name, lane]) =>
    lane.buckets.length > 0
      ? []
      : [
          {
            path: ["lanes", name, "buckets"],
            value: null,
            message:
              "a lane that nothing leads to: no bucket, so no webhook, watched folder or job output is ever taken by it",
            fix: "add buckets: [NAME], or remove the lane",
          },
        ],
  );
}

interface Claim {
  readonly lane: string;
  readonly index: number;
  readonly accept: RegExp;
}

function sharedRules({ lanes }: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const claims = new Map<string, Array<Claim>>();
  for (const [name, lane] of Object.entries(lanes)) {
    for (const [index, bucket] of lane.buckets.entries()) {
      const before = claims.get(bucketName(bucket)) ?? [];
      const path = ["lanes", name, "buckets", index];
      if (!/^[^\s/]+$/.test(bucketName(bucket))) {
        findings.push({
          path,
          message: "is no bucket's name",
          fix: "write the bucket's name alone, without a path; `profile@` or `tenant:` may stand before it",
        });
        continue;
      }
      const twice = before.some((claim) => claim.lane === name);
      const other = before.find(
        (claim) => claim.lane !== name && !provenDisjoint(claim.accept, acceptOf(lane)),
      );
      if (twice) {
        findings.push({ path, message: "is named twice in this lane", fix: "remove one of the two" });
      } else if (other !== undefined) {
        findings.push({
          path,
          message: `lane ${other.lane} takes this bucket too, and an object may be accepted by both`,
          fix: String.raw`give both an accept with another ending, such as '_guider\.fits$' and '(?<!_guider)\.fits$', or with another beginning, such as '^raw/' and '^cal/'`,
        });
      }
      claims.set(bucketName(bucket), [...before, { lane: name, index, accept: acceptOf(lane) }]);
    }
  }
  return findings;
}

/** The lanes that take a bucket. */
export function lanesOf(file: SiteFile, bucket: string): ReadonlyArray<string> {
  const wanted = bucketName(bucket);
  return Object.entries(file.lanes)
    .filter(([, lane]) => lane.buckets.some((own) => bucketName(own) === wanted))
    .map(([name]) => name);
}

export function untaken(file: SiteFile, bucket: string): Pick<Finding, "message" | "fix"> | null {
  if (lanesOf(file, bucket).length > 0) return null;
  const known = [...new Set(Object.values(file.lanes).flatMap((lane) => lane.buckets))];
  return {
    message: `no lane takes this bucket${didYouMean(bucket, known)}`,
    fix: "add it to the buckets of a lane, or name one of theirs",
  };
}

function takenRules(file: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  for (const [index, watch] of file.watch.entries()) {
    const fault = untaken(file, watch.bucket);
    if (fault === null) findings.push(...watchedWhere(file, index));
    else findings.push({ path: ["watch", index, "bucket"], ...fault });
    if (file.watch.findIndex((other) => other.directory === watch.directory) < index) {
      findings.push({
        path: ["watch", index, "directory"],
        message: "is watched already",
        fix: "remove one of the two",
      });
    }
  }
  return findings;
}

/** A lane that reads from folders looks for an object at <root>/<bucket>/<key>: the watched folder should be that one. */
function watchedWhere(file: SiteFile, index: number): ReadonlyArray<Finding> {
  const watch = file.watch[index];
  if (watch === undefined) return [];
  for (const name of lanesOf(file, watch.bucket)) {
    const lane = file.lanes[name];
    const storage = lane?.storage == null ? undefined : file.storage[lane.storage];
    if (lane === undefined || storage?.driver !== "file" || metadataOf(lane) === "key") continue;
    const wanted = join(storage.root, bucketName(watch.bucket));
    if (isAbsolute(wanted) !== isAbsolute(watch.directory) || resolve(wanted) === resolve(watch.directory))
      continue;
    return [
      {
        severity: "warning",
        path: ["watch", index, "directory"],
        message: `lane ${name} will look for these files in ${wanted}`,
        fix: `watch ${wanted}, or change the root of storage ${String(lane.storage)}`,
      },
    ];
  }
  return [];
}

function storageUse(file: SiteFile): ReadonlyArray<Finding> {
  const elsewhere = Object.values(file.filesOf?.sites ?? {});
  const used = new Set([...Object.values(file.lanes), ...elsewhere].map(({ storage }) => storage));
  return Object.keys(file.storage)
    .filter((name) => !used.has(name))
    .map((name) => ({
      severity: "warning" as const,
      path: ["storage", name],
      atKey: true,
      value: null,
      message: "no lane uses this storage",
      fix: "remove it, or name it in a lane",
    }));
}
