/** Lanes whose bridge is killed, stopped or confused by what it is given: the bad file is found and parked, and nobody else is. */
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestSite } from "../support/testSite.ts";
import { ask, settled, startSite } from "../support/testSite.ts";

const faulty = path.resolve(import.meta.dirname, "../support/bridges/faulty.mjs");

const lane = (name: string, mode: string): string => `
  ${name}:
    kind: object
    buckets: [${name}]
    accept: fits$
    metadata: key
    batchMax: 50
    crashesAloneMax: 2
    attemptsMax: 3
    backoffBase: 10 ms
    backoffMax: 20 ms
    workDeadline: 2 min
    driver:
      type: subprocess
      command: ["${process.execPath}", "${faulty}", ${mode}, killer]
      startDeadline: 20 s
      batchDeadline: ${mode === "stubborn" ? "1 s" : "10 s"}
`;

const siteText = (server: string): string => `
name: bridges
node: { name: bridges-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:${lane("dies", "dies")}${lane("hangs", "stubborn")}${lane("misses", "misses")}
enqueuer:
  insecure: true
`;

let nats: TestNats;
let site: TestSite;
beforeAll(async () => {
  nats = await startNats({ topology: null });
  site = await startSite(siteText(nats.server.url));
});
afterAll(async () => {
  await site?.stop();
  await nats?.stop();
});

const announce = (bucket: string, keys: ReadonlyArray<string>) =>
  ask(site, {
    body: {
      Records: keys.map((key) => ({
        eventName: "ObjectCreated:Put",
        s3: { bucket: { name: bucket }, object: { key, eTag: `etag-of-${key}`, size: 1 } },
      })),
    },
  });

const innocents = Array.from({ length: 200 }, (_, i) => `good-${i}.fits`);
const keys = [...innocents.slice(0, 100), "killer.fits", ...innocents.slice(100)];

const outcomes = async (bucket: string) => {
  const records = await Promise.all(innocents.map((key) => settled(site, bucket, "-", bucket, key)));
  return { killer: await settled(site, bucket, "-", bucket, "killer.fits"), records };
};

describe("200 files that share a lane with one that", () => {
  for (const bucket of ["dies", "hangs"])
    it(`${bucket}: it is parked after crashing alone, they are known and owe no attempt`, async () => {
      expect((await announce(bucket, keys)).status).toBe(200);
      const { killer, records } = await outcomes(bucket);
      expect(killer).toMatchObject({ state: "parked", attempts: 0, crashesAlone: 2 });
      expect(killer.errors.at(-1)).toMatchObject({ class: "crash", reason: "CrashedWorker" });
      for (const record of records)
        expect(record).toMatchObject({ state: "known", attempts: 0, crashesAlone: 0 });
      expect(records.some((record) => record.crashes > 0)).toBe(true);
    });

  it("is never answered: it is parked after its attempts, they are known at once", async () => {
    expect((await announce("misses", keys)).status).toBe(200);
    const { killer, records } = await outcomes("misses");
    expect(killer).toMatchObject({ state: "parked", attempts: 3, crashes: 0 });
    expect(killer.errors.at(-1)).toMatchObject({ class: "transient", reason: "DriverProtocol" });
    for (const record of records) expect(record).toMatchObject({ state: "known", attempts: 0, crashes: 0 });
  });
});
