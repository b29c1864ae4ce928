import { hostname, userInfo } from "node:os";

/** Who decides, for the record's history. */
export function operator(): string {
  try {
    return `operator ${userInfo().username}@${hostname()}`;
  } catch {
    // No entry in the passwd file, as in some containers.
    return `operator @${hostname()}`;
  }
}
