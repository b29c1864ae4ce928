/** Whose turn it is to drop what sites have no more. */
import { expect, it } from "vitest";
import { nodeWithTurn } from "../../../src/actors/keeper.ts";

const node = (...actors: ReadonlyArray<readonly [string, string]>) => ({
  actors: actors.map(([name, status]) => ({ name, behaviour: "worker", status, restarts: 0 })),
});

it("the first by name whose keeper runs, and nobody's where none does", () => {
  const live = new Map([
    ["hub-3", node(["keeper", "running"])],
    ["hub-2", node(["presence", "running"], ["keeper", "running"])],
    ["hub-1", node(["keeper", "restarting"])],
    ["hub-0", node(["presence", "running"])],
  ]);
  expect(nodeWithTurn(live)).toBe("hub-2");
  live.delete("hub-2");
  expect(nodeWithTurn(live)).toBe("hub-3");
  live.delete("hub-3");
  expect(nodeWithTurn(live)).toBeUndefined();
});
