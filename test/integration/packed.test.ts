import { execFile } from "node:child_process";
import {
  accessSync,
  cpSync,
  constants,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };

const root = path.resolve(import.meta.dirname, "../..");
const RUN_LIMIT_MS = 5 * 60_000;

/** What npm tells its own scripts would send another npm back to this checkout; where packages come from may stay. */
const KEPT = new Set(["npm_config_cache", "npm_config_registry", "npm_config_userconfig"]);
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name) || KEPT.has(name.toLowerCase())),
);

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const options = { cwd, env, timeout: RUN_LIMIT_MS, maxBuffer: 16 * 1024 * 1024 };
  return new Promise((resolve, reject) => {
    execFile(command, [...args], options, (error, stdout) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${error.message}\n${stdout}`));
    });
  });
};

/** The Nodes of this machine besides the checkout's own: under one of these a user runs the packed command. */
const otherNodes = (): ReadonlyArray<string> => {
  const isNode = (file: string): boolean => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  const found = (process.env["PATH"] ?? "")
    .split(path.delimiter)
    .map((folder) => path.join(folder, "node"))
    .filter((file) => isNode(file) && !file.startsWith(root));
  return [...new Set(found.map((file) => realpathSync(file)))];
};

describe("the packed tarball, installed in an empty folder", () => {
  let folder: string;
  let installed: string;

  beforeAll(async () => {
    folder = realpathSync(mkdtempSync(path.join(tmpdir(), "orrery-packed-")));
    installed = path.join(folder, "node_modules", manifest.name);
    await run(root, "npm", "pack", "--silent", "--pack-destination", folder);
    writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
    const tarball = `./${manifest.name}-${manifest.version}.tgz`;
    await run(
      folder,
      "npm",
      "install",
      "--prefer-offline",
      "--no-audit",
      "--no-fund",
      "--ignore-scripts",
      tarball,
    );
  }, RUN_LIMIT_MS);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("brings what it needs to run, and neither sources nor tests", () => {
    const brought = readdirSync(installed);
    expect(brought).toEqual(
      expect.arrayContaining(["LICENSE", "README.md", "config", "dist", "docs", "package.json", "scripts"]),
    );
    for (const left of ["src", "test", "bench", "node_modules"]) expect(brought).not.toContain(left);
    expect(readdirSync(path.join(installed, "scripts"))).toEqual(["nats-server"]);
  });

  it("gives the command", async () => {
    expect(await run(folder, "npx", "--no-install", "orrery", "--version")).toContain(manifest.version);
    expect(await run(folder, "npx", "--no-install", "orrery", "--help")).toMatch(/\bstart\b/);
  });

  it("runs under the other Nodes of this machine", async () => {
    for (const node of otherNodes()) {
      expect(await run(folder, node, path.join(installed, "dist", "bin.js"), "--version")).toContain(
        manifest.version,
      );
    }
  });

  it("is imported by name", async () => {
    writeFileSync(
      path.join(folder, "user.mjs"),
      `import { Actor } from "orrery"; console.log(Actor === undefined ? "nothing" : typeof Actor);`,
    );
    expect(await run(folder, process.execPath, "user.mjs")).toMatch(/^(function|object)\n$/);
  });

  it("has types that a strict user can compile against", async () => {
    writeFileSync(
      path.join(folder, "user.mts"),
      `import { Actor } from "orrery";\n// @ts-expect-error only when there are types is this an error\nimport { Aktor } from "orrery";\nexport const mine = [Actor, Aktor];\n`,
    );
    const tsc = path.join(root, "node_modules", ".bin", "tsc");
    await run(
      folder,
      tsc,
      "--noEmit",
      "--strict",
      "--skipLibCheck",
      "--module",
      "nodenext",
      "--target",
      "es2023",
      "user.mts",
    );
  });

  it("runs an actor of the user's own, from the example's two files alone", async () => {
    const example = path.join(installed, "examples", "word-count");
    for (const file of ["main.mjs", "site.yaml"]) cpSync(path.join(example, file), path.join(folder, file));
    // Twice: the second run finds the first one's records, and what was done is not done again.
    for (let i = 0; i < 2; i++) {
      const lines = (await run(folder, process.execPath, "main.mjs")).trim().split("\n");
      expect(lines).toEqual(["first done { words: 3 }", "second done { words: 0 }", "third parked NoText"]);
    }
    const status = await run(folder, "npx", "--no-install", "orrery", "check", "site.yaml");
    expect(status).toContain("word-count");
  });

  it("finds nats-server by the same search", async () => {
    const finder = path.join(installed, "scripts", "nats-server", "find.mjs");
    writeFileSync(
      path.join(folder, "find.mjs"),
      `import { findNatsServer } from ${JSON.stringify(finder)}; console.log((await findNatsServer()).version);`,
    );
    expect(await run(folder, process.execPath, "find.mjs")).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });
});
