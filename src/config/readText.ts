/** The text of a file that people write: the site file, and those it names. */
import { readFileSync, statSync } from "node:fs";
import { errorCode } from "./references.ts";
import type { Finding } from "./document.ts";

/** A site file is written by hand: anything larger is another file. */
const siteFileBytesMax = 1_048_576;

export type TextRead =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly finding: Finding };

/** The text of a site file; never throws. */
export function readSiteText(path: string): TextRead {
  const failed = (message: string, fix: string): TextRead => ({
    ok: false,
    finding: { path: [], value: null, message, fix },
  });
  try {
    const about = statSync(path);
    if (!about.isFile()) return failed("is no file", "name the site file itself: config/demo.yaml");
    if (about.size > siteFileBytesMax)
      return failed(`is larger than ${siteFileBytesMax} bytes`, "is it the right file?");
    return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path)) };
  } catch (error) {
    if (error instanceof TypeError) return failed("is not UTF-8 text", "save it as UTF-8");
    const code = errorCode(error);
    const message = code === "ENOENT" ? "there is no such file" : `cannot be read (${code})`;
    return failed(message, code === "EACCES" ? "make it readable for this user" : "check the path");
  }
}
