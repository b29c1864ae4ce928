/** Epochs: each life of a site comes after the one before, whatever the clock says. */
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { folderOf, readDeployment, writeDeployment } from "../../../src/cli/siteFolder.ts";
import { beginNewLife, epochAfter, newLives, noteLives } from "../../../src/cli/siteLife.ts";
import { compareEpochs } from "../../../src/protocol/filesOf.ts";
import type { Deployment } from "../../../src/sites/deployment.ts";

const hour = 3_600_000;
const made = Date.parse("2026-03-10T12:00:00Z");
const former = made.toString(36);
const behind = (made - hour).toString(36);

const base: Deployment = {
  v: 1,
  name: "summit",
  kind: "site",
  madeAt: new Date(made).toISOString(),
  epoch: former,
  operator: "O",
  account: "A",
  system: "S",
  servers: [],
  supernode: "hub",
  members: {},
  revoked: {},
};
const member = (epoch: string, revokedAt: string | null) => ({ user: "U", epoch, joinedAt: "", revokedAt });

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "orrery-life-"));
  vi.useFakeTimers({ now: made - hour, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(root, { recursive: true });
});

async function deployed(deployment: Deployment) {
  const folder = folderOf(root, deployment.name);
  await mkdir(folder.path, { recursive: true });
  await writeDeployment(folder, deployment);
  return { folder, deployment };
}
const hub = (epoch: string, revokedAt: string | null = null): Deployment => ({
  ...base,
  name: "hub",
  kind: "supernode",
  epoch: "h",
  supernode: null,
  members: { summit: member(epoch, revokedAt) },
});

describe("with the clock an hour behind", () => {
  it("a new life of a site comes after its former one", async () => {
    const home = await deployed(base);
    const epoch = await beginNewLife(home, null);
    expect(compareEpochs(epoch, former)).toBeGreaterThan(0);
    expect((await readDeployment(home.folder))?.epoch).toBe(epoch);
  });

  it("and after all by which a supernode of the folder has known it", async () => {
    const later = (made + hour).toString(36);
    await deployed(hub(later, "2026-03-10T13:00:00Z"));
    const epoch = await beginNewLife(await deployed(base), null);
    expect(compareEpochs(epoch, later)).toBeGreaterThan(0);
  });

  it("a site whose folder was made so is taken over under an epoch after the former one, which its folder gets", async () => {
    const home = await deployed(hub(former));
    await deployed({ ...base, epoch: behind });
    const lives = await newLives(home);
    const epoch = lives.get("summit") ?? "";
    expect(compareEpochs(epoch, former)).toBeGreaterThan(0);
    const noted = await noteLives(home, lives);
    expect(noted.members["summit"]?.epoch).toBe(epoch);
    expect((await readDeployment(folderOf(root, "summit")))?.epoch).toBe(epoch);
    expect(await newLives({ ...home, deployment: noted })).toEqual(new Map());
  });
});

it("by the clock where that is later, and past what is no time", () => {
  expect(epochAfter([former], made + hour)).toBe((made + hour).toString(36));
  expect(epochAfter(["no-time!", former], made)).toBe((made + 1).toString(36));
  expect(epochAfter([], made)).toBe(former);
});
