/** Ledger records for tests: as they are when nothing has gone wrong, but for what a test wants otherwise. */
import type { LedgerRecord, State } from "../../src/protocol/records.ts";
import { recordVersion } from "../../src/protocol/records.ts";

export const plainRecord = <Body>(
  state: State,
  body: Body,
  of: Partial<Omit<LedgerRecord<Body>, "state" | "body">> = {},
): LedgerRecord<Body> => ({
  v: recordVersion,
  state,
  generation: 0,
  etag: "e1",
  claim: null,
  attempts: 0,
  crashes: 0,
  crashesAlone: 0,
  errors: [],
  history: [],
  ...of,
  body,
});
