/** The project's own sample files: a handful of each kind that a site meets, good and bad. */
import { gzipSync } from "node:zlib";
import { damage, makeSample } from "./fitsWriter.ts";

/** Path to content. The same on every machine, but for the gzip-compressed one, whose content is the same inflated. */
export function sampleFiles(): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const day = "20260101";
  const camera = { instrument: "LSSTCam", day, seqNum: 1 } as const;
  const parts = [
    { raftBay: "R22", ccdSlot: "S11" },
    { raftBay: "R22", ccdSlot: "S12" },
    { raftBay: "R44", ccdSlot: "SW0" },
    { raftBay: "R00", ccdSlot: "SG0" },
  ];
  for (const part of parts) {
    const sample = makeSample({ ...camera, ...part });
    files.set(sample.key, sample.fits);
    files.set(sample.sidecarKey, sample.sidecar);
  }
  // Two exposures of one group, whose name holds what look-ups and file systems stumble over. Headers only.
  for (const snap of [0, 1]) {
    const group = "2026-01-01T23:21:15.857#1";
    const sample = makeSample({
      ...camera,
      seqNum: 2 + snap,
      raftBay: "R22",
      ccdSlot: "S11",
      group,
      snap,
      snaps: 2,
    });
    files.set(sample.key, sample.fits);
  }
  const latiss = makeSample({
    instrument: "LATISS",
    day,
    seqNum: 1,
    raftBay: "R00",
    ccdSlot: "S00",
    group: null,
  });
  // Compressed, but not called so: some archives do this.
  files.set(latiss.key, gzipSync(latiss.fits));
  for (const how of ["empty", "truncated", "not-fits", "no-end"] as const) {
    files.set(`bad/${how}.fits`, damage(latiss.fits, how));
  }
  files.set("bad/sidecar-not-json.fits", damage(latiss.fits, "truncated"));
  files.set("bad/sidecar-not-json.json", Buffer.from('{"INSTRUME": "LATISS", '));
  return files;
}
