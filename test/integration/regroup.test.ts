/** The bucket of groups is lost: `orrery regroup` puts back what the ledger's files say was there, and nothing else. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { putBack } from "../../src/cli/regroup.ts";
import { getRecordUnsafe, getUnsafe } from "../../src/jetstream/ledger.ts";
import { commit, ledgerPut } from "../../src/jetstream/transaction.ts";
import {
  kvStream,
  kvSubject,
  objectTail,
  presenceBucket,
  presenceKey,
  recordKey,
} from "../../src/protocol/keys.ts";
import type { FileBody, Identity, State } from "../../src/protocol/records.ts";
import { encodeJson } from "../../src/protocol/records.ts";
import type { CliResult } from "../support/cli.ts";
import { runCli } from "../support/cli.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, startSite, until } from "../support/testSite.ts";

let nats: TestNats;
let cwd: string;
let site: TestSite;

const orrery = (...argv: ReadonlyArray<string>): Promise<CliResult> =>
  runCli([...argv], { cwd, env: { ORRERY_SITE: join(cwd, "site.yaml") } });
const keyOf = (group: string, detector = "R22_S11"): string => presenceKey("LSSTCam", group, 0, detector);
const valueOf = async (key: string): Promise<string | null> => {
  const entry = await getUnsafe(nats.nats, presenceBucket, key);
  return entry === null || entry.ended ? null : new TextDecoder().decode(entry.data);
};
const stands = (group: string) => valueOf(keyOf(group));
const recordOf = (group: string): string =>
  recordKey({
    mailbox: "shots",
    day: "20251121",
    tail: objectTail("shots", `LSSTCam/20251121/E1/${group}/R22_S11.fits`),
  });
const uriOf = (group: string): string => `s3://shots/LSSTCam/20251121/E1/${group}/R22_S11.fits`;

async function arrives(...groups: ReadonlyArray<string>): Promise<void> {
  const Records = groups.map((group) => ({
    eventName: "ObjectCreated:Put",
    s3: {
      bucket: { name: "shots" },
      object: { key: `LSSTCam/20251121/E1/${group}/R22_S11.fits`, size: 1, eTag: group },
    },
  }));
  expect((await ask(site, { body: { Records } })).status).toBe(200);
  for (const group of groups)
    await until(
      () => orrery("file", "get", `shots/LSSTCam/20251121/E1/${group}/R22_S11.fits`),
      ({ stdout }) => stdout.includes("known"),
    );
}

beforeAll(async () => {
  nats = await startNats({ topology: null });
  cwd = mkdtempSync(join(tmpdir(), "orrery-regroup-"));
  const text = `
name: regrouped
node: { name: one }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  shots:
    kind: exposure
    buckets: [shots]
    metadata: key
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/(?<group>[^/]+)/(?<detector>R\\d\\d_S\\d\\d)'
  other: { kind: object, buckets: [other], metadata: key }
presence: { instruments: [LSSTCam], detector: '^R\\d\\d_S\\d\\d' }
`;
  writeFileSync(join(cwd, "site.yaml"), text);
  writeFileSync(join(cwd, "objects.yaml"), text.replace("kind: exposure", "kind: object"));
  site = await startSite(text);
});
afterAll(async () => {
  await site?.stop();
  rmSync(cwd, { recursive: true, force: true });
  await nats?.stop();
});

it("puts back what was lost, for what is left of its lifetime, and touches nothing that stands", async () => {
  await arrives("g1", "g2", "g3");
  expect(await orrery("regroup")).toMatchObject({
    exit: 0,
    stdout: "3 groups of files of the last 1 d: 0 put back, 3 there already\n",
  });
  // Given up on; of a detector for which nobody asks; and no record at all.
  const known = await getRecordUnsafe<FileBody>(nats.nats, recordOf("g1"));
  if (known === null || known.record.body.identity === null) throw new Error("no record of g1");
  const { record } = known;
  const { body } = record;
  const written = (name: string, state: State, identity: Partial<Identity>) =>
    ledgerPut(
      recordOf(name),
      encodeJson({
        ...record,
        state,
        body: { ...body, identity: { ...body.identity, group: name, ...identity } },
      }),
    );
  const records = [
    written("parked", "parked", {}),
    written("unasked", "known", { detector: "X" }),
    ledgerPut(recordOf("none"), encodeJson({})),
  ];
  await Effect.runPromise(commit(nats.nats, "files", records));

  await nats.nats.jsm.streams.delete(kvStream(presenceBucket));
  const without = await orrery("regroup");
  expect([without.exit, without.stderr]).toEqual([
    1,
    "orrery: stream KV_presence is missing: orrery topology apply\n",
  ]);
  const asked = await orrery("presence", "LSSTCam", "never", "0", "R22_S11");
  expect([asked.exit, asked.stderr]).toEqual([
    1,
    "orrery: stream KV_presence is missing: orrery topology apply\n",
  ]);
  const applied = await orrery("topology", "apply");
  expect([applied.exit, applied.stdout]).toEqual([
    0,
    expect.stringMatching(/lost: KV_presence: the groups of up to \d files .* orrery regroup puts them back/),
  ]);
  expect(await stands("g1")).toBeNull();
  // The node has seen that it is there again.
  await until(
    () => ask(site, { method: "GET", path: "/readyz" }),
    ({ status }) => status === 200,
    8_000,
  );
  await arrives("g4");
  const before = await getUnsafe(nats.nats, presenceBucket, keyOf("g4"));

  const only = await orrery("regroup", "--dry-run", "--json");
  expect([only.exit, JSON.parse(only.stdout)]).toEqual([0, { groups: 4, dryRun: true, putBack: 3 }]);
  expect(await stands("g1")).toBeNull();

  const announced: Array<string> = [];
  const heard = nats.nats.connection.subscribe("orrery.present.>", {
    callback: (_error, message) => void announced.push(message.subject),
  });
  expect(await orrery("regroup")).toMatchObject({
    exit: 0,
    stdout: "4 groups of files of the last 1 d: 3 put back, 1 there already\n",
  });
  await nats.nats.connection.flush();
  heard.unsubscribe();
  expect(announced).toEqual([]);
  for (const group of ["g1", "g2", "g3"]) expect(await stands(group)).toBe(uriOf(group));
  expect((await getUnsafe(nats.nats, presenceBucket, keyOf("g4")))?.revision).toBe(before?.revision);
  expect(await stands("parked")).toBeNull();
  const stored = await nats.nats.jsm.streams.getMessage(kvStream(presenceBucket), {
    last_by_subj: kvSubject(presenceBucket, keyOf("g1")),
  });
  const left = Number(/^(\d+)s$/.exec(stored?.header.get("Nats-TTL") ?? "")?.[1]);
  expect(left).toBeLessThanOrEqual(86_400);
  expect(left).toBeGreaterThan(86_000);
  const answer = await ask(site, { method: "GET", path: "/presence/LSSTCam/g1/0/R22_S11" });
  expect(answer).toMatchObject({ status: 200, body: { uri: uriOf("g1") } });
  expect((await orrery("regroup")).stdout).toContain("0 put back, 4 there already");
});

it("a group that comes meanwhile stays as it came, and the others are put back", async () => {
  await arrives("g5");
  const at = nats.nats.now();
  const found = ["g5", "g6", "g7"].map((group) => [keyOf(group), { uri: `old/${group}`, at }] as const);
  expect(await Effect.runPromise(putBack(nats.nats, 60_000, found))).toBe(2);
  expect([await stands("g5"), await stands("g6"), await stands("g7")]).toEqual([
    uriOf("g5"),
    "old/g6",
    "old/g7",
  ]);
});

it("a site whose files have no groups is said to be one", async () => {
  const { exit, stderr } = await orrery("regroup", "--site", "objects.yaml");
  expect([exit, stderr]).toEqual([2, expect.stringContaining("has no lane of kind exposure")]);
});
