/** What `orrery check` says of a site with a job catalogue. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { runCli } from "../../support/cli.ts";

const root = join(import.meta.dirname, "..", "..", "..");

it("tells how much there is of its catalogue", async () => {
  const file = join(root, "config/imap.yaml");
  const { exit, stdout } = await runCli(["check", file]);
  expect(exit).toBe(0);
  expect(stdout).toMatch(
    /config\/imap\/catalogue\.yaml: 289 jobs of 11 instruments, \d+ kinds of file \(\d+ that no job takes or makes: quicklook, .*\), 28 warnings: orrery jobs lint tells\n/,
  );
  const json = await runCli(["check", file, "--json"]);
  const { site } = JSON.parse(json.stdout) as {
    readonly site: { readonly catalogue: Record<string, unknown> };
  };
  expect(site.catalogue).toMatchObject({
    jobs: 289,
    warnings: 28,
    unusedKinds: expect.arrayContaining(["quicklook"]),
  });
});
