/** What a test tells a runner process. */
import type { RunnerJob } from "../../src/actors/runJob.ts";

/** Points of a run's life: after each of them one thing more stands, and the process is gone. */
export const killPoints = ["claimed", "running", "uploaded", "marked", "settled"] as const;

/** Given to the process as one JSON file. */
export interface RunnerPlan {
  readonly server: string;
  readonly node: string;
  readonly killAt: (typeof killPoints)[number] | null;
  /** Root of the storage, folder for scratch, file to which announcements are appended. */
  readonly storage: string;
  readonly scratch: string;
  readonly announced: string;
  /** Folder in which the command notes each of its lives. */
  readonly notes: string;
  /** How many outputs its runs have. */
  readonly outputs: number;
}

/** Writes what it is to make, each file with its own name in it, and notes that it has run. */
const script = `echo "$ORRERY_ATTEMPT" >> "$NOTES/ran"
if test "$KILL" = running; then kill -9 "$RUNNER"; sleep 60; fi
"$NODE" -e 'const fs = require("fs");
  for (const { path, name } of JSON.parse(fs.readFileSync(process.env.ORRERY_EXPECTED, "utf8"))) fs.writeFileSync(path, name);'`;

export const jobOf = (plan: Pick<RunnerPlan, "notes" | "killAt">, runner: number): RunnerJob => ({
  name: "mag/l1a/all",
  version: "1",
  lane: "l1",
  workers: 1,
  driver: {
    type: "process",
    command: ["/bin/sh", "-ec", script],
    cwd: null,
    env: { NOTES: plan.notes, NODE: process.execPath, KILL: plan.killAt ?? "", RUNNER: String(runner) },
  },
  timeLimitMs: 60_000,
  attemptsMax: 3,
  outputs: [],
  queueing: { priority: 0, exclusive: "mag" },
});
