/** A record's state in one word, as people ask for it. */
import type { LedgerRecord, State } from "../protocol/records.ts";
import type { Style } from "./table.ts";

/** `discarded` is a parked record that somebody gave up for good; `refused` a good one with refused content. */
export type Standing = State | "discarded";

export const standings: ReadonlyArray<Standing> = [
  "ready",
  "failing",
  "waiting",
  "known",
  "done",
  "parked",
  "discarded",
];

export function standingOf(record: LedgerRecord): Standing {
  return record.state === "parked" && record.history.at(-1)?.event === "discarded"
    ? "discarded"
    : record.state;
}

export const standingStyle: Readonly<Record<Standing, Style>> = {
  ready: "cyan",
  failing: "yellow",
  waiting: "cyan",
  known: "green",
  done: "green",
  parked: "red",
  discarded: "dim",
};

/** What an operator may decide about: parked, or good with content that was refused. */
export function isOpenToDecision(record: LedgerRecord): boolean {
  return record.state === "parked" || (record.refused?.length ?? 0) > 0;
}

/** Why it stands as it does, in one line; empty for what is well. */
export function reasonOf(record: LedgerRecord): string {
  const refused = record.refused?.length ?? 0;
  if (refused > 0 && record.state !== "parked")
    return `ContentChanged: other content was refused (${refused})`;
  switch (record.state) {
    case "waiting":
      return `for ${record.waitingFor ?? "?"}`;
    case "failing":
    case "parked": {
      const last = record.errors.at(-1);
      return last === undefined ? (record.history.at(-1)?.detail ?? "") : `${last.reason}: ${last.detail}`;
    }
    default:
      return "";
  }
}
