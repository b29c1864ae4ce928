import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Redacted from "effect/Redacted";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeSite } from "../../../src/config/describeSite.ts";
import type { LoadOptions } from "../../../src/config/loadSite.ts";
import { checkSite, loadSite } from "../../../src/config/loadSite.ts";
import type { SiteFileError } from "../../../src/config/SiteFileError.ts";
import { isName } from "../../../src/config/rules/names.ts";
import { added, changed, errorOf, rightSite, siteOf } from "./site.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "orrery-config-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const failureOf = (path: string): Promise<SiteFileError> => Effect.runPromise(Effect.flip(loadSite(path)));

describe("defaults", () => {
  const site = siteOf("name: small\nlanes: { a: { kind: object, buckets: [b], pattern: '(?<day>x)' } }\n");

  it("the smallest site file", () => {
    expect(describeSite({ ...site, node: "n", dataDir: "d" })).toMatchSnapshot();
    expect(site.dataDir).toBe(join(process.cwd(), "sites", ".orrery"));
  });

  it("what depends on the lane's kind", () => {
    const { lanes } = siteOf(rightSite);
    expect([lanes.get("raw")?.accept.source, lanes.get("raw")?.metadata]).toEqual(["fits$", "header"]);
    expect([lanes.get("products")?.accept.source, lanes.get("products")?.metadata]).toEqual(["^", "key"]);
  });

  it("buckets by their own names, however they are reached", () => {
    const site = siteOf(
      changed(
        ["[raw-bucket]", "['p@raw-bucket', 't:other']"],
        ["bucket: product-bucket", "bucket: q@product-bucket"],
      ) + "watch: [{ directory: data/raw-bucket, bucket: 't:raw-bucket' }]\n",
    );
    expect(site.lanes.get("raw")?.buckets).toEqual(["raw-bucket", "other"]);
    expect(site.jobs.get("look")?.outputs[0]?.bucket).toBe("product-bucket");
    expect(site.watch[0]?.bucket).toBe("raw-bucket");
  });

  it("an input waits for one file, or for its detectors", () => {
    const inputs = "- lane: raw\n      - { lane: raw, detectors: [A] }\n      - { lane: raw, count: 3 }\n";
    const job = siteOf(changed(["- lane: raw\n", inputs])).jobs.get("look");
    expect(job?.inputs.map((input) => [input.count, input.detectors])).toEqual([
      [1, []],
      [null, ["A"]],
      [3, []],
    ]);
    expect(job?.lane).toBe("look");
  });
});

describe("units", () => {
  it("durations, sizes and days", () => {
    const site = siteOf(
      changed([
        "    kind: exposure\n",
        "    kind: exposure\n    retention: 2 weeks\n    backoffBase: 0.5 s\n    backoffMax: 1.5min\n",
      ]) + "enqueuer: { bodyMax: 1.5 MB, duplicateWindow: 250 millis }\n",
    );
    expect(site.lanes.get("raw")).toMatchObject({
      retentionDays: 14,
      backoffBaseMs: 500,
      backoffMaxMs: 90_000,
    });
    expect(site.enqueuer).toMatchObject({ bodyBytesMax: 1_500_000, duplicateWindowMs: 250 });
  });
});

describe("the node's name", () => {
  const named = added("node: { name: from-file }");

  it.each([
    ["--node before all", { node: "from-flag", env: { ORRERY_NODE: "from-env" } }, "from-flag"],
    ["then ORRERY_NODE", { env: { ORRERY_NODE: "from-env" } }, "from-env"],
    ["an empty ORRERY_NODE is none", { env: { ORRERY_NODE: "" } }, "from-file"],
    ["then the file", {}, "from-file"],
  ])("%s", (_name, options, expected) => {
    expect(siteOf(named, options).node).toBe(expected);
  });

  it("then the host's, made a name", () => {
    expect(isName(siteOf(rightSite).node)).toBe(true);
  });

  it("a bad one from the command line is blamed on it, without a line", () => {
    expect(errorOf(rightSite, { node: "A.b" }).problems).toEqual([
      {
        severity: "error",
        path: "--node",
        line: null,
        value: "A.b",
        message: "is no name for a node: it becomes a part of NATS subjects",
        fix: "use a-z, 0-9, _ and - only, at most 64: a-b",
      },
    ]);
  });
});

describe("the node's roles", () => {
  const some = added(
    "node: { roles: [ingester, presence, reclaimer, runner] , elsewhere: [enqueuer, resolver] }",
  );
  const roles = (options: LoadOptions): ReadonlyArray<string> => [...siteOf(some, options).roles];

  it("--roles before ORRERY_ROLES before the file's", () => {
    expect(roles({})).toEqual(["ingester", "presence", "reclaimer", "runner"]);
    expect(roles({ env: { ORRERY_ROLES: "" } })).toEqual(roles({}));
    const env = { ORRERY_ROLES: "runner, ingester" };
    expect(roles({ env })).toEqual(["ingester", "runner"]);
    expect(roles({ env, roles: "presence" })).toEqual(["presence"]);
  });

  it.each([
    ["--roles", { roles: "ingestr" }, "ingestr is none of the site file's node.roles"],
    ["--roles", { roles: "resolver" }, "resolver is none of the site file's node.roles"],
    ["--roles", { roles: "" }, "names no role"],
    ["ORRERY_ROLES", { env: { ORRERY_ROLES: "runner," } }, "names no role"],
  ])("%s that names none of them is refused", (path, options, message) => {
    expect(errorOf(some, options).problems).toMatchObject([{ severity: "error", path, line: null, message }]);
  });

  it("tells which was probably meant", () => {
    expect(errorOf(some, { roles: "ingestr" }).problems[0]?.fix).toContain('did you mean "ingester"?');
  });
});

describe("files", () => {
  it("ORRERY_DATA_DIR comes before dataDir", () => {
    const text = `${rightSite}dataDir: /var/x\n`;
    expect(siteOf(text, { env: { ORRERY_DATA_DIR: "/scratch" } }).dataDir).toBe("/scratch");
    expect(siteOf(text, { env: { ORRERY_DATA_DIR: "" } }).dataDir).toBe("/var/x");
  });

  it("relative paths begin at the site file's folder, absolute ones stay", async () => {
    writeFileSync(join(folder, "mine.ts"), "");
    const text = changed(["root: ./data", "root: ../data"]).replace(
      "look.js]",
      "'{site}/look.js', '{node}']",
    );
    const path = write(
      "paths.yaml",
      `${text}dataDir: /var/x\nactors: [mine.ts]\nwatch: [{ directory: in, bucket: product-bucket }]\n`,
    );
    const site = await Effect.runPromise(loadSite(path));
    expect(site.storage.get("disk")).toEqual({ driver: "file", root: join(folder, "..", "data") });
    expect(site.dataDir).toBe("/var/x");
    expect(site.actorModules).toEqual([join(folder, "mine.ts")]);
    expect(site.watch[0]?.directory).toBe(join(folder, "in"));
    expect(site.jobs.get("look")?.driver.command).toEqual([
      process.execPath,
      `${folder}/look.js`,
      process.execPath,
    ]);
  });

  it("{orrery} and {ext} lead to Orrery's own programs, compiled or not", () => {
    const command = siteOf(changed(["look.js", "'{orrery}/config/loadSite{ext}'"])).jobs.get("look")?.driver
      .command;
    expect(command?.[1]).toBe(join(import.meta.dirname, "..", "..", "..", "src", "config", "loadSite.ts"));
  });

  it("secrets from the environment and from files, one newline taken off", async () => {
    mkdirSync(join(folder, "keys"), { recursive: true });
    write("keys/token", "from-a-file\n");
    const text = added(
      "nats: { mode: external, servers: [localhost], token: 'file:keys/token' }\nenqueuer: { secret: env:S }",
    ).replace("command:", "env: { TOKEN: file:keys/token, N: 5, S: env:S }\n    command:");
    const site = (await Effect.runPromise(checkSite(write("secrets.yaml", text), { env: { S: "from-env" } })))
      .site;
    expect(site.nats.token === null ? null : Redacted.value(site.nats.token)).toBe("from-a-file");
    expect(site.enqueuer.secret === null ? null : Redacted.value(site.enqueuer.secret)).toBe("from-env");
    expect(site.jobs.get("look")?.driver.env).toEqual({ TOKEN: "from-a-file", N: "5", S: "from-env" });
    const described = JSON.stringify(describeSite(site));
    expect(described).toContain("«env:S»");
    expect(described).toContain("«file:keys/token»");
    expect(described).toContain('"TOKEN"');
    expect(described).not.toMatch(/from-a-file|from-env/);
  });

  it.each([
    ["a secret's file that is empty", "", /is empty/],
    ["a secret's file that is too large for one", "x".repeat(70_000), /is larger than/],
  ])("%s", async (_name, content, message) => {
    write("bad-secret", content);
    const error = await failureOf(write("bad-secret.yaml", added("enqueuer: { secret: file:bad-secret }")));
    expect(error.problems.map((problem) => problem.message).join()).toMatch(message);
  });

  it.each([
    ["no such file", "nowhere.yaml", null, "there is no such file"],
    ["a folder", ".", null, "is no file"],
    ["not UTF-8", "latin1.yaml", Uint8Array.of(0x6e, 0xe9), "is not UTF-8 text"],
    ["far too large", "large.yaml", new Uint8Array(1_100_000).fill(0x20), "is larger than 1048576 bytes"],
  ])("%s", async (_name, file, content, message) => {
    const path = content === null ? join(folder, file) : write(file, content);
    const error = await failureOf(path);
    expect(error.problems).toHaveLength(1);
    expect(error.problems[0]).toMatchObject({ path: "", line: null, value: null, message });
  });

  it("a byte order mark is no part of the first key", () => {
    expect(siteOf(`\uFEFF${rightSite}`).name).toBe("test");
  });
});

describe("what is said", () => {
  const text = changed(
    ["pattern: '^(?<day>", "pattern: '^(?P<day>"],
    ["storage:\n  disk:", "enqueuer:\n  secret: hunter2\nstorage:\n  disk:"],
    ["buckets: [product-bucket]", "bucket: [product-bucket]"],
  );

  it("on the terminal", () => {
    expect(errorOf(text).render()).toMatchSnapshot();
  });

  it("in colour, the same words", () => {
    const error = errorOf(text);
    const escape = String.fromCharCode(27);
    expect(error.render({ color: true })).toContain(escape);
    expect(error.render({ color: true }).replaceAll(new RegExp(`${escape}\\[\\d+m`, "g"), "")).toBe(
      error.render(),
    );
  });

  it("in one line", () => {
    expect(errorOf(text).message).toBe(
      "sites/test.yaml: 3 errors: enqueuer.secret (line 5): a secret must not stand in the file itself",
    );
  });

  it("to scripts", () => {
    const json: unknown = JSON.parse(JSON.stringify(errorOf(text)));
    expect(json).toMatchObject({ error: "SiteFileError", file: "sites/test.yaml", problems: { length: 3 } });
  });

  it("warnings do not keep a site from starting, and are told beside errors", () => {
    const warned = changed(["(?<day>\\d{8})/'", "x'"]);
    expect(siteOf(warned).name).toBe("test");
    const error = errorOf(warned.replace("name: test", "name: Test"));
    expect(error.render()).toMatch(/: 1 error, 1 warning\n/);
  });
});
