/** The table of what a supernode holds of its sites. */
import { expect, it } from "vitest";
import type { Sourced } from "../../../src/cli/sourced.ts";
import { sourcedTable } from "../../../src/cli/sourced.ts";

const state = { site: "base", epoch: "e1", lag: 0, silentMs: 400, error: null };
const row = (more: Partial<Sourced>): Sourced => ({
  ...state,
  files: 7,
  former: 0,
  silent: false,
  groups: state,
  groupsSilent: false,
  rebuilt: null,
  ...more,
});
const stateOf = (more: Partial<Sourced>): string =>
  sourcedTable([row(more)], { color: false, columns: 120 })
    .split("\n")[1]
    ?.replace(/^base +e1 +7 +\d+ +/, "") ?? "";

it("says of each site what is the matter, its groups last", () => {
  expect(stateOf({})).toBe("all is here");
  expect(stateOf({ lag: 3 })).toBe("catching up");
  expect(stateOf({ former: 1_000 })).toBe("all is here; of former lives 1,000 keys");
  expect(stateOf({ former: 1_000, lag: 3 })).toBe("catching up");
  expect(stateOf({ silent: true, groupsSilent: true, silentMs: 40_000 })).toMatch(/^not heard of: 40 s ago/);
  expect(stateOf({ groupsSilent: true })).toBe("its groups: not heard of");
  expect(stateOf({ groupsSilent: true, groups: { ...state, error: "no such stream" } })).toBe(
    "its groups: no such stream",
  );
  expect(stateOf({ groupsSilent: true, groups: null })).toBe("its groups: not sourced: apply");
  expect(stateOf({ silent: true, rebuilt: "orrery topology apply --supernode hub" })).toBe(
    "rebuilt: orrery topology apply --supernode hub",
  );
});
