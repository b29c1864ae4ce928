import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** The libraries and the loader of a program, none of which is there in an image from scratch; [] for a static one. */
export async function librariesOf(program: string): Promise<ReadonlyArray<string>> {
  try {
    const { stdout } = await promisify(execFile)("ldd", [program], { timeout: 10_000 });
    return [...stdout.matchAll(/(\/\S+) \(0x/g)].flatMap(([, file]) => (file === undefined ? [] : [file]));
  } catch {
    // `ldd` refuses a static program. Without an ldd we take it for one: if it is not, its container says so.
    return [];
  }
}
