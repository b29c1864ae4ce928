/** Two sites and a supernode with TLS and credentials: what the sites know comes to stand at the supernode, and nothing else does. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { countSince } from "../../src/jetstream/survey.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { commit, ledgerEnd, ledgerPut } from "../../src/jetstream/transaction.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import * as Effect from "effect/Effect";
import { objectTail, recordKey } from "../../src/protocol/keys.ts";
import { runCli } from "../support/cli.ts";
import { Deployment } from "../support/deployment.ts";
import { plainRecord } from "../support/records.ts";
import { until } from "../support/testSite.ts";

const deployment = new Deployment();
const sites = ["summit", "base"] as const;

beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  for (const site of sites) {
    await deployment.init(site);
    await deployment.join(site, "hub");
  }
  await Promise.all(["hub", ...sites].map((name) => deployment.start(name)));
  await until(
    () => deployment.leaves("hub"),
    (leaves) => leaves.length === 2,
  );
});
afterAll(() => deployment.end());

const needs = { lanes: [], runLanes: [], items: [], follows: [], replicas: 1, duplicateWindowMs: 120_000 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const counted = (nats: NatsService, stream: string, filter: string): Promise<number> =>
  Effect.runPromise(countSince(nats, stream, filter, 0));

interface Row {
  readonly site: string;
  readonly epoch: string;
  readonly files: number;
  readonly silent: boolean;
}

async function rows(): Promise<ReadonlyArray<Row>> {
  const { stdout } = await deployment.cli(
    "site",
    "sources",
    "--supernode",
    "hub",
    "--dir",
    deployment.folder,
    "--json",
  );
  return (JSON.parse(stdout) as { sites: ReadonlyArray<Row> }).sites;
}

it("sources what others may see of each ledger under the site's name and epoch, deletions as well", async () => {
  for (const [index, site] of sites.entries()) {
    const nats = await deployment.connect(site, "admin");
    await Effect.runPromise(apply(nats, topologyOf(needs)));
    for (let batch = 0; batch < 4; batch++) {
      const writes = Array.from({ length: 250 }, (_, i) =>
        // The same names at both sites: neither hides the other.
        ledgerPut(`file.raw.20251121.${batch}-${i}`, bytes(`${site} ${index}`)),
      );
      await Effect.runPromise(commit(nats, "files", writes));
    }
    const more = [
      "claim.raw.n.0",
      "due.raw.20251121.x",
      "lock.LSSTCam",
      "exposure.L.20251121.e",
      "visit.L.20251121.v",
    ];
    await Effect.runPromise(
      commit(
        nats,
        "more",
        more.map((key) => ledgerPut(key, bytes("x"))),
      ),
    );
  }
  const made = await deployment.cli("site", "apply", "--supernode", "hub", "--dir", deployment.folder);
  expect([made.exit, made.stderr, made.stdout.trim()]).toEqual([0, "", "sourced: summit, base"]);
  const all = await until(
    rows,
    (found) => found.length === 2 && found.every(({ files, silent }) => files === 1_000 && !silent),
  );
  expect(all.map(({ site }) => site).toSorted()).toEqual(["base", "summit"]);
  const hub = await deployment.connect("hub", "admin");
  const info = await hub.jsm.streams.info("KV_sites", { subjects_filter: "$KV.sites.*.*.*.>" });
  const kinds = Object.keys(info.state.subjects ?? {}).map((subject) => subject.split(".")[4] ?? "");
  expect([...new Set(kinds)].toSorted()).toEqual(["exposure", "file", "visit"]);
  const epoch = all.find(({ site }) => site === "summit")?.epoch ?? "";
  const read = await hub.jsm.streams.getMessage("KV_sites", {
    last_by_subj: `$KV.sites.summit.${epoch}.file.raw.20251121.0-0`,
  });
  expect(read?.string()).toBe("summit 0");
  // A key that ends at the site ends here.
  const summit = await deployment.connect("summit", "admin");
  await Effect.runPromise(commit(summit, "end", [ledgerEnd("file.raw.20251121.0-0")]));
  const ended = await until(
    () =>
      hub.jsm.streams.getMessage("KV_sites", {
        last_by_subj: `$KV.sites.summit.${epoch}.file.raw.20251121.0-0`,
      }),
    (message) => message?.header.get("KV-Operation") === "DEL",
  );
  expect(ended?.data.length).toBe(0);
  const again = await deployment.cli("site", "apply", "--supernode", "hub", "--dir", deployment.folder);
  expect([again.exit, again.stdout.trim()]).toEqual([0, "nothing to do: summit, base"]);
  for (const site of sites) {
    const nats = await deployment.connect(site, "admin");
    expect(await counted(nats, "KV_ledger", "$KV.ledger.file.>")).toBe(1_000);
  }
  expect(
    deployment
      .log("hub")
      .split("\n")
      .filter((line) => line.includes("Violation")),
  ).toEqual([]);
  expect(
    deployment
      .log("summit")
      .split("\n")
      .filter((line) => line.includes("Violation")),
  ).toEqual([]);
});

it("a file is asked for at the supernode, which says where it is known; at another site nobody can say", async () => {
  const file = (site: string, state: "known" | "parked", uri: string) => ({
    ...plainRecord(state, { bucket: "raw", key: "asked.fits", size: 2_880, uri }),
    errors:
      state === "parked"
        ? [{ at: "2025-11-22T00:00:00.000Z", class: "permanent" as const, reason: "NoHeader", detail: site }]
        : [],
  });
  const key = recordKey({ mailbox: "raw", day: "20251122", tail: objectTail("raw", "asked.fits") });
  for (const [site, state] of [
    ["summit", "known"],
    ["base", "parked"],
  ] as const) {
    const nats = await deployment.connect(site, "admin");
    const record = file(site, state, state === "known" ? "s3://raw/asked.fits" : "");
    await Effect.runPromise(commit(nats, "a file", [ledgerPut(key, bytes(JSON.stringify(record)))]));
  }
  const at = (site: string, ...argv: ReadonlyArray<string>) =>
    runCli(argv, {
      env: {
        ORRERY_SITE: deployment.path(site, "site.yaml"),
        ORRERY_CREDENTIALS: deployment.path(site, "creds", "operator.creds"),
      },
    });
  const got = await until(
    () => at("hub", "file", "get", "asked.fits", "--json"),
    ({ exit, stdout }) =>
      exit === 0 && (JSON.parse(stdout) as { sites: ReadonlyArray<unknown> }).sites.length === 2,
  );
  expect(JSON.parse(got.stdout)).toMatchObject({
    name: "raw/asked.fits",
    sites: [
      { site: "base", key, lane: "raw", day: "20251122", former: false, record: { state: "parked" } },
      { site: "summit", key, record: { state: "known", body: { uri: "s3://raw/asked.fits" } } },
    ],
  });
  const shown = await at("hub", "file", "get", "raw/asked.fits");
  expect([shown.exit, shown.stdout]).toEqual([
    0,
    expect.stringContaining("summit: known, lane raw, day 20251122"),
  ]);
  expect(shown.stdout).toContain("base: parked (NoHeader: base)");
  const spoilt = await deployment.connect("base", "admin");
  await Effect.runPromise(commit(spoilt, "no record", [ledgerPut(key, bytes("no JSON"))]));
  const others = await until(
    () => at("hub", "file", "get", "asked.fits", "--json"),
    ({ exit, stdout }) =>
      exit === 0 && (JSON.parse(stdout) as { unreadable?: ReadonlyArray<string> }).unreadable?.length === 1,
  );
  expect(JSON.parse(others.stdout)).toMatchObject({ sites: [{ site: "summit" }], unreadable: ["base"] });
  const told = await at("hub", "file", "get", "asked.fits");
  expect([told.exit, told.stdout]).toEqual([0, expect.stringContaining("base: what it has under this name")]);
  const why = await at("hub", "why", "asked.fits");
  expect([why.exit, why.stdout]).toEqual([0, expect.stringContaining(`at summit: orrery why '${key}'`)]);
  const slip = await at("hub", "why", "askd.fits");
  expect([slip.exit, slip.stderr]).toEqual([3, expect.stringContaining("did you mean asked.fits?")]);
  expect(slip.stderr).toContain("no site that hub takes over (base, summit) knows");
  const listed = await at("hub", "file", "ls");
  expect([listed.exit, listed.stderr]).toEqual([
    2,
    expect.stringContaining("hub is a supernode: ask a site"),
  ]);
  for (const argv of [
    ["stats"],
    ["log", "x"],
    ["parked", "ls"],
    ["parked", "show", "x"],
    ["parked", "discard", "--all", "--yes", "--note", "x"],
    ["replay", "raw"],
    ["regroup"],
    ["cancel", "x"],
    ["send", "a", "b"],
    ["ledger", "save", "x"],
  ]) {
    const { exit, stdout, stderr } = await at("hub", ...argv);
    expect([argv, exit, stdout, stderr]).toEqual([
      argv,
      2,
      "",
      expect.stringContaining("hub is a supernode, and has no files of its own"),
    ]);
  }

  const backup = await at("hub", "backup", deployment.path("backup"));
  expect([backup.exit, backup.stdout]).toEqual([2, ""]);
  expect(backup.stderr).toContain("what it holds comes from its sites");
  expect(backup.stderr).toContain("keep a copy of its folder of deployments");
  expect(existsSync(deployment.path("backup"))).toBe(false);

  for (const id of ["raw/elsewhere.fits", "elsewhere.fits"]) {
    const { exit, stdout, stderr } = await at("base", "why", id);
    expect([id, exit, stdout + stderr]).toEqual([
      id,
      3,
      expect.stringContaining(
        "What other sites have is not known here: ask at supernode hub, or at the site that took it in",
      ),
    ]);
  }
});
