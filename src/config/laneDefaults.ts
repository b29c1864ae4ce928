/** What of a lane depends on its kind when the file does not say. */
import type { Lane } from "./Site.ts";
import type { LaneFile } from "./SiteSchema.ts";

/** A hundred years. */
export const retentionDaysMax = 36_500;

const fitsFiles = /fits$/u;
// Not a dot: a key may be a line break alone.
const everything = /^/u;

export function acceptOf(lane: LaneFile): RegExp {
  return lane.accept ?? (lane.kind === "exposure" ? fitsFiles : everything);
}

export function metadataOf(lane: LaneFile): Lane["metadata"] {
  return lane.metadata ?? (lane.kind === "exposure" ? "header" : "key");
}

/** The names of a pattern's named groups, in order. */
export function groupNames(pattern: RegExp | null): ReadonlyArray<string> {
  if (pattern === null) return [];
  // With an empty alternative it matches anything, and the match lists every group.
  const match = new RegExp(`${pattern.source}|`, pattern.flags).exec("");
  return Object.keys(match?.groups ?? {});
}

/** Whether the files of a lane can be told apart by exposure. */
export function knowsExposures(lane: LaneFile): boolean {
  return groupNames(lane.pattern).includes("exposure") || metadataOf(lane) === "header";
}
