import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { loadNames } from "../../../src/config/namesFile.ts";
import { importMission } from "../../../src/jobs/import.ts";
import { dayOf, dayUs, formatInstant, parseInstant } from "../../../src/jobs/instant.ts";
import { dayInName } from "../../../src/protocol/route.ts";
import { dependencyDocuments } from "../../support/imapData.ts";
import type { Product, Recognised } from "../../../src/jobs/names.ts";

const root = path.resolve(import.meta.dirname, "../../..");
const loaded = loadNames(path.join(root, "config/imap/names.yaml"));
if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems, null, 1));
const names = loaded.recogniser;

const linesOf = (file: string): ReadonlyArray<string> =>
  readFileSync(path.join(root, "test/data/imap", file), "utf8").split("\n");
const listed = linesOf("filenames.txt");
const good = listed.filter((line) => line !== "" && !line.startsWith("#"));
const real = linesOf("filenames_real_all.txt").filter((line) => line !== "" && !line.startsWith("#"));
const invalid = listed.flatMap((line) => (line.startsWith("#INVALID ") ? [line.slice(9).trim()] : []));

const at = (text: string): number => parseInstant(text) ?? Number.NaN;

function fileOf(name: string): Recognised {
  const found = names.recognise(name);
  if (!found.ok) throw new Error(`${name}: ${found.reason}`);
  return found.file;
}

function reasonOf(name: string): string {
  const found = names.recognise(name);
  return found.ok ? `is ${found.file.kind} ${found.file.dataset}` : found.reason;
}

/** `kind dataset start..end version` of a name, in one line. */
function said(name: string): string {
  const { kind, dataset, range, pointing, version } = fileOf(name);
  const when =
    pointing === null
      ? `${formatInstant(range?.start ?? Number.NaN)}..${formatInstant(range?.end ?? Number.NaN)}`
      : `repoint ${pointing}`;
  return `${kind} ${dataset} ${when} ${version.legacy ? "" : `${version.major}.`}${version.legacy ? version.major : version.minor}`;
}

function countByKind(all: ReadonlyArray<string>): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const name of all) {
    const found = names.recognise(name);
    const kind = found.ok ? found.file.kind : "refused";
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

describe("the names of the mission", () => {
  it("are all known, by kind", () => {
    expect(good).toHaveLength(669);
    expect(countByKind(good)).toEqual({
      science: 619,
      ancillary: 25,
      leapseconds: 1,
      spacecraft_clock: 1,
      planetary_ephemeris: 1,
      planetary_constants: 1,
      imap_frames: 1,
      science_frames: 1,
      attitude_history: 2,
      attitude_predicted: 1,
      pointing_attitude: 1,
      ephemeris_reconstructed: 1,
      ephemeris_predicted: 1,
      ephemeris_90days: 1,
      ephemeris_nominal: 1,
      spin: 3,
      repoint: 1,
      thruster: 1,
      metakernel: 1,
      spice_activity: 1,
      dependency: 1,
      quicklook: 1,
      release: 2,
    });
  });

  it("that were really used are all science, packets at l1a and versions of both forms among them", () => {
    expect(real).toHaveLength(935);
    expect(countByKind(real)).toEqual({ science: 935 });
    expect(real.filter((name) => /_l1a_.*\.pkts$/.test(name))).toHaveLength(13);
    expect(fileOf("imap_codice_l1a_hskp_20100101_v001.pkts").dataset).toBe("codice/l1a/hskp");
  });

  it("have as dataset, date and version what stands in them", () => {
    for (const name of [...good, ...real]) {
      const file = fileOf(name);
      if (file.kind !== "science") continue;
      // Read another way than by the pattern: names have no underscore within their parts.
      const [, source, level, descriptor, when = "", rest = ""] = name.split("_");
      expect(file.dataset).toBe(`${source}/${level}/${descriptor}`);
      expect(dayInName(name)).toBe(when.slice(0, 8));
      if (file.range !== null) expect(dayOf(file.range.start)).toBe(when.slice(0, 8));
      const repoint = /-repoint(\d+)/.exec(when)?.[1];
      expect(file.pointing).toBe(repoint === undefined ? null : Number(repoint));
      expect(file.range === null).toBe(repoint !== undefined);
      const [major = "", minor = ""] = rest.split(".");
      expect(file.version.major).toBe(Number(major.slice(1)));
      expect(file.version.legacy).toBe(!/^\d+$/.test(minor));
    }
  });

  it.each([
    ["naif0012.tls", "leapseconds leapseconds/spice/historical -..- 12"],
    ["imap_sclk_0183.tsc", "spacecraft_clock spacecraft_clock/spice/historical -..- 183"],
    [
      "imap_2026_001_2026_100_002.ah.bc",
      "attitude_history attitude_history/spice/historical 2026-01-01T00:00:00..2026-04-11T00:00:00 2",
    ],
    [
      "imap_dps_2025_121_2025_202_07.ah.bc",
      "pointing_attitude pointing_attitude/spice/historical 2025-05-01T00:00:00..2025-07-22T00:00:00 7",
    ],
    [
      "imap_pred_od025_20260303_20260414_v01.bsp",
      "ephemeris_predicted ephemeris_predicted/spice/historical 2026-03-03T00:00:00..2026-04-15T00:00:00 1",
    ],
    [
      "imap_2025_359_2025_360_10.spin.csv",
      "spin spin/spin/historical 2025-12-25T00:00:00..2025-12-27T00:00:00 10",
    ],
    [
      "imap_2026_091_01.repoint.csv",
      "repoint repoint/repoint/historical 2026-04-01T00:00:00..2026-04-02T00:00:00 1",
    ],
    [
      "imap_mag_l2-calibration_20250201_v002.cdf",
      "ancillary mag/ancillary/l2-calibration 2025-02-01T00:00:00..- 2",
    ],
    [
      "imap_mag_l2-calibration_20250101_20250201_v001.cdf",
      "ancillary mag/ancillary/l2-calibration 2025-01-01T00:00:00..2025-02-02T00:00:00 1",
    ],
    [
      "imap_swe_l0_raw_20260924_v000.0007.pkts",
      "science swe/l0/raw 2026-09-24T00:00:00..2026-09-25T00:00:00 0.7",
    ],
    [
      "imap_swe_l1a_sci_20260310_v001.0000.cdf",
      "science swe/l1a/sci 2026-03-10T00:00:00..2026-03-11T00:00:00 1.0",
    ],
    ["imap_hi_l0_raw_20260310-repoint00181_v001.pkts", "science hi/l0/raw repoint 181 1"],
    [
      "imap_glows_l3b_ion-rate-profile_20260310-cr02300_v001.0001.cdf",
      "science glows/l3b/ion-rate-profile 2026-03-10T00:00:00..2026-03-11T00:00:00 1.1",
    ],
    [
      "imap_lo_l1b_badtimes-8069f52e_20260130-repoint00142_v001.json",
      "dependency lo/dependency/l1b-badtimes-8069f52e repoint 142 1",
    ],
    [
      "imap_l1const_l2_common_20251102_v001.0008.png",
      "quicklook l1const/quicklook/l2-common 2025-11-02T00:00:00..2025-11-03T00:00:00 1.8",
    ],
  ])("%s", (name, expected) => {
    expect(said(name)).toBe(expected);
  });
});

describe("a name that is refused says why", () => {
  it("all that the mission's own validator refuses are", () => {
    expect(invalid).toHaveLength(7);
    expect(Object.fromEntries(invalid.map((name) => [name, reasonOf(name)]))).toMatchInlineSnapshot(`
      {
        "imap_mag_l0_raw_202040101_v001.pkts": "start 202040101 is no date of the form YYYYMMDD",
        "imap_mag_l1a_20210101_v001.0001.cdf": "descriptor l1a is not allowed: a level stands where the descriptor belongs",
        "imap_mag_l1a_burst_20210101-repoint0001_v001.0001.cdf": "pointing 0001 is not allowed: a repoint number has five digits",
        "imap_mag_l1a_burst_20210101_v001.0001.abc": "extension abc is not allowed at level l1a: cdf or pkts",
        "imap_sdc_l1a_burst_20210101_v001.0001.cdf": "source sdc is none of codice, glows, hi, hit, idex, lo, mag, swapi, swe, ultra, spacecraft, ialirt, l1const",
        "imap_swe_l1b_in_flight_20260310_v001.0001.cdf": "descriptor in_flight is not allowed: no underscore in a descriptor",
        "imap_taco_20251320_20260220_v01.bsp": "an ephemeris is called imap_recon_, imap_pred_, imap_90days_ or imap_nom_, start, end (YYYYMMDD) and _vNN.bsp; planets are deNNN.bsp",
      }
    `);
  });

  it.each([
    ["imap_mag_l1a_20210101_v001.cdf", "a level stands where the descriptor belongs"],
    ["imap_swe_l1a_sci_20260230_v001.0001.cdf", "start 20260230 is no date of the form YYYYMMDD"],
    ["imap_swe_l1a_sci_00990310_v001.0001.cdf", "start 00990310 is no date"],
    ["imap_2026_366_2026_366_01.spin.csv", "start 2026_366 is no date of the form YYYY_DDD"],
    ["imap_2025_359_2025_35_01.spin.csv", "end 2025_35 is no date of the form YYYY_DDD"],
    ["imap_mag_l2-calibration_20250201_20250101_v001.cdf", "it ends (20250101) before it starts"],
    ["imap_swe_l0_raw_20260310_v001.cdf", "extension cdf is not allowed at level l0: pkts"],
    ["imap_swe_l1b_sci_20260310_v001.pkts", "extension pkts is not allowed at level l1b: cdf"],
    ["imap_swe_l1x_sci_20260310_v001.cdf", "level l1x is none of l0, l1, l1a"],
    ["imap_swe_l1a_sci_20260310_v1.cdf", "version v1 is not allowed: vMMM.mmmm or the older vXXX"],
    ["imap_swe_l1a_sci_20260310_v001.001.cdf", "version v001.001 is not allowed"],
    [
      "imap_swe_l1a_sci_20260310-cr123_v001.cdf",
      "rotation 123 is not allowed: a Carrington rotation has five digits",
    ],
    ["imap_swe_l1a_sci_20260310_v001.0001.CDF", "extension CDF is not allowed"],
    ["imap_recon_2026_2027_v01.bsp", "start 2026 is no date of the form YYYYMMDD"],
    ["imap_swe_l2_common_2025_v001.png", "start 2025 is no date of the form YYYYMMDD"],
    ["imap_2026_001_2026_100_2.ah.bc", "an attitude kernel is called"],
    ["Imap_swe_l1a_sci_20260310_v001.0001.cdf", "no kind of file is named like this"],
    ["imap_swe_l1a_sci_20260310_v001.0001.cdf.part", "version v001.0001.cdf is not allowed"],
    ["", "no kind of file is named like this"],
  ])("%s: %s", (name, reason) => {
    expect(reasonOf(name)).toContain(reason);
  });
});

describe("the kind of a dataset", () => {
  it.each([
    ["swe/l1b/sci", "science"],
    ["swapi/ancillary/efficiency-lut", "ancillary"],
    ["leapseconds/spice/historical", "leapseconds"],
    ["pointing_attitude/spice/historical", "pointing_attitude"],
    ["spin/spin/historical", "spin"],
    ["repoint/repoint/historical", "repoint"],
    ["lo/l1a/spin", "science"],
    ["swe/l9/sci", null],
    ["taco/l1a/sci", null],
    ["mag/release/l1a-release", "release"],
    // Its rules say nothing of it; but no name of a release has such a word.
    ["mag/release/flat", null],
  ])("%s is %s", (dataset, kind) => {
    expect(names.kindOf(dataset)?.name ?? null).toBe(kind);
  });

  it("says how its files are chosen and what they make stale", () => {
    expect(names.kinds.get("ephemeris_predicted")).toEqual({
      name: "ephemeris_predicted",
      selection: "covering",
      makesStale: false,
      alternatives: "ephemeris",
      rangeGiven: true,
    });
    const never = [...names.kinds.values()].filter((kind) => !kind.makesStale).map((kind) => kind.name);
    expect(never).toEqual(
      expect.arrayContaining(["leapseconds", "spacecraft_clock", "ephemeris_predicted", "repoint"]),
    );
  });
});

const day = (text: string): Product["range"] => ({ start: at(text), end: at(text) + dayUs });
const first = { legacy: false, major: 1, minor: 1 };

describe("the name of a product", () => {
  const nameOf = (product: Product): string => {
    const found = names.nameOf(product);
    return found.ok ? found.file.name : `refused: ${found.reason}`;
  };

  it.each<[string, Product]>([
    [
      "imap_swe_l1a_sci_20260310_v001.0001.cdf",
      { kind: "science", dataset: "swe/l1a/sci", range: day("2026-03-10"), pointing: null, version: first },
    ],
    [
      "imap_hi_l1a_45sensor-de_20260407-repoint00209_v001.0001.cdf",
      {
        kind: "science",
        dataset: "hi/l1a/45sensor-de",
        range: { start: at("2026-04-07T10:03:23.673469"), end: at("2026-04-07T19:55:29.642514") },
        pointing: 209,
        version: first,
      },
    ],
    [
      "imap_dps_2026_069_2026_071_07.ah.bc",
      {
        kind: "pointing_attitude",
        dataset: "pointing_attitude/spice/historical",
        range: { start: at("2026-03-10T06:00:00"), end: at("2026-03-12T18:00:00") },
        pointing: null,
        version: { legacy: false, major: 1, minor: 7 },
      },
    ],
    [
      "imap_glows_e-dens_20260310_v003.dat",
      {
        kind: "ancillary",
        dataset: "glows/ancillary/e-dens",
        range: day("2026-03-10"),
        pointing: null,
        version: { legacy: false, major: 1, minor: 3 },
      },
    ],
    [
      "refused: its name would be imap_swe_l1a_sci_20260310_v001.10000.cdf, which is no good one: version v001.10000 is not allowed: vMMM.mmmm or the older vXXX",
      {
        kind: "science",
        dataset: "swe/l1a/sci",
        range: day("2026-03-10"),
        pointing: null,
        version: { legacy: false, major: 1, minor: 10_000 },
      },
    ],
    [
      "refused: its name would be imap_dps_2026_069_2026_069_01.ah.bc, which says pointing_attitude pointing_attitude/spice/historical, no pointing, v001",
      {
        kind: "pointing_attitude",
        dataset: "pointing_attitude/spice/historical",
        range: day("2026-03-10"),
        pointing: 209,
        version: first,
      },
    ],
    [
      "refused: files of kind spin are not made by jobs",
      {
        kind: "spin",
        dataset: "spin/spin/historical",
        range: day("2026-03-10"),
        pointing: null,
        version: first,
      },
    ],
    [
      "refused: data set swe/l1a is none of kind science ({source}/{level}/{descriptor})",
      { kind: "science", dataset: "swe/l1a", range: day("2026-03-10"), pointing: null, version: first },
    ],
    [
      "refused: no kind of file is called picture",
      { kind: "picture", dataset: "swe/l1a/sci", range: day("2026-03-10"), pointing: null, version: first },
    ],
  ])("%s", (expected, product) => {
    expect(nameOf(product)).toBe(expected);
  });

  it("of each file of the current form is that file's name", () => {
    let named = 0;
    for (const name of good) {
      const file = fileOf(name);
      if (file.kind !== "science" || file.version.legacy) continue;
      const range = day(name.replace(/^.*_(\d{4})(\d\d)(\d\d).*_v.*$/, "$1-$2-$3"));
      expect(nameOf({ ...file, range })).toBe(name);
      named += 1;
    }
    expect(named).toBe(455);
  });

  it("can be made for every output of the mission, and every input has a kind", () => {
    const edges = importMission(dependencyDocuments()).mission.flatMap(({ partition, inputs, outputs }) => [
      ...inputs.map((one) => ({ partition, direction: "IN", ...one })),
      ...outputs.map((one) => ({ partition, direction: "OUT", ...one })),
    ]);
    const made: Record<string, number> = {};
    for (const { partition, direction, source, dataType, descriptor } of edges) {
      // Two words of the mission for the same files.
      const dataset = `${source}/${dataType}/${descriptor === "best" ? "historical" : descriptor}`;
      const kind = names.kindOf(dataset);
      if (kind === null) throw new Error(`${dataset} has no kind`);
      made[`${direction} ${kind.name}`] = (made[`${direction} ${kind.name}`] ?? 0) + 1;
      if (direction !== "OUT") continue;
      const pointing = partition === "repoint" && kind.name === "science" ? 181 : null;
      const product = { kind: kind.name, dataset, range: day("2026-03-10"), pointing, version: first };
      expect(nameOf(product)).not.toContain("refused");
    }
    expect(Object.values(made).reduce((sum, count) => sum + count, 0)).toBe(2_333 + 467);
    expect(made).toMatchObject({ "OUT science": 455, "OUT ancillary": 12, "IN spin": 70, "IN repoint": 75 });
  });

  const word = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/);
  const version = fc.record({
    legacy: fc.constant(false),
    major: fc.integer({ min: 0, max: 999 }),
    minor: fc.integer({ min: 0, max: 9_999 }),
  });
  const start = fc
    .integer({ min: Date.UTC(1970, 0, 1) / 86_400_000, max: Date.UTC(2199, 11, 31) / 86_400_000 })
    .map((days) => days * dayUs);

  it("of science is what the recogniser reads back", () => {
    const levels = ["l0", "l1a", "l1b", "l1c", "l2", "l3", "l3e"];
    fc.assert(
      fc.property(
        fc.constantFrom("swe", "mag", "spacecraft"),
        fc.constantFrom(...levels),
        word,
        start,
        fc.option(fc.integer({ min: 0, max: 99_999 })),
        version,
        (source, level, descriptor, begin, pointing, made) => {
          const product: Product = {
            kind: "science",
            dataset: `${source}/${level}/${descriptor}`,
            range: { start: begin, end: begin + dayUs },
            pointing,
            version: made,
          };
          const found = names.nameOf(product);
          if (!found.ok) throw new Error(found.reason);
          const { name, ...back } = fileOf(found.file.name);
          expect(name).toBe(found.file.name);
          expect(back).toEqual({ ...product, range: pointing === null ? product.range : null });
        },
      ),
    );
  });

  it("of a kernel covers the days that it was asked to", () => {
    fc.assert(
      fc.property(
        start,
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 0, max: 99 }),
        (begin, days, minor) => {
          const range = { start: begin, end: begin + days * dayUs };
          const found = names.nameOf({
            kind: "pointing_attitude",
            dataset: "pointing_attitude/spice/historical",
            range,
            pointing: null,
            version: { legacy: false, major: 1, minor },
          });
          if (!found.ok) throw new Error(found.reason);
          expect(fileOf(found.file.name).range).toEqual(range);
          expect(fileOf(found.file.name).version).toEqual({ legacy: true, major: minor, minor: 0 });
        },
      ),
    );
  });
});
