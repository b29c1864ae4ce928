/** Content that changes under a name on a lane that supersedes: the newest event wins, in whatever order notifications come. */
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerProcess } from "../support/server.ts";
import type { FileRecord, TestSite } from "../support/testSite.ts";
import { ask, counted, recordOf, startSite, until } from "../support/testSite.ts";

const siteText = (server: string): string => `
name: newest
node: { name: newest-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  newer: { kind: object, buckets: [newer], onContentChange: supersede, backoffBase: 20 ms, backoffMax: 20 ms }
`;

describe("content that changes", () => {
  let server: ServerProcess;
  let site: TestSite;
  const failOnce = new Set<string>();

  beforeAll(async () => {
    server = await ServerProcess.start();
    site = await startSite(siteText(server.url), {
      aroundDriver: (_lane, open) =>
        Effect.map(open, (driver) => ({
          name: driver.name,
          ingest: (items) =>
            Effect.succeed(
              items.map(({ key }) =>
                failOnce.delete(key)
                  ? ({ status: "retry", reason: "Once", detail: "this once" } as const)
                  : ({ status: "ingested" } as const),
              ),
            ),
        })),
    });
  });
  afterAll(async () => {
    await site.stop();
    await server.end();
  });

  const at = (second: number): string => `2025-11-21T07:03:${String(second).padStart(2, "0")}.565Z`;
  async function notify(key: string, eTag: string, eventTime?: string, sequencer?: string): Promise<void> {
    const object = { key, size: 1, eTag, ...(sequencer === undefined ? {} : { sequencer }) };
    const record = {
      eventName: "ObjectCreated:Put",
      ...(eventTime === undefined ? {} : { eventTime }),
      s3: { bucket: { name: "newer" }, object },
    };
    expect(await ask(site, { body: { Records: [record] } })).toMatchObject({ status: 200 });
  }
  const record = (key: string): Promise<FileRecord | null> => recordOf(site, "newer", "-", "newer", key);
  const becomes = (key: string, etag: string): Promise<FileRecord | null> =>
    until(
      () => record(key),
      (found) => found?.etag === etag && found.state === "known",
    );
  /** Announced, taken, and dropped without a change. */
  async function changesNothing(key: string, how: () => Promise<void>): Promise<void> {
    const dropped = (): number => counted(site, "duplicates.newer") + counted(site, "stale.newer");
    const before = await record(key);
    const count = dropped();
    await how();
    await until(dropped, (now) => now > count);
    expect(await record(key)).toEqual(before);
  }

  it("A → B → A: the second A takes its place back", async () => {
    await notify("back", "A", at(1));
    await becomes("back", "A");
    await notify("back", "B", at(2));
    await becomes("back", "B");
    await notify("back", "A", at(3));
    expect(await becomes("back", "A")).toMatchObject({
      superseded: [{ etag: "A" }, { etag: "B" }],
      body: { event: { time: at(3) } },
    });
    // What was newest before it comes late, under another id: it is not newest any more.
    await changesNothing("back", () => notify("back", "B", at(2), "again"));
  });

  it("the newest comes first, and stays", async () => {
    await notify("order", "new", at(9));
    await becomes("order", "new");
    await changesNothing("order", () => notify("order", "old", at(3)));
  });

  it("where times are equal the sequencer says it", async () => {
    await notify("tie", "2", at(1), "0055AED6DCD90281E6");
    await becomes("tie", "2");
    await changesNothing("tie", () => notify("tie", "1", at(1), "0055AED6DCD90281E5"));
    await notify("tie", "3", at(1), "0055AED6DCD90281E7");
    await becomes("tie", "3");
  });

  it("it survives being put back: the event goes with it", async () => {
    failOnce.add("retried");
    await notify("retried", "A", at(5));
    expect(await becomes("retried", "A")).toMatchObject({ attempts: 1, body: { event: { time: at(5) } } });
    await changesNothing("retried", () => notify("retried", "B", at(4)));
  });

  it("the same event announced twice is stored once", async () => {
    await notify("twice", "A", at(1), "1");
    await becomes("twice", "A");
    const before = counted(site, "skipped.duplicate");
    await notify("twice", "A", at(1), "1");
    expect(counted(site, "skipped.duplicate")).toBe(before + 1);
  });

  it("where the store tells no time, content that was superseded stays so", async () => {
    await notify("silent", "A");
    await becomes("silent", "A");
    await notify("silent", "B");
    await becomes("silent", "B");
    const before = counted(site, "skipped.duplicate");
    await notify("silent", "A");
    expect(counted(site, "skipped.duplicate")).toBe(before + 1);
    expect(await record("silent")).toMatchObject({ etag: "B" });
  });
});
