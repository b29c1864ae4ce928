import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import { describe, expect, it } from "vitest";
import { cephRecord, namelessRecord } from "../../../src/demo/ceph.ts";
import type { Night, PlannedObject } from "../../../src/demo/nightPlan.ts";
import {
  nextNight,
  nightBucket,
  obsDayOf,
  otherContent,
  planExposure,
  planStrays,
} from "../../../src/demo/nightPlan.ts";
import { identityFromHeader, rubinIdentity } from "../../../src/protocol/identity.ts";
import { readNotification } from "../../../src/protocol/notification.ts";
import { makeMemoryStorage } from "../../../src/storage/memory.ts";
import { readMetadata } from "../../../src/storage/metadata.ts";

const night: Night = {
  day: "20260714",
  seed: 1,
  needed: ["R21_S11", "R22_S01", "R22_S11", "R22_S21", "R23_S11"],
};
const exposures = Array.from({ length: 10 }, (_, i) => planExposure(night, i + 1));
const objects = exposures.flatMap((exposure) => [...exposure.early, ...exposure.objects]);

/** What an ingester would say of it. */
async function judged(object: PlannedObject): Promise<string> {
  const { fits, sidecar } = object.content();
  const storage = makeMemoryStorage([object.bucket]);
  if (fits !== null) await Effect.runPromise(storage.write(object.bucket, object.key, fits));
  if (sidecar !== null) await Effect.runPromise(storage.write(object.bucket, object.sidecarKey, sidecar));
  const read = await Effect.runPromise(Effect.result(readMetadata(storage, object.bucket, object.key)));
  if (Result.isFailure(read)) return read.failure._tag;
  const identity = identityFromHeader(read.success.fields, rubinIdentity);
  if (Result.isFailure(identity)) return identity.failure._tag;
  const { group, snap, detector } = identity.success;
  if (object.group !== null) {
    expect({ group, snap, detector }).toEqual({
      group: object.group.group,
      snap: object.group.snap,
      detector: object.group.detector,
    });
  }
  return "known";
}

describe("the plan of a night", () => {
  it("is the same for the same day and seed, and another for another", () => {
    const [first] = planExposure(night, 1).objects;
    const [again] = planExposure(night, 1).objects;
    const [other] = planExposure({ ...night, seed: 2 }, 1).objects;
    expect(first?.content().etag).toBe(again?.content().etag);
    expect(first?.content().etag).not.toBe(other?.content().etag);
    expect(first?.key).toBe(other?.key);
  });

  it("says of each file what the headers and sidecars really lead to", async () => {
    for (const object of objects.filter((one) => !one.late)) {
      const wanted = object.expected.state === "known" ? "known" : object.expected.reason;
      expect([object.key, await judged(object)]).toEqual([object.key, wanted]);
    }
  });

  it("holds every kind of trouble within eight exposures", () => {
    const reasons = exposures
      .slice(0, 8)
      .flatMap(({ objects: all }) => all)
      .flatMap(({ expected }) => (expected.state === "parked" ? [expected.reason] : []));
    expect(reasons.sort()).toEqual([
      "EmptyFile",
      "HeaderUnreadable",
      "MetadataIncomplete",
      "NoMetadata",
      "ObjectMissing",
      "SidecarUnreadable",
    ]);
    expect(objects.filter(({ late }) => late)).toHaveLength(1);
    expect(exposures.filter(({ complete }) => !complete).map(({ seqNum }) => seqNum)).toEqual([5]);
    expect(exposures.some(({ early }) => early.length > 0)).toBe(true);
    expect(objects.some(({ times }) => times > 1)).toBe(true);
  });

  it("has two snaps in some groups, whose names hold what must be escaped", () => {
    const groups = exposures.map(({ objects: [first] }) => first?.group ?? null);
    expect(groups[0]?.group).toBe(groups[1]?.group);
    expect([groups[0]?.snap, groups[1]?.snap]).toEqual([0, 1]);
    expect(groups[0]?.group).toMatch(/^2026-07-14T23:19:57\.857#1$/);
    expect(groups[2]?.group).not.toBe(groups[1]?.group);
    expect(new Set(objects.map(({ key }) => key)).size).toBe(objects.length);
  });

  it("counts the science detectors that will be known", () => {
    expect(exposures.map(({ science }) => science)).toEqual([9, 8, 8, 8, 8, 8, 8, 9, 9, 9]);
  });

  it("has strays that belong to no exposure", () => {
    expect(planStrays(night).map(({ expected }) => expected)).toEqual([
      { state: "parked", reason: "ExposureNeverCame" },
      { state: "parked", reason: "KeyNotUnderstood" },
      { state: "parked", reason: "UnknownBucket" },
    ]);
  });

  it("changes content to other content", () => {
    const object = objects.find(({ expected }) => expected.state === "known" && expected.refused);
    expect(object).toBeDefined();
    if (object === undefined) return;
    const [before, after] = [object.content(), otherContent(object)];
    expect(after.etag).not.toBe(before.etag);
    expect(after.fits?.length).toBe(before.fits?.length);
  });
});

describe("the day of a night", () => {
  it("begins at noon UTC", () => {
    expect(obsDayOf(Date.parse("2026-07-15T11:59:59Z"))).toBe("20260714");
    expect(obsDayOf(Date.parse("2026-07-15T12:00:00Z"))).toBe("20260715");
  });

  it("is tonight, or the first that was never played", () => {
    const now = Date.parse("2026-12-31T20:00:00Z");
    expect(nextNight([], now)).toBe("20261231");
    expect(nextNight(["20261230", "notes"], now)).toBe("20261231");
    expect(nextNight(["20261230", "20261231"], now)).toBe("20270101");
    expect(nextNight(["20270228"], now)).toBe("20270301");
  });
});

describe("a notification in Ceph's shape", () => {
  it.each(["a/b.fits", "a b+c/50%#1:2.fits", "ü/é.fits"])("is read as the same object: %s", (key) => {
    const body: unknown = JSON.parse(
      JSON.stringify({ Records: [cephRecord({ bucket: nightBucket, key, size: 7, etag: "e", at: 1 })] }),
    );
    const read = readNotification(body, 10);
    expect(read).toMatchObject({
      type: "records",
      records: [{ type: "created", bucket: nightBucket, key, size: 7, etag: "e", secret: "" }],
    });
  });

  it("without an object's name is malformed, and keeps its mark", () => {
    const read = readNotification({ Records: [namelessRecord(nightBucket, "mark-1")] }, 10);
    expect(read).toMatchObject({ records: [{ type: "malformed" }] });
    expect(JSON.stringify(read)).toContain("mark-1");
  });
});
