import { gunzipSync } from "node:zlib";
import * as Result from "effect/Result";
import { describe, expect, test } from "vitest";
import { makeSample } from "../../src/demo/fitsWriter.ts";
import { isGzip, parseFitsHeader } from "../../src/protocol/fits.ts";
import type {
  HeaderFields,
  HeaderIdentity,
  IdentityRules,
  MetadataIncomplete,
} from "../../src/protocol/identity.ts";
import {
  exposureNumber,
  genericIdentity,
  identityFromHeader,
  rubinIdentity,
} from "../../src/protocol/identity.ts";
import { parseSidecar } from "../../src/storage/metadata.ts";
import { haveRubinData, rubinFiles } from "../support/rubinData.ts";

function identity(header: HeaderFields, rules?: IdentityRules): HeaderIdentity {
  return Result.getOrThrow(identityFromHeader(header, rules));
}

function fault(header: HeaderFields, rules?: IdentityRules): MetadataIncomplete {
  return Result.getOrThrow(Result.flip(identityFromHeader(header, rules)));
}

const base = {
  INSTRUME: "lsstCam",
  DAYOBS: "20250415",
  SEQNUM: 228,
  OBSID: "MC_O_20250415_000228",
  CONTRLLR: "O",
  GROUPID: "2025-04-16T07:03:14.565#1",
  CURINDEX: 2,
  RAFTBAY: "R22",
  CCDSLOT: "S11",
} as const;

describe("by Rubin's rules", () => {
  test("a whole header", () => {
    const header = {
      ...base,
      FILTER: "i_39",
      IMGTYPE: "OBJECT",
      REASON: "Field_Survey",
      EXPTIME: 30,
      "DATE-BEG": "2025-04-16T07:03:18.052",
      "DATE-OBS": "not this one",
      "DATE-END": "2025-04-16T07:03:48.994",
    };
    expect(identity(header)).toEqual({
      instrument: "LSSTCam",
      day: "20250415",
      seqNum: 228,
      exposureId: "2025041500228",
      obsId: "MC_O_20250415_000228",
      controller: "O",
      group: "2025-04-16T07:03:14.565#1",
      groupFromHeader: true,
      snap: 1,
      detector: "R22_S11",
      physicalFilter: "i_39",
      observationType: "science",
      reason: "field_survey",
      exposureSeconds: 30,
      begin: "2025-04-16T07:03:18.052",
      end: "2025-04-16T07:03:48.994",
    });
  });

  test.each([
    ["lsstCam", "LSSTCam"],
    ["LSSTCAM", "LSSTCam"],
    ["latiss", "LATISS"],
    ["LSST_ATISS", "LATISS"],
    ["ComCam", "LSSTComCam"],
    ["LSSTComCam", "LSSTComCam"],
    ["ComCamSim", "LSSTComCamSim"],
    ["lsstcomcamsim", "LSSTComCamSim"],
    ["lsst-ts8", "LSST-TS8"],
  ])("instrument %s is %s", (given, canonical) => {
    expect(identity({ ...base, INSTRUME: given }).instrument).toBe(canonical);
  });

  test.each(["HSC", "constructor", "__proto__"])(
    "instrument %s is refused, with the names there are",
    (given) => {
      const error = fault({ ...base, INSTRUME: given });
      expect(error.invalid).toEqual([expect.stringContaining("LSSTCam")]);
      expect(error.message).toContain(given);
    },
  );

  test("each field that is missing is named, all at once", () => {
    expect(fault({}).missing).toEqual(["INSTRUME", "DAYOBS", "SEQNUM", "OBSID", "RAFTBAY_CCDSLOT"]);
    expect(fault({ ...base, SEQNUM: null, OBSID: "  " }).missing).toEqual(["SEQNUM", "OBSID"]);
    expect(fault({ ...base, CCDSLOT: undefined }).message).toContain("RAFTBAY_CCDSLOT");
  });

  test.each([
    ["DAYOBS", "2025"],
    ["DAYOBS", "20251301"],
    ["DAYOBS", "tomorrow"],
    ["SEQNUM", -1],
    ["SEQNUM", 1.5],
    ["SEQNUM", "abc"],
    ["SEQNUM", 100_000],
    ["CURINDEX", 0],
    ["CURINDEX", "one"],
    ["CONTRLLR", "X"],
    ["CONTRLLR", "OC"],
  ])("%s of %j is unusable, and not called missing", (field, value) => {
    const error = fault({ ...base, [field]: value });
    expect(error.missing).toEqual([]);
    expect(error.invalid).toEqual([expect.stringContaining(field)]);
  });

  test.each([
    ["20250415", 228, "O", "2025041500228"],
    ["20250415", 228, null, "2025041500228"],
    ["20190319", 1, "C", "3019031900001"],
    ["20231004", 1, "C", "3023100400001"],
    ["20231005", 1, "C", "2023100500001"],
    ["20200101", 7, "H", "4020010100007"],
    ["20260101", 7, "H", "4026010100007"],
    ["20240101", 7, "P", "5024010100007"],
    ["20240101", 7, "Q", "6024010100007"],
    ["20240101", 7, "S", "7024010100007"],
    ["20250417", 7, "S", "7025041700007"],
    ["20250418", 7, "S", "2025041800007"],
    ["20240101", 100_000, "O", null],
    ["20240101", 1, "Z", null],
  ])("exposure of %s, %i by %s is %s", (day, seqNum, controller, id) => {
    expect(exposureNumber(day, seqNum, controller)).toBe(id);
  });

  test("numbers may be text, days may be dates", () => {
    const header = { ...base, SEQNUM: "00228", CURINDEX: "2", DAYOBS: "2025-04-15T00:00:00" };
    expect(identity(header)).toMatchObject({
      seqNum: 228,
      snap: 1,
      day: "20250415",
      exposureId: "2025041500228",
    });
  });

  test("no group: the exposure is its own; no index: the first", () => {
    for (const GROUPID of [null, undefined, ""]) {
      const read = identity({ ...base, GROUPID, CURINDEX: null });
      expect(read).toMatchObject({ group: "2025041500228", groupFromHeader: false, snap: 0 });
    }
  });

  test("LATISS has one detector, said or not; others must say", () => {
    const silent = { ...base, RAFTBAY: null, CCDSLOT: null };
    expect(identity({ ...silent, INSTRUME: "LATISS" }).detector).toBe("R00_S00");
    expect(fault(silent).missing).toEqual(["RAFTBAY_CCDSLOT"]);
  });

  test.each([
    ["LSSTCam", { FILTER: "r_57" }, "r_57"],
    ["LSSTCam", { FILTER: "ph_5", FILTER1: "empty", FILTER2: "empty" }, "ph_5"],
    ["LSSTCam", { FILTER: "empty_2", FILTER1: "ND_OD0.5", FILTER2: null }, "empty~ND_OD0.5"],
    ["LSSTCam", {}, "unknown"],
    ["LSSTCam", { FILTER: "empty" }, "empty"],
    ["LATISS", { FILTER: "SDSSr_65mm", GRATING: "empty_1" }, "SDSSr_65mm~empty"],
    ["LATISS", { FILTER: "RG610", GRATING: "ronchi90lpmm" }, "RG610~ronchi90lpmm"],
    ["LATISS", { FILTER: null, GRATING: null }, "unknown~unknown"],
  ])("filter of %s with %j is %s", (INSTRUME, fields, filter) => {
    expect(identity({ ...base, INSTRUME, ...fields }).physicalFilter).toBe(filter);
  });

  test.each([
    [{ IMGTYPE: "SKYEXP" }, "science"],
    [{ IMGTYPE: "BIAS" }, "bias"],
    [{}, null],
  ])("observation type of %j is %s", (fields, type) => {
    expect(identity({ ...base, ...fields }).observationType).toBe(type);
  });

  test("REASON, else TESTTYPE, in lower case", () => {
    expect(identity({ ...base, REASON: "INTRA", TESTTYPE: "CWFS" }).reason).toBe("intra");
    expect(identity({ ...base, REASON: null, TESTTYPE: "CWFS" }).reason).toBe("cwfs");
    expect(identity(base).reason).toBeNull();
  });

  test("the samples that this project makes", () => {
    const sample = makeSample({
      instrument: "LSSTCam",
      day: "20260101",
      seqNum: 5,
      raftBay: "R01",
      ccdSlot: "S20",
      snap: 1,
    });
    const parsed = parseFitsHeader(sample.fits);
    if (parsed._tag !== "Complete") throw new Error(parsed._tag);
    const read = identity(parsed.header.record);
    expect(read).toMatchObject({
      instrument: "LSSTCam",
      day: "20260101",
      seqNum: 5,
      snap: 1,
      detector: "R01_S20",
    });
    expect(identity(Result.getOrThrow(parseSidecar("", sample.sidecar)))).toEqual(read);
  });
});

describe("by rules of one's own", () => {
  test("the generic preset asks for an instrument and an exposure", () => {
    const header = {
      INSTRUME: "HSC",
      "DATE-OBS": "2024-05-06T07:08:09",
      EXPID: 42,
      IMAGETYP: "Light",
      DETECTOR: "1_53",
    };
    expect(identity(header, genericIdentity)).toMatchObject({
      instrument: "HSC",
      day: "20240506",
      exposureId: "42",
      group: "42",
      snap: 0,
      detector: "1_53",
      observationType: "science",
    });
    expect(fault({}, genericIdentity).missing).toEqual(["INSTRUME", "EXPID|EXPNUM|OBSID|OBS_ID"]);
  });

  test("fields are named by the rules alone", () => {
    const rules: IdentityRules = {
      ...rubinIdentity,
      instrument: ["DETNAM"],
      instruments: { wide: "Wide" },
      group: ["BLOCK ID"],
      snap: { fields: ["FRAME"], first: 0 },
      detector: { fields: ["CHIP"], only: {} },
    };
    const header = { ...base, DETNAM: "WIDE", "BLOCK ID": "b/7", FRAME: 0, CHIP: "c3" };
    expect(identity(header, rules)).toMatchObject({
      instrument: "Wide",
      group: "b/7",
      snap: 0,
      detector: "c3",
    });
    expect(fault({ ...header, CHIP: null }, rules).missing).toEqual(["CHIP"]);
  });
});

/** What each real file is, worked out by hand from its header and the observatory's rules. */
const real: Readonly<Record<string, readonly [string, string, string | null, number, string, string]>> = {
  "MC_C_20240918_000013_R00_SG0_guider.json": ["LSSTCam", "2024091800013", null, 0, "R00_SG0", "ef_43"],
  "MC_C_20240918_000013_R42_S11.json": ["LSSTCam", "2024091800013", null, 0, "R42_S11", "ef_43"],
  "comCamSim-CC_S_20240321_000093_R22_S22.json": [
    "LSSTComCamSim",
    "2026032100093",
    "2024-03-22T03:41:54.994",
    0,
    "R22_S22",
    "r_03",
  ],
  "latiss-AT_C_20220426_000004_R00_S00.json": [
    "LATISS",
    "3022042600004",
    null,
    0,
    "R00_S00",
    "unknown~unknown",
  ],
  "latiss-AT_O_20210210_000011.json": [
    "LATISS",
    "2021021000011",
    "2021-02-10T19:01:55.880",
    0,
    "R00_S00",
    "RG610~ronchi90lpmm",
  ],
  "latiss-AT_O_20220405_000348.json": [
    "LATISS",
    "2022040500348",
    "2022-04-06T02:58:07.181",
    0,
    "R00_S00",
    "SDSSr~empty",
  ],
  "latiss-AT_O_20240624_000106_R00_S00.json": [
    "LATISS",
    "2024062400106",
    "2024-06-25T01:26:31.895#1",
    0,
    "R00_S00",
    "SDSSr_65mm~empty",
  ],
  "latiss-future-bad.json": ["LATISS", "2020032900022", "ABCDEF", 0, "R00_S00", "unknown~unknown"],
  "lsstCam-MC_C_20190319_000001_R10_S02.json": ["LSSTCam", "3019031900001", null, 0, "R10_S02", "unknown"],
  "lsstCam-MC_C_20250425_000031_R01_S01.json": ["LSSTCam", "2025042500031", null, 0, "R01_S01", "unknown"],
  "lsstCam-MC_O_20250415_000060_R01_S01.json": [
    "LSSTCam",
    "2025041500060",
    "2025-04-16T00:53:10.143",
    0,
    "R01_S01",
    "i_39",
  ],
  "lsstCam-MC_O_20250415_000228_R10_S20.json": [
    "LSSTCam",
    "2025041500228",
    "2025-04-16T07:03:14.565#1",
    0,
    "R10_S20",
    "i_39",
  ],
  "lsstCam-MC_O_20250422_000250_R01_S01.json": [
    "LSSTCam",
    "2025042200250",
    "2025-04-23T03:52:21.287",
    0,
    "R01_S01",
    "r_57",
  ],
  "lsstCam-MC_O_20250609_000578_R01_S01.json": [
    "LSSTCam",
    "2025060900578",
    "2025-06-10T07:31:26.692",
    0,
    "R01_S01",
    "y_10",
  ],
  "lsstCam-MC_O_20251121_000156_R44_SW0.json": [
    "LSSTCam",
    "2025112100156",
    "2025-11-22T03:25:16.951",
    0,
    "R44_SW0",
    "i_39",
  ],
  // The exposure number is in this file's own name.
  "3019031900001-R10-S02-det029.fits": ["LSSTCam", "3019031900001", null, 0, "R10_S02", "unknown"],
  "CC_S_20240404_000780_R22_S01.fits": [
    "LSSTComCamSim",
    "7024040400780",
    "2024-04-05T10:10:47.192",
    0,
    "R22_S01",
    "r_03",
  ],
  "MC_C_20240918_000013_R00_SG0_guider.fits": ["LSSTCam", "2024091800013", null, 0, "R00_SG0", "ef_43"],
};

describe.skipIf(!haveRubinData)("real headers", () => {
  const headerOf = (file: Uint8Array): HeaderFields => {
    const parsed = parseFitsHeader(isGzip(file) ? gunzipSync(file) : file);
    if (parsed._tag !== "Complete") throw new Error(parsed._tag);
    expect(parsed.header.problems).toEqual([]);
    return parsed.header.record;
  };
  const headers = new Map<string, HeaderFields>();
  for (const [name, bytes] of rubinFiles("sidecars"))
    headers.set(name, Result.getOrThrow(parseSidecar(name, bytes)));
  for (const [name, bytes] of rubinFiles("fits")) headers.set(name, headerOf(bytes));

  test("every file is looked at", () => {
    expect([...headers.keys()].sort()).toEqual(Object.keys(real).sort());
  });

  test.each(Object.entries(real))("%s", (name, [instrument, exposureId, group, snap, detector, filter]) => {
    expect(identity(headers.get(name) ?? {})).toMatchObject({
      instrument,
      exposureId,
      group: group ?? exposureId,
      groupFromHeader: group !== null,
      snap,
      detector,
      physicalFilter: filter,
    });
  });

  test("a guider's header says card by card what the observatory's own sidecar says", () => {
    const {
      CHECKSUM: _a,
      DATASUM: _b,
      ...header
    } = headers.get("MC_C_20240918_000013_R00_SG0_guider.fits") ?? {};
    const {
      CHECKSUM: _c,
      DATASUM: _d,
      ...sidecar
    } = headers.get("MC_C_20240918_000013_R00_SG0_guider.json") ?? {};
    expect(header).toEqual(sidecar);
    expect(Object.keys(header).length).toBeGreaterThan(90);
  });
});
