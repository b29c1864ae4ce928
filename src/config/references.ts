/** References to what must not stand in a site file: `env:NAME` and `file:PATH`. */
import { readFileSync, statSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A secret is a key, not a document. */
const secretBytesMax = 64 * 1_024;

export const referencePattern = /^(?:env:[A-Za-z_][A-Za-z0-9_]*$|file:\S)/;

export function isReference(text: string): boolean {
  return referencePattern.test(text);
}

export type Dereferenced =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly message: string; readonly fix: string };

/**
 * What a reference stands for. One newline at the end of a file is taken off, because editors put it there.
 * `folder` is what a relative PATH is relative to.
 */
export function dereference(reference: string, folder: string, env: Environment): Dereferenced {
  const target = reference.slice(reference.indexOf(":") + 1);
  return reference.startsWith("env:") ? fromEnv(target, env) : fromFile(target, folder);
}

function fromEnv(name: string, env: Environment): Dereferenced {
  const value = env[name];
  if (value === undefined) {
    return {
      ok: false,
      message: `the environment variable ${name} is not set`,
      fix: `set it: export ${name}=…`,
    };
  }
  if (value === "")
    return {
      ok: false,
      message: `the environment variable ${name} is empty`,
      fix: `set it: export ${name}=…`,
    };
  return { ok: true, value };
}

function fromFile(path: string, folder: string): Dereferenced {
  const full = isAbsolute(path) ? path : resolve(folder, path);
  const failed = (message: string): Dereferenced => ({
    ok: false,
    message,
    fix: "write the secret to that file, readable by this user, or correct the path",
  });
  try {
    const about = statSync(full);
    if (!about.isFile()) return failed(`${full} is no file`);
    if (about.size > secretBytesMax)
      return failed(`${full} is larger than ${secretBytesMax} bytes: hardly a secret`);
    const value = readFileSync(full, "utf8").replace(/\r?\n$/, "");
    return value === "" ? failed(`${full} is empty`) : { ok: true, value };
  } catch (error) {
    return failed(`${full} cannot be read (${errorCode(error)})`);
  }
}

/** `ENOENT` and the like; "unknown" for what is no system error. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
}
