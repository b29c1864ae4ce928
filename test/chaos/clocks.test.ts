/**
 * Two nodes of one site whose machines' clocks are an hour off, one ahead and one behind: what they make of the same files is what two
 * right ones make of them, at the same pace. Jobs of a mission: catalogueNodes.test.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { nodeLeaseMs } from "../../src/limits.ts";
import type { FileBody, LedgerRecord } from "../../src/protocol/records.ts";
import { dayText } from "../../src/actors/retention.ts";
import { promptly } from "../support/promptly.ts";
import { until } from "../support/testSite.ts";
import type { Announced } from "./sender.ts";
import type { Cluster } from "./cluster.ts";
import { withCluster } from "./cluster.ts";
import { bucket, recordIn, recordOf } from "./sender.ts";

const hourMs = 3_600_000;
const clockOff = new URL("../support/clockOff.ts", import.meta.url);
const raw = "raw";

/** A process on a machine with such a clock. */
const clock = (offMs: number) => ({
  process: { execArgv: ["--import", clockOff.href], env: { TEST_CLOCK_OFF_MS: String(offMs) } },
});

/** Ends while nodes are killed below; until then the exposure of one that came first has to be known. */
const waitMax = 8_000;
const site = `  ${raw}:
    kind: exposure
    buckets: [${raw}]
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/(?<group>[^_]+)_(?<snap>\\d)_(?<detector>R\\d\\d_S\\w\\d)'
    accept: fits$
    metadata: key
    needs: [{ match: guider, waitMax: ${waitMax} ms }]
presence: { instruments: [LSSTCam], lifetime: 12 s }
visits: { lanes: [${raw}] }
`;

const rawKey = (exposure: string, rest: string): string =>
  `LSSTCam/20260101/${exposure}/g${exposure}_0_${rest}.fits`;
const science = (exposure: string): Announced => ({
  bucket: raw,
  key: rawKey(exposure, "R22_S11"),
  etag: "1",
});
const guider = (exposure: string): Announced => ({
  bucket: raw,
  key: rawKey(exposure, "R44_SG0_guider"),
  etag: "1",
});

/** What each file became, without times and without which node it was. */
const became = (cluster: Cluster): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    [...cluster.history.latest.values()]
      .filter(({ key }) => key.startsWith("file."))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .map(({ key, value }) => {
        const { state, attempts, errors, refused } = value as LedgerRecord<FileBody>;
        const reason = state === "parked" ? errors.at(-1)?.reason : null;
        return [key, { state, tried: attempts > 0, reason, refused: refused?.length ?? 0 }];
      }),
  );

/** Every time that stands in the ledger, and how far it is from the time that it was written, by the server's clock. */
const timesOff = (cluster: Cluster): ReadonlyArray<string> =>
  cluster.history.revisions.flatMap(({ key, value, at }) => {
    const said = JSON.stringify(value ?? null);
    const iso = [...said.matchAll(/"(\d{4}-\d\d-\d\dT[\d:.]+Z)"/g)].map(([, text]) => Date.parse(text ?? ""));
    const numbers = [...said.matchAll(/"(?:notBefore|waitUntil)":(\d+)/g)].map(([, text]) => Number(text));
    return [...iso, ...numbers]
      .filter((ms) => Math.abs(ms - at) > 120_000)
      .map((ms) => `${key} was written ${new Date(at).toISOString()} and says ${new Date(ms).toISOString()}`);
  });

async function isPresent(cluster: Cluster, node: string, exposure: string): Promise<boolean> {
  const url = cluster.nodes.get(node)?.http ?? "";
  const answer = await fetch(`${url}/presence/LSSTCam/g${exposure}/0/R22_S11`);
  return ((await answer.json()) as { readonly present: boolean }).present;
}

interface Told {
  readonly files: Readonly<Record<string, unknown>>;
  readonly visits: number;
  readonly present: ReadonlyArray<boolean>;
  readonly absent: ReadonlyArray<boolean>;
  readonly timesOff: ReadonlyArray<string>;
  readonly violations: ReadonlyArray<string>;
}

/** The same night for any two clocks. */
async function night(offs: readonly [number, number]): Promise<Told> {
  let told: Told | null = null;
  await withCluster(
    async (cluster) => {
      const names = ["a", "b"] as const;
      const behaviour = (i: number) => ({ delayMs: 30, ...clock(offs[i] ?? 0) });
      for (const [i, name] of names.entries()) await cluster.node(name, behaviour(i));
      const { sender } = cluster;
      await sender.load(60, {
        each: 3,
        name: (i) => `20260101/${i % 5 === 1 ? "flaky" : i % 7 === 3 ? "bad" : "plain"}-${i}.fits`,
      });
      // A guider's file that comes before its exposure, one whose exposure never comes, and other content under a known name.
      await sender.send([guider("000001"), guider("000002")]);
      await sender.send([science("000001"), science("000003")]);
      await cluster.settled(
        [science("000001"), science("000003")].map(({ key }) => recordIn(raw, key)),
        10_000,
      );
      const present = await Promise.all(names.map((name) => isPresent(cluster, name, "000001")));
      await sender.send([{ key: "20260101/plain-0.fits", etag: "2" }]);
      for (const [i, name] of names.entries()) {
        const node = await restarted(cluster, name, { ...behaviour(i), delayMs: 600_000 });
        const sending = sender.load(60, { pauseMs: 5, name: (n) => `20260101/held-${name}-${n}.fits` });
        const { items } = await cluster.holds(name);
        await node.kill9();
        await promptly("taking back what the other had", nodeLeaseMs + 4_000, () =>
          cluster.settled(items, 20_000),
        );
        await sending;
        await cluster.node(name, behaviour(i));
      }
      await cluster.settled([recordIn(raw, guider("000002").key)], 20_000);
      await cluster.rest(20_000);
      const look = () => Promise.all(names.map((name) => isPresent(cluster, name, "000001")));
      const absent = await until(look, (found) => !found.includes(true));
      told = {
        files: became(cluster),
        visits: [...cluster.history.latest.keys()].filter((key) => key.startsWith("visit.")).length,
        present,
        absent,
        timesOff: timesOff(cluster),
        violations: await cluster.check(),
      };
    },
    { lane: { attemptsMax: 50 }, second: { lane: raw, text: () => site } },
  );
  if (told === null) throw new Error("nothing was told");
  return told;
}

async function restarted(cluster: Cluster, name: string, behaviour: Parameters<Cluster["node"]>[1]) {
  await cluster.nodes.get(name)?.term();
  return cluster.node(name, behaviour);
}

describe("two nodes, one with its clock an hour ahead and one an hour behind,", () => {
  it("make of a night what two right ones make of it", { timeout: 600_000 }, async () => {
    const [off, right] = await Promise.all([night([hourMs, -hourMs]), night([0, 0])]);
    for (const { violations, timesOff: wrongTimes, present, absent } of [off, right]) {
      expect(violations).toEqual([]);
      expect(wrongTimes).toEqual([]);
      expect(present).toEqual([true, true]);
      expect(absent).toEqual([false, false]);
    }
    expect(off.files).toEqual(right.files);
    expect(off.visits).toBe(right.visits);
    expect(off.files[recordIn(raw, guider("000001").key)]).toMatchObject({ state: "known" });
    expect(off.files[recordIn(raw, guider("000002").key)]).toMatchObject({
      state: "parked",
      reason: "ExposureNeverCame",
    });
    expect(off.files[recordOf("20260101/plain-0.fits")]).toMatchObject({ refused: 1 });
  });
});

describe("a node whose clock is in the next day already", () => {
  it("purges no day that is within its retention by the site's clock", () =>
    withCluster(
      async (cluster) => {
        const dayMs = 24 * hourMs;
        const now = Date.now();
        // The last day within its retention, and the first past it: after midnight they are not what they were.
        const [last, past] = [dayText(now - dayMs), dayText(now - 2 * dayMs)];
        await cluster.node("right", clock(0));
        await cluster.sender.send([last, past].map((day) => ({ bucket, key: `${day}/x.fits`, etag: "1" })));
        await cluster.settled(
          [last, past].map((day) => recordOf(`${day}/x.fits`)),
          10_000,
        );
        const toMidnight = dayMs - (now % dayMs);
        await cluster.node("ahead", clock(toMidnight + hourMs));
        await cluster.logged("ahead", "purged a day past its retention", 20_000);
        await sleep(1_000);
        const filters = cluster
          .log("ahead")
          .flatMap(({ message, fields }) => (message.startsWith("purged") ? [String(fields["filter"])] : []));
        expect(filters.filter((filter) => filter.includes(last))).toEqual([]);
        expect(filters.some((filter) => filter.includes(past))).toBe(true);
        const keys = (await cluster.history.scan(["file.>"])).map(({ key }) => key);
        expect(keys).toEqual([recordOf(`${last}/x.fits`)]);
      },
      { lane: { retention: "1 day" } },
    ));
});
