/** On which sites something is played. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runCli } from "../../support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-demo-site-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const lane = (buckets: string): string =>
  `name: own\nlanes:\n  files: { kind: object, buckets: [${buckets}], pattern: '^(?<day>\\d{8})/' }\n`;

describe("orrery demo on a site of somebody's own", () => {
  it.each([
    [["--exposures", "0"], "--exposures 0"],
    [["--days", "-1"], "--days -1"],
    [["--site", "nowhere.yaml"], "there is no site file nowhere.yaml"],
  ])("nothing is played of what is none: %j", async (argv, words) => {
    const { exit, stdout, stderr } = await runCli(["demo", "--once", ...argv], { cwd: folder });
    expect([exit, stdout, stderr]).toEqual([2, "", expect.stringContaining(words)]);
  });

  it.each([
    ["that has nothing to play on", lane("incoming")],
    [
      "whose folder is watched, without a catalogue",
      `${lane("delivered")}watch: [{ directory: in, bucket: delivered }]\n`,
    ],
  ])("plays nothing and writes nothing: %s", async (_, text) => {
    const site = join(folder, "site.yaml");
    writeFileSync(site, text);
    const { exit, stdout, stderr } = await runCli(["demo", "--once", "--site", site]);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain(`nothing is played on ${site}`);
    expect(stderr).toContain("orrery start");
    expect(existsSync(join(folder, ".orrery"))).toBe(false);
  });
});
