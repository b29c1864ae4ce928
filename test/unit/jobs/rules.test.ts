import { describe, expect, it } from "vitest";
import { blockedWords } from "../../../src/jobs/blockedOn.ts";
import type { Start } from "../../../src/jobs/fact.ts";
import type { IndexedFile } from "../../../src/jobs/indexed.ts";
import { dayUs } from "../../../src/jobs/instant.ts";
import { Resolver } from "../../../src/jobs/Resolver.ts";
import { Schedule } from "../../../src/jobs/schedule.ts";
import { slicesOver } from "../../../src/jobs/partitions.ts";
import { Calendar } from "../../../src/jobs/calendar.ts";
import { firstDay, repoints, taleJobs, taleKinds } from "../../support/jobTales.ts";
import { at, runFactOf } from "../../support/jobWorld.ts";

/** Of days since the tale's first; a pointing is a product's number. */
function file(
  dataset: string,
  version: number,
  place: { readonly from?: number; readonly to?: number; readonly pointing?: number } = {},
): IndexedFile {
  const { from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY, pointing = null } = place;
  const name = `${dataset} ${from} ${to} ${pointing ?? ""} v${version}`;
  return {
    name,
    content: name,
    kind: taleKinds.has(dataset) ? dataset : "product",
    dataset,
    range: pointing === null ? { start: firstDay + from * dayUs, end: firstDay + to * dayUs } : null,
    pointing,
    version: { legacy: true, major: version, minor: 0 },
  };
}

class Place {
  readonly resolver: Resolver;

  constructor(...names: ReadonlyArray<string>) {
    const jobs = taleJobs.filter(({ name }) => names.includes(name));
    this.resolver = new Resolver({ kinds: taleKinds, jobs, missionStart: firstDay });
  }

  add(...files: ReadonlyArray<IndexedFile>): this {
    for (const one of files) this.resolver.apply({ type: "file", file: one });
    return this;
  }

  clock(days: number): this {
    this.resolver.apply({ type: "clock", now: firstDay + days * dayUs });
    return this;
  }

  table(count: number): this {
    const version = { legacy: true, major: 1, minor: 0 };
    this.resolver.apply({
      type: "table",
      name: `t${count}`,
      start: count,
      version,
      repoints: repoints(count, 0),
    });
    return this;
  }

  /** Runs that begin; each is done at once, and leaves nothing but its record. */
  runs(): ReadonlyArray<Start> {
    const all: Array<Start> = [];
    for (;;) {
      const { starts, left } = this.resolver.decide();
      for (const start of starts) this.resolver.apply(runFactOf(start, "done"));
      all.push(...starts);
      if (starts.length === 0 && left === 0) return all;
    }
  }

  /** `partition: inputs` of the runs that begin. */
  made(): ReadonlyArray<string> {
    return this.runs().map(
      ({ partition, inputs }) => `${partition}: ${inputs.map((one) => one.file.name).join(", ")}`,
    );
  }

  words(job: string, partition: string): ReadonlyArray<string> {
    this.resolver.decide();
    return this.resolver.status({ job, partition }).on.map(blockedWords);
  }
}

const first = "20260226";
const day = (from: number): { readonly from: number; readonly to: number } => ({ from, to: from + 1 });

describe("what is chosen", () => {
  it("of a calibration must cover all of the partition; of one version the later start counts", () => {
    const place = new Place("B").add(file("a", 1, day(0)), file("attitude", 1, { from: -5, to: 20 }));
    place.add(file("calibration", 9, { from: 0.5, to: 20 }));
    expect(place.words("B", first)).toEqual(["calibration: none covers 2026-02-26"]);
    place.add(
      file("calibration", 2, { from: -3 }),
      file("calibration", 2, { from: -1 }),
      file("calibration", 1, { from: 0 }),
    );
    const [run] = place.runs();
    expect(run?.inputs.map((one) => one.file.name)).toContain("calibration -1 Infinity  v2");
  });

  it("does not begin where what is taken only touches", () => {
    const place = new Place("A").add(file("clock", 1), file("raw", 1, day(0)));
    expect(place.made()).toEqual([`${first}: clock -Infinity Infinity  v1, raw 0 1  v1`]);
    expect(place.resolver.status({ job: "A", partition: "20260227" }).state).toBe("none");
  });

  it("of a kernel that has come from a later start is that one's", () => {
    const place = new Place("B").add(
      file("a", 1, day(0)),
      file("a", 1, day(5)),
      file("calibration", 1, { from: -9 }),
    );
    place.add(file("attitude", 1, { from: -5, to: 20 }));
    expect(place.runs()).toHaveLength(2);
    place.add(file("attitude", 1, { from: 4, to: 20 }));
    expect(place.made()).toEqual([`20260303: a 5 6  v1, attitude 4 20  v1, calibration -9 Infinity  v1`]);
  });

  it("of kernels may be two that meet within the partition", () => {
    const place = new Place("B").add(file("a", 1, day(0)), file("calibration", 1, { from: -9 }));
    place.add(file("attitude", 1, { from: -5, to: 0.5 }));
    expect(place.words("B", first)).toEqual([
      "attitude: covered to 2026-02-26T12:00:00 of 2026-02-27T00:00:00",
    ]);
    place.add(file("attitude", 1, { from: 0.5, to: 9 }));
    expect(place.made()).toEqual([
      `${first}: a 0 1  v1, attitude -5 0.5  v1, attitude 0.5 9  v1, calibration -9 Infinity  v1`,
    ]);
  });
});

describe("what makes stale", () => {
  it("is never a kind that does not, whatever the job says", () => {
    const place = new Place("A").add(file("clock", 1), file("raw", 1, day(0)));
    expect(place.runs()).toHaveLength(1);
    expect(place.add(file("clock", 2)).runs()).toEqual([]);
    // It is taken as soon as there is another reason.
    expect(place.add(file("raw", 2, day(0))).made()).toEqual([
      `${first}: clock -Infinity Infinity  v2, raw 0 1  v2`,
    ]);
  });

  it("of a window that is not complete is no file that is counted, until the last", () => {
    const place = new Place("W").table(14).add(file("frames", 1)).clock(30);
    // Five pointings overlap the window, half of them are enough.
    for (const n of [0, 1]) place.add(file("q", 1, { pointing: n }));
    expect(place.runs()).toEqual([]);
    expect(place.words("W", "20260226-20260302")).toEqual([
      "2 of 5 pointings, 3 are needed, deadline 2026-03-04T00:00:00 has passed",
    ]);
    const shares = (): ReadonlyArray<unknown> => place.runs().map(({ incomplete }) => incomplete);
    place.add(file("q", 1, { pointing: 2 }));
    expect(shares()).toEqual([{ have: 3, of: 5 }]);
    place.add(file("q", 2, { pointing: 0 }), file("q", 1, { pointing: 3 }));
    expect(shares()).toEqual([]);
    expect(place.resolver.status({ job: "W", partition: "20260226-20260302" })).toMatchObject({
      state: "done",
      incomplete: { have: 4, of: 5 },
    });
    place.add(file("q", 1, { pointing: 4 }));
    expect(shares()).toEqual([null]);
    place.add(file("q", 3, { pointing: 0 }));
    expect(shares()).toEqual([null]);
  });
});

describe("a job whose data products are all optional", () => {
  it("is blocked when the last of them is withdrawn", () => {
    const place = new Place("V").add(file("c", 1, day(4))).clock(40);
    expect(place.runs()).toHaveLength(1);
    place.resolver.apply({ type: "withdrawn", name: file("c", 1, day(4)).name });
    expect(place.runs()).toEqual([]);
    expect(place.words("V", "20260301-20260305")).toEqual([
      "no data product for 20260301-20260305: none of c, a",
    ]);
  });
});

describe("a run", () => {
  it("does not begin before what it is made of was looked at, however many were touched with it", () => {
    const place = new Place("A", "B").add(
      file("clock", 1),
      file("a", 1, day(0)),
      file("attitude", 1, { from: -5, to: 9 }),
    );
    expect(place.add(file("calibration", 1, { from: -9 })).runs()).toHaveLength(1);
    // Touches hundreds of A, which wait for the one of B that the next touches.
    place.add(file("raw", 1, { from: 0, to: 300 }), file("calibration", 2, { from: -9 }));
    expect(place.resolver.decide(1).starts.map(({ job }) => job)).not.toContain("B");
    expect(place.words("B", first)).toEqual(["waits for A 20260226"]);
  });

  it("has a name that follows from what its inputs hold, the job's version and the partition", () => {
    const hashes = ["x", "y"].map((content) => {
      const place = new Place("A").add(
        file("clock", 1),
        { ...file("raw", 1, day(0)), content },
        file("raw", 1, day(1)),
      );
      return place.runs().map(({ hash }) => hash);
    });
    expect(new Set(hashes.flat()).size).toBe(3);
    expect(hashes.flat().every((hash) => /^[0-9a-f]{16}$/.test(hash))).toBe(true);
  });
});

describe("schedules", () => {
  it("come when cron says", () => {
    const next = (expression: string, from: string): number | null =>
      new Schedule(expression).atOrAfter(at(from));
    expect(next("0 6 * * *", "2026-02-26T06:00:00")).toBe(at("2026-02-26T06:00:00"));
    expect(next("0 6 * * *", "2026-02-26T06:00:01")).toBe(at("2026-02-27T06:00:00"));
    expect(next("*/15 1-2 * * *", "2026-02-26T02:46:00")).toBe(at("2026-02-27T01:00:00"));
    expect(next("0 0 1 * 1", "2026-02-26")).toBe(at("2026-03-01"));
    expect(next("0 0 30 2 *", "2026-02-26")).toBeNull();
    expect(new Schedule("30 5 * * 0").atOrBefore(at("2026-02-26"))).toBe(at("2026-02-22T05:30:00"));
  });

  it("begin a day's run once, after the day", () => {
    const place = new Place("T").add(file("frames", 1), file("table", 1, day(0))).clock(1.2);
    expect(place.words("T", first)).toEqual(["runs on its schedule, next at 2026-02-27T06:00:00"]);
    expect(
      place
        .clock(1.25)
        .runs()
        .map(({ partition }) => partition),
    ).toEqual([first]);
    expect(place.clock(1.9).runs()).toEqual([]);
    expect(
      place
        .clock(2.25)
        .runs()
        .map(({ partition }) => partition),
    ).toEqual(["20260227"]);
  });

  it("make an endless partition anew when it has grown, once for each time", () => {
    const place = new Place("O").clock(1).add(file("attitude", 1, { from: -5, to: 1 }));
    expect(place.runs()).toHaveLength(1);
    place.add(file("attitude", 1, { from: -5, to: 2 }));
    expect(place.runs()).toEqual([]);
    expect(place.clock(2).runs()).toHaveLength(1);
    expect(place.clock(3).runs()).toEqual([]);
  });
});

describe("partitions", () => {
  const names = (scheme: Parameters<typeof slicesOver>[0], from: string, to: string): ReadonlyArray<string> =>
    slicesOver(scheme, { start: at(from), end: at(to) }, Calendar.empty).map(({ name }) => name);

  it("are named by what they hold, the last ten days of a year fewer", () => {
    expect(names({ type: "day" }, "2026-03-10T12:00:00", "2026-03-12")).toEqual(["20260310", "20260311"]);
    expect(names({ type: "days", days: 10 }, "2026-12-25", "2027-01-02")).toEqual([
      "20261217-20261227",
      "20261227-20270101",
      "20270101-20270111",
    ]);
    const quarters = { type: "calendar", name: "3mo", boundaries: ["0117", "0418", "0718", "1017"] } as const;
    expect(names(quarters, "2026-01-16", "2026-04-18")).toEqual(["20251017-20260117", "20260117-20260418"]);
    expect(
      names({ type: "calendar", name: "1yr", boundaries: ["0117"] }, "2026-01-17", "2026-01-18"),
    ).toEqual(["20260117-20270117"]);
  });
});
