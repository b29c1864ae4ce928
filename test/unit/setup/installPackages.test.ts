import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { installPackages } from "../../../scripts/packages.mjs";

const LOCK = {
  packages: {
    "": { version: "0.1.0" },
    "node_modules/left": { version: "1.0.0", integrity: "sha512-left" },
    "node_modules/other-system": { version: "1.0.0", integrity: "sha512-other", optional: true },
  },
};

let root: string;
let said: string;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "orrery-packages-"));
  said = "";
  writeFileSync(path.join(root, "package-lock.json"), JSON.stringify(LOCK));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const record = (): string => path.join(root, "node_modules", ".package-lock.json");

/** Stands in for npm: notes how it was called, then does what `body` says. */
const npm = (body: string): NodeJS.ProcessEnv => {
  const script = path.join(root, "npm-cli.cjs");
  writeFileSync(
    script,
    `const fs = require("node:fs");
     fs.appendFileSync(${JSON.stringify(path.join(root, "calls"))}, process.argv.slice(2).join(" ") + "\\n");
     ${body}`,
  );
  return { ...process.env, npm_execpath: script, npm_node_execpath: process.execPath };
};

const installs = `
  const packages = JSON.parse(fs.readFileSync("package-lock.json", "utf8")).packages;
  fs.mkdirSync("node_modules", { recursive: true });
  for (const name of Object.keys(packages)) if (packages[name].optional) delete packages[name];
  fs.writeFileSync("node_modules/.package-lock.json", JSON.stringify({ packages }));`;

const calls = (): ReadonlyArray<string> => {
  const file = path.join(root, "calls");
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
};

const install = (env: NodeJS.ProcessEnv, limitMs?: number): Promise<boolean> =>
  installPackages({
    root,
    env,
    say: (text) => {
      said += text;
    },
    ...(limitMs === undefined ? {} : { limitMs }),
  });

it("installs with the npm that runs it where nothing is installed, and then no more", async () => {
  expect(await install(npm(installs))).toBe(true);
  expect(calls()).toEqual(["ci --include=dev --loglevel=error --no-audit --no-fund"]);
  expect(said).toMatch(/^packages of package-lock\.json by npm ci \(about 20 s\) \.\.\. \d+\.\d s\n$/);
  expect(await install(npm(installs))).toBe(false);
  expect(calls()).toHaveLength(1);
});

it.each([
  ["a version", { version: "1.0.1", integrity: "sha512-left" }],
  ["a checksum", { version: "1.0.0", integrity: "sha512-right" }],
])("installs again when %s in the lockfile changed", async (_, left) => {
  await install(npm(installs));
  const changed = { packages: { ...LOCK.packages, "node_modules/left": left } };
  writeFileSync(path.join(root, "package-lock.json"), JSON.stringify(changed));
  expect(await install(npm(installs))).toBe(true);
});

it("installs again after npm was stopped half way", async () => {
  await install(npm(installs));
  // npm is stopped before it has touched anything, with the record of the former tree still in place.
  writeFileSync(
    path.join(root, "package-lock.json"),
    JSON.stringify({ packages: { "node_modules/new": { version: "1" } } }),
  );
  await expect(install(npm("setInterval(() => {}, 1000)"), 300)).rejects.toThrow("not done within 0.3 s");
  writeFileSync(path.join(root, "package-lock.json"), JSON.stringify(LOCK));
  expect(existsSync(record())).toBe(false);
  expect(await install(npm(installs))).toBe(true);
});

it("says what npm said when it fails, and how to go on", async () => {
  const failing = npm(
    `console.error("npm error code E403\\nnpm error 403 Forbidden"); process.exitCode = 1;`,
  );
  await expect(install(failing)).rejects.toThrow(/npm error code E403[^]*\nFix: .*npm ci$/);
  expect(said).toMatch(/failed after \d+\.\d s\n$/);
});

it("notices that npm was told not to run the install script that brings Node", async () => {
  const packages = { ...LOCK.packages, "node_modules/node": { version: "24.21.0" } };
  writeFileSync(path.join(root, "package-lock.json"), JSON.stringify({ packages }));
  await expect(install(npm(installs))).rejects.toThrow("Fix: npm ci --ignore-scripts=false");
});

it("says that this is no checkout where there is no lockfile", async () => {
  rmSync(path.join(root, "package-lock.json"));
  await expect(install(npm(installs))).rejects.toThrow("is it a checkout?");
});
