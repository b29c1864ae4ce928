/** Why what is open is open: along what it waits for, to where that begins. */
import { describe, expect, it } from "vitest";
import { openPartitions } from "../../../src/demo/missionCauses.ts";
import type { CatalogueJob } from "../../../src/jobs/catalogue.ts";
import type { BlockedOn } from "../../../src/jobs/blockedOn.ts";
import { dayUs, parseInstant } from "../../../src/jobs/instant.ts";
import type { JobRecord } from "../../../src/protocol/jobs.ts";

const dayRange = (day: string) => {
  const start = parseInstant(`${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`) ?? Number.NaN;
  return { start, end: start + dayUs };
};

function standing(
  job: string,
  day: string,
  state: JobRecord["state"],
  ...on: ReadonlyArray<BlockedOn>
): JobRecord {
  const iso = (text: string): string => `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}T00:00:00`;
  const next = String(Number(day) + 1);
  const range = { start: iso(day), end: iso(next) };
  return {
    v: 1,
    job,
    version: "1",
    partition: { kind: "day", instrument: "mag", day, name: day, range, pointing: null },
    state,
    blockedOn: [],
    inputs: null,
    run: null,
    catalogue: { on, incomplete: null, since: "" },
  };
}

const product = (dataset: string, day: string): BlockedOn => ({
  type: "product",
  dataset,
  partition: day,
  range: dayRange(day),
});
const calibration = (dataset: string, day: string): BlockedOn => ({
  type: "calibration",
  dataset,
  range: dayRange(day),
});

const makes = (job: string, ...from: ReadonlyArray<string>): readonly [string, CatalogueJob] => {
  const inputs = from.map((dataset) => ({ dataset, range: null }));
  return [job, { name: job, inputs } as unknown as CatalogueJob];
};
const catalogue = {
  producerOf: new Map([makes("mag/l1a/a"), makes("mag/l1b/a", "mag/l1a/a"), makes("mag/l2/a", "mag/l1b/a")]),
};

const causes = (records: ReadonlyArray<JobRecord>, since = "20260101") =>
  openPartitions(catalogue, records, dayRange(since).start).map(({ record, causes: of }) => [
    record.job,
    ...of.map(({ type, dataset, words }) => `${type} ${dataset ?? "-"} ${words}`),
  ]);

describe("what an open partition lacks in the end", () => {
  it("is the file from outside that the first of the chain waits for, told once", () => {
    const lack = "file mag/ancillary/cal mag/ancillary/cal: none covers 2026-03-10";
    expect(
      causes([
        standing(
          "mag/l2/a",
          "20260310",
          "blocked",
          product("mag/l1b/a", "20260310"),
          product("mag/l1a/a", "20260310"),
        ),
        standing("mag/l1b/a", "20260310", "blocked", product("mag/l1a/a", "20260310")),
        standing("mag/l1a/a", "20260310", "blocked", calibration("mag/ancillary/cal", "20260310")),
        standing("mag/l1a/a", "20260311", "done"),
      ]),
    ).toEqual([
      ["mag/l2/a", lack],
      ["mag/l1b/a", lack],
      ["mag/l1a/a", lack],
    ]);
  });

  it("is time where a window is open, and an operator where it is held", () => {
    const end = dayRange("20260401").start;
    expect(
      causes([
        standing("mag/l2/a", "20260310", "blocked", { type: "windowOpen", until: end }),
        standing("mag/l1b/a", "20260310", "stale", { type: "held" }),
      ]),
    ).toEqual([
      ["mag/l2/a", "time - window open until 2026-04-01T00:00:00"],
      ["mag/l1b/a", "asked - held by an operator"],
    ]);
  });

  it("is a fault where its maker has made it, has no such partition, or has failed, and where it waits for nothing", () => {
    const wants = (day: string): JobRecord =>
      standing("mag/l1b/a", day, "blocked", product("mag/l1a/a", day));
    expect(causes([wants("20260310"), wants("20260312"), standing("mag/l1a/a", "20260310", "done")])).toEqual(
      [
        ["mag/l1b/a", "fault mag/l1a/a mag/l1a/a: none for 20260310, and mag/l1a/a is done"],
        ["mag/l1b/a", "fault mag/l1a/a mag/l1a/a: none for 20260312, and mag/l1a/a has no partition there"],
      ],
    );
    expect(
      causes([standing("mag/l1a/a", "20260310", "failed"), standing("mag/l2/a", "20260310", "stale")]),
    ).toEqual([
      ["mag/l1a/a", "fault - mag/l1a/a 20260310 failed"],
      ["mag/l2/a", "fault - mag/l2/a 20260310 is stale and waits for nothing"],
    ]);
  });

  it("is of another time where it began before there was anything", () => {
    const early = standing("mag/l1b/a", "20260310", "blocked", product("mag/l1a/a", "20260310"));
    expect(causes([early], "20260311")).toEqual([
      ["mag/l1b/a", "before - began before the first day that there is"],
    ]);
    expect(causes([early], "20260310")[0]?.[1]).toMatch(/^fault /);
  });

  it("is what failed before a maker that has no partition, because nothing of what it takes was made", () => {
    const wants = standing("swe/l3/a", "20260310", "blocked", product("mag/l2/a", "20260310"));
    const failed = standing("mag/l1a/a", "20260310", "failed");
    expect(causes([wants, { ...failed, blockedOn: ["OutputMissing: a.cdf"] }])[0]).toEqual([
      "swe/l3/a",
      "fault - mag/l1a/a 20260310 failed: OutputMissing: a.cdf",
    ]);
  });

  it("ends where two wait for each other", () => {
    const upstream = (job: string): BlockedOn => ({
      type: "upstream",
      partitions: [{ job, partition: "20260310" }],
    });
    expect(
      causes([
        standing("mag/l1a/a", "20260310", "blocked", upstream("mag/l1b/a"), calibration("x/y/z", "20260310")),
        standing("mag/l1b/a", "20260310", "blocked", upstream("mag/l1a/a")),
      ]),
    ).toEqual([
      ["mag/l1a/a", "file x/y/z x/y/z: none covers 2026-03-10"],
      ["mag/l1b/a", "file x/y/z x/y/z: none covers 2026-03-10"],
    ]);
    expect(causes([standing("mag/l1a/a", "20260310", "blocked", upstream("mag/l1a/a"))])).toEqual([
      ["mag/l1a/a", "fault - mag/l1a/a 20260310 waits for itself"],
    ]);
  });
});
