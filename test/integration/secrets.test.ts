/** That a secret which is said anywhere in a run of the tests fails it: what looks for them is tried on runs of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createUser } from "@nats-io/nkeys";
import { afterEach, describe, expect, it } from "vitest";
import { findNatsServer } from "../../scripts/nats-server/find.mjs";
import { canary, leaksIn } from "../support/canaries.ts";
import { runCli } from "../support/cli.ts";
import { saidFolder } from "../support/said.ts";
import { until } from "../support/testSite.ts";

const root = resolve(import.meta.dirname, "../..");
const folders: Array<string> = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A run of vitest with one test file, as the project's own runs are. @returns its exit code and all that it says */
async function run(test: string): Promise<{ readonly code: number; readonly output: string }> {
  const folder = mkdtempSync(join(tmpdir(), "orrery-leaky-"));
  folders.push(folder);
  mkdirSync(join(folder, "test/support"), { recursive: true });
  const parts = [
    "secretsReporter.ts",
    "lastLineReporter.ts",
    "support/canaries.ts",
    "support/said.ts",
    "support/saidSetup.ts",
  ];
  for (const part of parts) cpSync(join(root, "test", part), join(folder, "test", part));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(
    join(folder, "vitest.config.ts"),
    `import { defineConfig } from "vitest/config";
export default defineConfig({ test: {
  include: ["*.test.ts"], pool: "forks", setupFiles: ["./test/support/saidSetup.ts"],
  reporters: ["default", "./test/secretsReporter.ts", "./test/lastLineReporter.ts"],
} });`,
  );
  writeFileSync(join(folder, "some.test.ts"), test);
  const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" };
  for (const name of [saidFolder, "ORRERY_CHECKS_FAILED"]) Reflect.deleteProperty(env, name);
  // Into a file and not through a pipe: what this run says is full of leaks, and is no output of the run that tries it.
  const output = join(folder, "output.txt");
  const into = openSync(output, "w");
  const child = spawn(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), "run"], {
    cwd: folder,
    env,
    stdio: ["ignore", into, into],
  });
  const [code] = (await once(child, "exit")) as [number | null];
  closeSync(into);
  return { code: code ?? -1, output: readFileSync(output, "utf8") };
}

const head = `
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { canary } from "./test/support/canaries.ts";
import { saidLine } from "./test/support/said.ts";
const folder = () => mkdtempSync(join(tmpdir(), "orrery-leak-"));
const child = (program) => once(spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "pipe"] }), "close");
`;

describe("a run of the tests", () => {
  it("fails when a secret was said, names where, and does not say it", async () => {
    const { code, output } = await run(`${head}
it("is said by the test itself", () => console.log("one\\ntwo " + canary("console")));
it("is said by a program that it starts", () => child("console.error('x'); console.error('" + canary("child") + "')"));
it("is said in a log that is then removed", async () => {
  const [first, second] = [folder(), folder()];
  writeFileSync(join(first, "a.log"), "\\n\\nthe password is " + canary("log"));
  writeFileSync(join(second, "b.jsonl"), Buffer.from(canary("encoded")).toString("base64"));
  rmSync(first, { recursive: true });
  await rm(second, { recursive: true });
});
it("is said by a node", () => saidLine("log of a node", { error: new Error("refused: " + canary("cause")) }));
`);
    expect(code).not.toBe(0);
    const said = output.split("\n").filter((line) => line.startsWith("SECRET SAID"));
    expect(said).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/console \(stdout\), line 2: canary-console-$/),
        expect.stringMatching(/some\.test\.ts: stderr of .*node.*: canary-child-$/),
        expect.stringMatching(/some\.test\.ts: the log a\.log, line 3: canary-log-$/),
        expect.stringMatching(/some\.test\.ts: the log b\.jsonl, line 1: a canary, encoded$/),
        expect.stringMatching(/some\.test\.ts: log of a node, line 1: canary-cause-$/),
      ]),
    );
    expect(
      output
        .trimEnd()
        .split("\n")
        .some((line) => line === "4 passed, 1 failed"),
    ).toBe(true);
  });

  it("in which none was said ends well, and says how much was looked at", async () => {
    const { code, output } = await run(`${head}
it("says nothing", () => child("console.log('x'.repeat(20_000))"));
`);
    expect(output).toMatch(/^No secret in 2\d,\d{3} characters/m);
    expect(output).toMatch(/^1 passed, 0 failed$/m);
    expect(code).toBe(0);
  });
});

describe("what looks for secrets", () => {
  const forms = (text: string): ReadonlyArray<string> => [
    text,
    Buffer.from(text).toString("base64"),
    Buffer.from(`user:${text}`).toString("base64"),
    Buffer.from(`admin:${text}`).toString("base64url"),
    Buffer.from(text).toString("hex"),
    encodeURIComponent(text),
    JSON.stringify({ text }),
  ];

  it("knows a canary in whatever form, and seeds and private keys wherever they are from", () => {
    for (const form of forms(canary("some"))) expect(leaksIn(`\nabc ${form} def`), form).toHaveLength(1);
    const user = createUser();
    const seed = new TextDecoder().decode(user.getSeed());
    expect(leaksIn(`a\nb ${seed}`)).toEqual([{ line: 2, what: "the seed of a key of NATS (SU…)" }]);
    expect(leaksIn(user.getPublicKey())).toEqual([]);
    expect(leaksIn("-----BEGIN EC PRIVATE KEY-----")).toEqual([{ line: 1, what: "a private key" }]);
    expect(leaksIn("-----BEGIN USER NKEY SEED-----")).toHaveLength(1);
    expect(leaksIn("-----BEGIN CERTIFICATE-----, -----BEGIN PUBLIC KEY-----")).toEqual([]);
  });
});

describe("credentials that a server does not take", () => {
  it("are not in what is said of it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "orrery-guarded-"));
    folders.push(folder);
    const binary = (await findNatsServer()).path;
    const server = spawn(binary, [
      "-a",
      "127.0.0.1",
      "-p",
      "-1",
      "--user",
      "orrery",
      "--pass",
      canary("right"),
      "--ports_file_dir",
      folder,
    ]);
    try {
      await once(server.stderr, "data");
      const file = await until(
        () => readdirSync(folder).find((name) => name.endsWith(".ports")),
        (name) => name !== undefined,
      );
      const { nats } = JSON.parse(readFileSync(join(folder, file ?? ""), "utf8")) as {
        readonly nats: ReadonlyArray<string>;
      };
      const site = join(folder, "site.yaml");
      writeFileSync(
        site,
        `name: guarded
node: { name: one }
nats: { mode: external, servers: ["${nats[0]}"], user: orrery, password: env:NATS_PASSWORD }
lanes: { raw: { kind: object, buckets: [raw], metadata: key } }
`,
      );
      const env = { NATS_PASSWORD: canary("wrong") };
      for (const words of [["status"], ["status", "--json"], ["check", site, "--json"], ["check", site]]) {
        const argv = words[0] === "check" ? words : [...words, "--site", site];
        const { exit, stdout, stderr } = await runCli(argv, { env });
        expect(exit === 0).toBe(words[0] === "check");
        if (words[0] === "status") expect(stderr).toMatch(/Authorization Violation/i);
        expect(leaksIn(stdout + stderr)).toEqual([]);
      }
    } finally {
      server.kill();
    }
  });
});
