/** The store of a night: for each file that lies anywhere one object of a few bytes and its sidecar, as the camera writes it. */
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeSample } from "../src/demo/fitsWriter.ts";
import type { NightPlan, PlannedFile } from "./nightPlan.ts";
import { groupOf, instrument } from "./nightPlan.ts";

/** File systems count links, ext4 up to 65,000. */
const linksMax = 50_000;

type Fields = Record<string, unknown>;

/** Real headers have twice as many keywords as a sample: without these a sidecar would be half as long as they are. */
const more: Fields = Object.fromEntries(
  Array.from({ length: 48 }, (_, i) => [
    `EXTRA${String(i).padStart(2, "0")}`,
    i % 3 === 0 ? "as real" : i / 7,
  ]),
);

/** One exposure's header; what differs between its detectors is put in by {@link sidecarText}. */
function headerOf(file: PlannedFile, day: string): Fields {
  const { sidecar } = makeSample({
    instrument,
    day,
    seqNum: file.seqNum,
    raftBay: "R22",
    ccdSlot: "S11",
    group: groupOf(file, day),
    snap: file.snap,
    pixels: 1,
  });
  return { ...(JSON.parse(Buffer.from(sidecar).toString()) as Fields), ...more };
}

function sidecarText(header: Fields, { detector, key }: PlannedFile): string {
  const [raft = "", slot = ""] = detector.split("_");
  header["RAFTBAY"] = raft;
  header["CCDSLOT"] = slot;
  header["LSST_NUM"] = `SIM-${raft}-${slot}`;
  header["FILENAME"] = key.slice(key.lastIndexOf("/") + 1);
  return JSON.stringify(header, null, 2);
}

/** Writes them below `<root>/<bucket>`. The objects are links to one: their bytes are nobody's concern here. */
export function writeNight(root: string, bucket: string, plan: NightPlan): void {
  const folder = join(root, bucket);
  mkdirSync(folder, { recursive: true });
  const headers = new Map<string, Fields>();
  let links = 0;
  let object = "";
  for (const file of plan.files) {
    if (file.fate === "lost") continue;
    let header = headers.get(file.exposure);
    if (header === undefined) {
      header = headerOf(file, plan.shape.day);
      headers.set(file.exposure, header);
      mkdirSync(dirname(join(folder, file.key)), { recursive: true });
    }
    if (links++ % linksMax === 0) {
      object = join(root, `object-${links}`);
      writeFileSync(object, "SIMPLE  =                    T");
    }
    const path = join(folder, file.key);
    linkSync(object, path);
    writeFileSync(path.replace(/\.fits$/, ".json"), sidecarText(header, file));
  }
}
