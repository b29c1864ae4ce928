import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { describe, expect, it } from "vitest";
import { parseSite } from "../../../src/config/loadSite.ts";
import { bannerOf, innermost, lookWords } from "../../../src/cli/start.ts";
import { wantsColor } from "../../../src/cli/terminal.ts";
import { runCli } from "../../support/cli.ts";

describe("what a start failed by", () => {
  it("is told without the supervisors that passed it on", () => {
    const passedOn =
      "node a: node/servers did not start: failed: StartFailed: node/servers/nats-server did not start: failed: EmbeddedServerFailed: the disk is full";
    expect(innermost(passedOn)).toBe("the disk is full");
    expect(innermost("node a: there is no node: binary")).toBe("there is no node: binary");
  });
});

describe("what a start says of its node", () => {
  const text = `name: a
watch: [{ directory: in, bucket: raw }]
storage: { disk: { driver: file, root: data } }
lanes: { raw: { kind: object, buckets: [raw], storage: disk, pattern: '^(?<day>\\d{8})/' } }
`;
  const saidOf = (roles: string): ReadonlyArray<string> => {
    const { site } = Effect.runSync(parseSite(text, "site.yaml", { env: {}, roles }));
    const node = { site, natsUrl: "nats://a:4222", httpUrl: () => "http://a", durability: "fsync" };
    return bannerOf("site.yaml", node, []).map(([name]) => name);
  };

  it("is where notifications go, and what is watched, where it takes them in", () => {
    expect(saidOf("enqueuer,watcher")).toEqual(expect.arrayContaining(["notify", "watch"]));
    expect(saidOf("ingester")).not.toEqual(expect.arrayContaining(["notify"]));
    expect(saidOf("ingester")).not.toEqual(expect.arrayContaining(["watch"]));
  });
});

describe("how to look at what was started", () => {
  it("is told with the credentials of a person, where they lie beside the node's", () => {
    const folder = mkdtempSync(join(tmpdir(), "orrery-look-"));
    try {
      const look = (own: string | null) =>
        lookWords({ cwd: folder }, "s.yaml", {
          nats: { credentialsFile: own === null ? null : join(folder, own) },
        });
      expect(look(null)).toBe("orrery status --site s.yaml");
      expect(look("node.creds")).toBe("orrery status --site s.yaml");
      writeFileSync(join(folder, "operator.creds"), "");
      expect(look("node.creds")).toBe("ORRERY_CREDENTIALS=operator.creds orrery status --site s.yaml");
      // Which may everything.
      expect(look("admin.creds")).toBe("orrery status --site s.yaml");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the command line", () => {
  it("explains itself, with exit 0", async () => {
    for (const argv of [[], ["--help"], ["parked"], ["parked", "replay", "--help"]]) {
      const { exit, stdout, stderr } = await runCli(argv);
      expect({ argv, exit, stderr }).toEqual({ argv, exit: 0, stderr: "" });
      expect(stdout).toContain("USAGE");
    }
  });

  it("tells its version on one line", async () => {
    expect((await runCli(["--version"])).stdout).toMatch(/^orrery \d+\.\d+\.\d+\n$/);
  });

  it.each([
    [["stats", "--jsn"], "--json"],
    [["parkd"], "parked"],
    [["stauts"], "status"],
    [["parked", "repay"], "replay"],
    [["topology", "aply"], "apply"],
    [["file", "ls", "--stat", "known"], "--state"],
  ])("%j is a usage error that names %s", async (argv, meant) => {
    const { exit, stdout, stderr } = await runCli(argv);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain(meant);
    expect(stderr).toContain("--help");
    // The error must not scroll away above a page of help.
    expect(stderr.split("\n").length).toBeLessThan(12);
  });

  it.each([
    [["presence", "LSSTCam"]],
    [["why"]],
    [["file", "ls", "--limit", "many"]],
    [["status", "--every", "soon"]],
    [["replay"]],
  ])("%j is a usage error", async (argv) => {
    expect((await runCli(argv)).exit).toBe(2);
  });

  it.each([
    [["parked", "replay"], "give an id"],
    [["parked", "replay", "--all"], "--yes"],
    [["parked", "discard", "x"], "--note"],
    [["parked", "replay", "x", "--reason", "Y"], "not several"],
    [["status", "--every", "0"], "--every"],
    [["reprocess", "swe/l1a/all", "--from", "soon", "--to", "20260101"], "--from soon is no day"],
    [["reprocess", "swe/l1a/all", "--from", "20260230", "--to", "20260301"], "--from 20260230 is no day"],
    [["reprocess", "swe/l1a/all", "--from", "20260101"], "it needs --to, a day"],
    [["status", "site.yaml"], "--site site.yaml"],
    [["stats", "site.yaml"], "--site site.yaml"],
    [["stats", "foo"], "no day"],
    [["stats", "2025-13-40"], "no day"],
    [["presence", "a", "b", "0", "c", "--wait", "9999"], "--wait"],
    [["replay", "bucket", "--rate", "0"], "--rate"],
    [["send", "actor", "id", "not json"], "no JSON"],
    [["presence", "a", "b", "zero", "c"], "zero is no SNAP"],
    [["jobs", "ls", "--limit", "0"], "--limit 0"],
    [["expected", "--limit", "-1"], "--limit -1"],
    [["lineage", "x", "--limit", "0"], "--limit 0"],
    [["ledger", "compare", "a", "b", "--limit", "0"], "--limit 0"],
  ])("%j is refused before anything is asked of a server", async (argv, words) => {
    const { exit, stderr } = await runCli(argv, { cwd: "/" });
    expect(exit).toBe(2);
    expect(stderr.toLowerCase()).toContain(words.toLowerCase());
  });

  it("names a site file that is not there, and from where it was named", async () => {
    const flag = await runCli(["status", "--site", "nowhere.yaml"]);
    expect(flag).toMatchObject({ exit: 2, stdout: "" });
    expect(flag.stderr).toContain("nowhere.yaml");
    const env = await runCli(["status"], { env: { ORRERY_SITE: "elsewhere.yaml" } });
    expect(env.exit).toBe(2);
    expect(env.stderr).toContain("ORRERY_SITE");
  });

  it("does not start the demo's site by accident", async () => {
    const { exit, stderr } = await runCli(["start"], { cwd: "/" });
    expect(exit).toBe(2);
    expect(stderr).toContain("which site?");
  });
});

describe("every command", () => {
  const commands = [
    "start",
    "check",
    "topology plan",
    "topology apply",
    "demo",
    "status",
    "stats",
    "why",
    "file ls",
    "file get",
    "presence",
    "log",
    "parked ls",
    "parked show",
    "parked replay",
    "parked discard",
    "replay",
    "send",
    "decode",
  ];
  it.each(commands)("%s says what it does", async (command) => {
    const { exit, stdout } = await runCli([...command.split(" "), "--help"]);
    expect(exit).toBe(0);
    expect(stdout).toContain("DESCRIPTION");
    expect(stdout).toContain(`orrery ${command}`);
  });
});

describe("colour", () => {
  it.each([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: "1" }, true, false],
    [{ NO_COLOR: "" }, true, true],
    [{ FORCE_COLOR: "1" }, false, true],
    [{ FORCE_COLOR: "0" }, true, false],
    [{ NO_COLOR: "1", FORCE_COLOR: "1" }, true, false],
    [{ TERM: "dumb" }, true, false],
  ])("%j on a terminal %s: %s", (env, terminal, wanted) => {
    expect(wantsColor(env, terminal)).toBe(wanted);
  });
});
