/** The http driver and services that do everything wrong. Each fault is awaited, none is timed. */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Redacted from "effect/Redacted";
import * as Result from "effect/Result";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CatalogAway, IngestDriver, IngestItem, IngestResult } from "../../src/drivers/Driver.ts";
import { openHttp } from "../../src/drivers/http.ts";
import { item, items } from "../conformance/driver.ts";
import { canary } from "../support/canaries.ts";
import { CatalogService } from "../support/catalogService.ts";
import { startNats } from "../support/nats.ts";
import { ask, counted, settled, startSite, until } from "../support/testSite.ts";

type Outcome = Result.Result<ReadonlyArray<IngestResult>, CatalogAway>;

let service: CatalogService;
const logged: Array<string> = [];
beforeEach(async () => {
  service = await CatalogService.start();
  logged.length = 0;
});
afterEach(() => service.down());

interface Settings {
  readonly batchDeadlineMs?: number;
  readonly startDeadlineMs?: number;
  readonly headers?: ReadonlyMap<string, Redacted.Redacted>;
}

const withDriver = <A>(
  use: (driver: IngestDriver) => Effect.Effect<A>,
  settings: Settings = {},
): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(
        Effect.orDie(
          Effect.mapError(
            openHttp(
              {
                name: "lsstcam",
                url: Redacted.make(service.url, { label: "env:CATALOG" }),
                headers: new Map(),
                startDeadlineMs: 10_000,
                batchDeadlineMs: 10_000,
                ...settings,
              },
              (_level, message) => void logged.push(message),
            ),
            (away) => new Error(away.detail),
          ),
        ),
        use,
      ),
    ),
  );

const ingest = (batch: ReadonlyArray<IngestItem>, settings?: Settings): Promise<Outcome> =>
  withDriver((driver) => Effect.result(driver.ingest(batch)), settings);

const statuses = (outcome: Outcome): ReadonlyArray<string> =>
  Result.getOrThrow(Result.mapError(outcome, (away) => new Error(away.detail))).map((one) => one.status);

const awayOf = (outcome: Outcome): string => {
  if (Result.isSuccess(outcome)) throw new Error(`not away, but ${JSON.stringify(outcome.success)}`);
  return outcome.failure.detail;
};

const said = (status: number, body: unknown) => ({ status, body: JSON.stringify(body) });

describe("a service that is well", () => {
  it("gets the batch as a bridge would, with the site's headers, and is believed", async () => {
    const headers = new Map([["Authorization", Redacted.make(`Bearer ${canary("service")}`)]]);
    const batch = [item("a", { dependent: true }), item("b")];
    const outcome = await withDriver(
      (driver) =>
        Effect.andThen(driver.ingest([item("b")]), Effect.result(driver.ingest(batch))).pipe(Effect.orDie),
      { headers },
    );
    expect(statuses(outcome)).toEqual(["ingested", "duplicate"]);
    const asked = service.batches[1];
    expect(asked).toMatchObject({ batch: "b2", deadline_ms: 10_000 });
    expect(asked?.items.map(({ key, kind }) => [key, kind])).toEqual([
      [item("a").record, "guider"],
      [item("b").record, "object"],
    ]);
    expect(asked?.headers).toMatchObject({
      authorization: `Bearer ${canary("service")}`,
      "content-type": "application/json",
    });
  });

  it("is believed item by item", async () => {
    service.behaviour = ({ batch, items: asked }) =>
      said(200, {
        batch,
        items: [
          { key: asked[2]?.key, status: "permanent", class: "unknown_detector", detail: "R99" },
          { key: asked[0]?.key, status: "ingested" },
          { key: asked[1]?.key, status: "retry", class: "db_busy", detail: "locked" },
        ],
      });
    expect(Result.getOrThrow(await ingest(items(3)))).toEqual([
      { status: "ingested" },
      { status: "retry", reason: "db_busy", detail: "locked" },
      { status: "permanent", reason: "unknown_detector", detail: "R99" },
    ]);
  });
});

describe("a service that breaks the protocol", () => {
  it.each([
    ["garbage", "<html>hello</html>"],
    ["nothing", ""],
    ["ready", '{"ready":true}'],
    ["another batch", '{"batch":"b77","items":[]}'],
    ["no items", '{"batch":"b1"}'],
  ])("by %s: all are tried again", async (_what, body) => {
    service.behaviour = () => ({ status: 200, body });
    const results = Result.getOrThrow(await ingest(items(2)));
    expect(results.map((one) => (one.status === "retry" ? one.reason : one.status))).toEqual([
      "DriverProtocol",
      "DriverProtocol",
    ]);
    expect(logged).toEqual([expect.stringContaining("broke the protocol")]);
  });

  it("by leaving one out: only that one is tried again", async () => {
    service.behaviour = ({ batch, items: asked }) =>
      said(200, { batch, items: asked.slice(1).map(({ key }) => ({ key, status: "ingested" })) });
    expect(statuses(await ingest(items(3)))).toEqual(["retry", "ingested", "ingested"]);
  });

  it("by an answer without end: read no further than a bridge's line", async () => {
    service.behaviour = ({ batch }) => ({
      status: 200,
      body: `{"batch":"${batch}","x":"${"x".repeat(17 * 2 ** 20)}"}`,
    });
    const results = Result.getOrThrow(await ingest(items(1)));
    expect(results).toEqual([
      {
        status: "retry",
        reason: "DriverProtocol",
        detail: expect.stringContaining("longer than 16777216 bytes"),
      },
    ]);
  });
});

describe("a service that is away", () => {
  it("cannot be reached: the batch goes back as it is, and the secret address is not told", async () => {
    await service.down();
    expect(awayOf(await ingest(items(2)))).toMatch(
      /^the service of lane lsstcam \(env:CATALOG\) cannot be reached: .*ECONNREFUSED/,
    );
  });

  it.each([401, 403, 404, 429, 503])("says %i", async (status) => {
    service.behaviour = () => ({ status, body: "go away" });
    expect(awayOf(await ingest(items(2)))).toContain(`answers HTTP ${status}: go away`);
    expect(service.batches).toHaveLength(1);
  });

  it.each([200, 503])("says fatal, with %i", async (status) => {
    service.behaviour = ({ batch }) => said(status, { batch, fatal: "repo_unavailable", detail: "no route" });
    expect(awayOf(await ingest(items(2)))).toContain("cannot go on: repo_unavailable: no route");
  });

  it("went away with a batch in hand and stays away: nothing is recorded", async () => {
    let asked = 0;
    service.behaviour = () => {
      if (asked++ === 0) void service.down();
      return "reset";
    };
    expect(awayOf(await ingest(items(2), { startDeadlineMs: 1_200 }))).toContain(
      "none to an empty batch within 1200 ms",
    );
  });
});

describe("a batch that is lost", () => {
  it.each([
    ["with the connection", "reset" as const],
    ["by HTTP 500", { status: 500, body: "Traceback" }],
    ["by HTTP 502", { status: 502, body: "" }],
    ["by HTTP 504", { status: 504, body: "" }],
  ])("%s is a crash of each, once an empty one is answered", async (_how, behaviour) => {
    service.behaviour = ({ items: asked }) => (asked.length > 0 ? behaviour : "answer");
    expect(statuses(await ingest(items(3)))).toEqual(["crash", "crash", "crash"]);
    expect(service.sizes).toEqual([3, 0]);
  });

  it("by silence, likewise", async () => {
    service.behaviour = ({ items: asked }) => (asked.length > 0 ? "hang" : "answer");
    expect(statuses(await ingest(items(2), { batchDeadlineMs: 300 }))).toEqual(["crash", "crash"]);
  });

  it("with the service, which comes back", async () => {
    let lost = false;
    service.behaviour = ({ items: asked }) => {
      if (lost || asked.length === 0) return "answer";
      lost = true;
      void service.down().then(() => service.up());
      return "reset";
    };
    expect(statuses(await ingest(items(2)))).toEqual(["crash", "crash"]);
  });
});

describe("a batch that is too large for the service", () => {
  it("is halved until it fits, and what does not fit alone is parked", async () => {
    service.behaviour = ({ items: asked }) =>
      asked.length > 2 || asked.some(({ key }) => key.endsWith("f4")) ? { status: 413, body: "" } : "answer";
    expect(statuses(await ingest(items(7)))).toEqual([
      "ingested",
      "ingested",
      "ingested",
      "ingested",
      "permanent",
      "ingested",
      "ingested",
    ]);
  });
});

describe("requests of one batch, when the service goes away between them", () => {
  it("what was done is told, the rest is tried again", async () => {
    const large = { header: { COMMENT: "x".repeat(6 * 2 ** 20) } };
    service.behaviour = () => (service.batches.length > 1 ? { status: 503, body: "" } : "answer");
    const outcome = await ingest([item("a", large), item("b", large), item("c", large), item("d", large)]);
    expect(service.sizes).toEqual([2, 2]);
    expect(statuses(outcome)).toEqual(["ingested", "ingested", "retry", "retry"]);
  });
});

describe("an interrupted batch", () => {
  it("is let go at once, and the next is answered", async () => {
    service.behaviour = ({ batch }) => (batch === "b1" ? "hang" : "answer");
    await withDriver((driver) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(driver.ingest(items(2)), { startImmediately: true });
        yield* Effect.promise(() =>
          until(
            () => service.batches.length,
            (count) => count === 1,
          ),
        );
        yield* Fiber.interrupt(fiber);
        expect(statuses(yield* Effect.result(driver.ingest(items(2))))).toEqual(["ingested", "ingested"]);
      }),
    );
  });
});

describe("a lane whose catalog is a service", () => {
  const day = "20251121";
  const keyOf = (n: number): string => `LSSTCam/${day}/MC_O_${day}_000001/f${n}.fits`;

  it("parks the file that ends the service again and again, and knows its neighbours", async () => {
    const nats = await startNats({ topology: null });
    // Whatever batch the bad one is in is lost with it.
    service.behaviour = ({ items: asked }) =>
      asked.some(({ key }) => key.endsWith("f3.fits")) ? "reset" : "answer";
    const site = await startSite(`
name: service
node: { name: service-1 }
nats: { mode: external, servers: ["${nats.server.url}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  raw:
    kind: exposure
    buckets: [raw]
    metadata: key
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/'
    driver: { type: http, url: "${service.url}" }
presence: { instruments: [LSSTCam] }
`);
    try {
      const Records = Array.from({ length: 20 }, (_, n) => ({
        eventName: "ObjectCreated:Put",
        s3: { bucket: { name: "raw" }, object: { key: keyOf(n), size: 1, eTag: "e" } },
      }));
      expect((await ask(site, { body: { Records } })).status).toBe(200);
      const states = await Promise.all(
        Array.from({ length: 20 }, (_, n) => settled(site, "raw", day, "raw", keyOf(n))),
      );
      expect(states.map((record) => record.state)).toEqual(
        Array.from({ length: 20 }, (_, n) => (n === 3 ? "parked" : "known")),
      );
      expect(states[3]?.errors.at(-1)?.reason).toBe("CrashedWorker");
      expect(counted(site, "items.raw.crash")).toBeGreaterThan(0);
    } finally {
      await site.stop();
      await nats.stop();
    }
  });
});
