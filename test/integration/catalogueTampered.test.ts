/** Values of a mission's ledger that somebody wrote over by hand, or whose day was purged: nothing else may stop, and it goes on itself. */
import { afterEach, describe, expect, it } from "vitest";
import { scanUnsafe } from "../../src/jetstream/ledger.ts";
import { commitUnsafe, ledgerPut } from "../../src/jetstream/transaction.ts";
import { jobOrNull } from "../../src/protocol/jobs.ts";
import { jobKey, kvStream, kvSubject, ledgerBucket } from "../../src/protocol/keys.ts";
import { partitionName } from "../../src/protocol/runs.ts";
import type { Mission } from "../support/missionSite.ts";
import { sendFiles, startMission } from "../support/missionSite.ts";
import type { TestSite } from "../support/testSite.ts";
import { startSite, until } from "../support/testSite.ts";

let mission: Mission | null = null;
let again: TestSite | null = null;

afterEach(async () => {
  await again?.stop();
  await mission?.stop();
  mission = null;
  again = null;
});

const l1a = "swe/l1a/all";
const l1b = "swe/l1b/sci";
const constants = [
  "naif0012.tls",
  "imap_sclk_0183.tsc",
  "imap_swe_l1b-in-flight-cal_20250101_v001.csv",
  "imap_swe_esa-lut_20250101_v001.csv",
  "imap_swe_eu-conversion_20250101_v001.csv",
];
const raw = (day: string, version = 1): string => `imap_swe_l0_raw_${day}_v00${version}.pkts`;
const keyOf = (job: string, day: string): string => jobKey(job, day, `swe/${day}`);

async function overwrite({ node }: TestSite, key: string, text: string): Promise<void> {
  const answer = await commitUnsafe(node.context.nats, "by hand", [ledgerPut(key, Buffer.from(text))], 5_000);
  if ("_tag" in answer) throw answer;
}

async function keysLike({ node }: TestSite, filter: string, part: string): Promise<ReadonlyArray<string>> {
  const keys: Array<string> = [];
  await scanUnsafe(node.context.nats, ledgerBucket, [filter], ({ key }) => void keys.push(key));
  return keys.filter((key) => key.includes(part));
}

/** State and version of each job and partition; what cannot be read is left out. */
async function standing({ node }: TestSite): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  await scanUnsafe(node.context.nats, ledgerBucket, ["job.>"], ({ key, data }) => {
    const job = jobOrNull(key, data);
    if (job !== null)
      found[`${job.job} ${partitionName(job.partition)}`] = `${job.state} ${job.catalogue?.minor ?? 0}`;
  });
  return found;
}

const made = (site: TestSite, wanted: Readonly<Record<string, string>>) =>
  until(
    () => standing(site),
    (found) => Object.entries(wanted).every(([of, state]) => found[of] === state),
  );

describe("a ledger that was written over by hand", () => {
  it("has its jobs' records put right, and tells of all others meanwhile", async () => {
    mission = await startMission({ jobs: [l1a, l1b] });
    const { site } = mission;
    await mission.send([...constants, raw("20260310"), raw("20260311")]);
    await made(site, { [`${l1b} 20260310`]: "done 1", [`${l1b} 20260311`]: "done 1" });
    await overwrite(site, keyOf(l1b, "20260310"), "{no json");
    await overwrite(site, keyOf(l1a, "20260311"), '{"v":1}');
    await overwrite(site, "order.any.thing", "[]");
    await overwrite(site, "redo.any", "{}");
    await mission.send([raw("20260310", 2), raw("20260311", 2), raw("20260312")]);
    await made(site, {
      [`${l1a} 20260310`]: "done 2",
      [`${l1b} 20260310`]: "done 2",
      [`${l1a} 20260311`]: "done 2",
      [`${l1b} 20260311`]: "done 2",
      [`${l1b} 20260312`]: "done 1",
    });
    const told = site.log.filter(({ message }) => message.startsWith("ledger key "));
    expect(told.map(({ level }) => level)).toEqual(["error", "error", "error", "error"]);
  });

  it("counts a run that cannot be read as failed, and makes the partition anew when its input changes", async () => {
    mission = await startMission({ jobs: [l1a, l1b] });
    await mission.send([...constants, raw("20260310"), raw("20260311")]);
    await made(mission.site, { [`${l1b} 20260310`]: "done 1", [`${l1b} 20260311`]: "done 1" });
    const [run = ""] = await keysLike(mission.site, "run.>", "/l1a/all/swe/20260310/");
    await overwrite(mission.site, run, "nothing");
    await made(mission.site, { [`${l1a} 20260310`]: "failed 1" });
    await mission.site.stop();
    again = await startSite(mission.files.text);
    await sendFiles(again, mission.files.bucket, [raw("20260312")]);
    await made(again, { [`${l1a} 20260310`]: "failed 1", [`${l1b} 20260312`]: "done 1" });
    await sendFiles(again, mission.files.bucket, [raw("20260310", 2)]);
    await made(again, { [`${l1a} 20260310`]: "done 2", [`${l1b} 20260310`]: "done 2" });
  });

  it("writes a partition's record again whose day was purged", async () => {
    mission = await startMission({ jobs: [l1a, l1b] });
    const { site } = mission;
    await mission.send([...constants, raw("20260310")]);
    await made(site, { [`${l1b} 20260310`]: "done 1" });
    await site.node.context.nats.jsm.streams.purge(kvStream(ledgerBucket), {
      filter: kvSubject(ledgerBucket, "job.*.20260310.>"),
    });
    await mission.send([raw("20260310", 2)]);
    await made(site, { [`${l1a} 20260310`]: "done 2", [`${l1b} 20260310`]: "done 2" });
  });
});
