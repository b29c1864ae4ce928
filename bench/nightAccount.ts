/** What the site says of the night when it is over, beside what the plan says. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { DaySummary } from "../src/cli/tally.ts";
import { scanUnsafe } from "../src/jetstream/ledger.ts";
import type { NatsService } from "../src/jetstream/Nats.ts";
import { arrivalsConsumer } from "../src/jetstream/topology.ts";
import { arrivalsStream, ledgerBucket } from "../src/protocol/keys.ts";
import type { Expected } from "./nightPlan.ts";
import { nightLane } from "./nightSite.ts";

const pollMs = 20;

/** Waits until nothing is in the lane's queue, in a hand, due or waiting. Rejects with what is left. */
export async function untilSettled(nats: NatsService, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  for (;;) {
    const { num_pending, num_ack_pending } = await nats.jsm.consumers.info(
      arrivalsStream,
      arrivalsConsumer(nightLane),
    );
    const open = num_pending + num_ack_pending;
    let left = 0;
    if (open === 0) left = await scanUnsafe(nats, ledgerBucket, ["due.>", "waiting.>"], () => undefined);
    if (open + left === 0) return;
    if (performance.now() > end) throw new Error(`${open} in the queue and ${left} due or waiting are left`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** What `orrery stats DAY --json` prints, and how long that took, s. */
export async function statsOf(
  site: string,
  day: string,
  env: NodeJS.ProcessEnv,
): Promise<{ readonly summary: DaySummary; readonly seconds: number }> {
  const cli = join(import.meta.dirname, "..", "src", "cli.ts");
  const started = performance.now();
  const child = spawn(process.execPath, [cli, "stats", day, "--lane", nightLane, "--json", "--site", site], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  const seconds = (performance.now() - started) / 1_000;
  if (code !== 0) throw new Error(`orrery stats ended with ${code}`);
  const days = JSON.parse(text) as ReadonlyArray<DaySummary>;
  const summary = days[0];
  if (summary === undefined || days.length !== 1) throw new Error(`orrery stats told of ${days.length} days`);
  return { summary, seconds };
}

/** Each number that is not what the plan says, in words; none where the statistics are right. */
export function wrongIn(summary: DaySummary, expected: Expected): ReadonlyArray<string> {
  const { seq } = summary;
  const pairs: ReadonlyArray<readonly [string, unknown, unknown]> = [
    ["received", summary.received, expected.received],
    ["duplicates", summary.duplicates, expected.duplicates],
    ["known", summary.known, expected.known],
    ["parked", summary.parked, expected.parked],
    ["failing", summary.failing, 0],
    ["waiting", summary.waiting, 0],
    ["open", summary.open, 0],
    ["refused", summary.refused, 0],
    ["exposures", summary.exposures, expected.exposures],
    ["lowest sequence number", seq?.first, expected.firstSeq],
    ["highest sequence number", seq?.last, expected.lastSeq],
    ["gaps", seq?.gaps, expected.gaps],
    [
      "missing detectors",
      summary.incomplete.map(({ exposure, missing }) => ({ exposure, missing })),
      expected.incomplete,
    ],
  ];
  return pairs.flatMap(([what, found, wanted]) =>
    JSON.stringify(found) === JSON.stringify(wanted)
      ? []
      : [`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`],
  );
}
