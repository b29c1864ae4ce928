/** How a value of a site file is shown in a problem: short, on one line, and never when it may be a secret. */
import type { Path } from "./SiteFileError.ts";
import { isReference } from "./references.ts";

const hidden = "«hidden»";
const shownMax = 120;
/** Below these keys stands a secret, or something people put secrets into. */
const secretKeys = new Set([
  "secret",
  "password",
  "token",
  "accessKeyId",
  "secretAccessKey",
  "env",
  "command",
  "headers",
]);

/** Text for a scalar; a count for a list or section, whose contents are never shown; null for nothing. */
export function show(value: unknown, path: Path): string | null {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value)) return value.length === 1 ? "a list of 1" : `a list of ${value.length}`;
  if (typeof value === "object") return `a section of ${Object.keys(value).length} keys`;
  const text =
    typeof value === "number" || typeof value === "boolean"
      ? String(value)
      : typeof value === "string"
        ? value
        : "?";
  if (path.some((part) => typeof part === "string" && secretKeys.has(part)) && !isReference(text))
    return hidden;
  return shorten(maskUserInfo(text));
}

/** `nats://me:pass@host` → `nats://«hidden»@host`. */
export function maskUserInfo(text: string): string {
  return text.replaceAll(/(?<=\/\/)[^/@]*@/g, `${hidden}@`);
}

function shorten(text: string): string {
  // Control characters, which could write over what the terminal shows.
  const line = text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, "␣");
  return line.length > shownMax ? `${line.slice(0, shownMax)}…` : line;
}
