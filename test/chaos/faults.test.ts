import { describe, expect, it } from "vitest";
import { faultsOf } from "./faults.ts";

describe("the faults of a seed", () => {
  const settings = { faults: 200, seed: 7, nodes: 3 };

  it("are the same each time, and others for another seed", () => {
    expect(faultsOf(settings)).toEqual(faultsOf(settings));
    expect(faultsOf(settings)).not.toEqual(faultsOf({ ...settings, seed: 8 }));
  });

  it("leave out no kind of fault and no process", () => {
    const faults = faultsOf(settings);
    const kinds = new Set(faults.map(({ type, whom }) => `${type} ${whom === "server" ? whom : "node"}`));
    expect([...kinds].sort()).toEqual(["end node", "kill node", "kill server", "stop node", "stop server"]);
    expect(new Set(faults.map(({ whom }) => whom))).toEqual(new Set(["n0", "n1", "n2", "server"]));
  });
});
