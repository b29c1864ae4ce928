import * as fc from "fast-check";
import { expect, test } from "vitest";
import { inClaims } from "../../../src/actors/inClaims.ts";
import { claimItemsMax, etagBytesMax, messageBytesMax, subjectBytesMax } from "../../../src/limits.ts";
import type { ClaimSlot } from "../../../src/protocol/records.ts";
import { encodeJson } from "../../../src/protocol/records.ts";

const slotOf = (items: ReadonlyArray<{ readonly key: string; readonly etag: string }>): ClaimSlot => ({
  v: 1,
  state: "claimed",
  id: "epoch-of-a-node.lane-with-a-name-15.4294967296",
  epoch: "epoch-of-a-node",
  since: "2026-11-21T20:00:00.000Z",
  items: items.map(({ key, etag }) => ({
    record: key,
    etag,
    generation: Number.MAX_SAFE_INTEGER,
    sequence: Number.MAX_SAFE_INTEGER,
  })),
  triedTo: Number.MAX_SAFE_INTEGER,
});

test("the longest names that stores grant do not make a claim larger than a message", () => {
  const worst = Array.from({ length: claimItemsMax }, () => ({
    key: "k".repeat(subjectBytesMax),
    etag: "\u0001".repeat(etagBytesMax),
  }));
  expect(encodeJson(slotOf(worst)).length).toBeGreaterThan(messageBytesMax);
  for (const claim of inClaims(worst)) expect(encodeJson(slotOf(claim)).length).toBeLessThan(messageBytesMax);
});

test("a usual take is one claim", () => {
  const usual = Array.from({ length: claimItemsMax }, (_, i) => ({
    key: `file.lsstcam.20251121.rubin-summit/LSSTCam/20251121/MC_O_20251121_000157/MC_O_20251121_000157_R22_S${i}.fits`,
    etag: "d41d8cd98f00b204e9800998ecf8427e-12",
  }));
  expect(inClaims(usual)).toEqual([usual]);
});

test("every item goes into one claim, in order, and each fits", () => {
  const length = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
  const item = fc.record({
    key: length(subjectBytesMax).map((n) => "k".repeat(n)),
    etag: length(etagBytesMax).map((n) => "\u0001".repeat(n)),
  });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 2 * claimItemsMax, size: "max" }), (items) => {
      const claims = inClaims(items);
      expect(claims.flat()).toEqual(items);
      for (const claim of claims) {
        expect(claim.length).toBeGreaterThan(0);
        expect(claim.length).toBeLessThanOrEqual(claimItemsMax);
        expect(encodeJson(slotOf(claim)).length).toBeLessThan(messageBytesMax);
      }
    }),
    { numRuns: 20 },
  );
});
