/** Whether the folders that a node is to watch are there, on this machine. What the file alone can say is judged by rules/. */
import { statSync } from "node:fs";
import type { Finding } from "./document.ts";
import { errorCode } from "./references.ts";
import type { Site } from "./Site.ts";

/** Warnings alone: a folder may be made, or mounted, after the node has started. */
export function watchedFolders({ roles, watch }: Pick<Site, "roles" | "watch">): ReadonlyArray<Finding> {
  if (!roles.has("watcher")) return [];
  return watch.flatMap(({ directory }, index): ReadonlyArray<Finding> => {
    const fault = faultOf(directory);
    if (fault === null) return [];
    return [
      {
        severity: "warning",
        path: ["watch", index, "directory"],
        message: `${fault}: nothing comes in by it`,
        fix: "make it, or correct the path; a node looks for it again and again",
      },
    ];
  });
}

function faultOf(directory: string): string | null {
  try {
    return statSync(directory).isDirectory() ? null : `${directory} is no folder`;
  } catch (error) {
    const code = errorCode(error);
    return code === "ENOENT"
      ? `there is no folder ${directory}`
      : `${directory} cannot be looked at (${code})`;
  }
}
