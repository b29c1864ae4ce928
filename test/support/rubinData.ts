/** Real headers of an observatory, kept outside the project; tests that need them are skipped where they are not. */
import { existsSync, readdirSync, readFileSync } from "node:fs";

const folder = new URL("../../../shared/data/rubin/", import.meta.url);

export const haveRubinData: boolean = existsSync(folder);

/** Names and contents of the files in `sidecars` or `fits`. */
export function rubinFiles(kind: "sidecars" | "fits"): ReadonlyArray<readonly [string, Uint8Array]> {
  if (!haveRubinData) return [];
  const from = new URL(`${kind}/`, folder);
  return readdirSync(from).map((name) => [name, readFileSync(new URL(name, from))] as const);
}
