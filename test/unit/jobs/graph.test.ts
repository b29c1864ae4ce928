/** Graphs of jobs: who is in them, and that they are well-formed. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { judgeCatalogue } from "../../../src/config/judgeCatalogue.ts";
import type { Judged } from "../../../src/config/judgeCatalogue.ts";
import { drawGraph, graphOf } from "../../../src/jobs/graph.ts";

function shipped(): Judged {
  const judgement = judgeCatalogue([join(import.meta.dirname, "..", "..", "..", "config", "imap")], {});
  if (!judgement.ok) throw new Error(judgement.message);
  return judgement.judged;
}
const { jobs, isProduct } = shipped();
const graph = (instrument: string | null) => graphOf(jobs, { instrument, isProduct });

describe("the graph of jobs", () => {
  it("of an instrument: its jobs, its packets, and jobs of others that it is tied to either way", () => {
    const swe = graph("swe");
    expect([...swe.nodes.keys()].toSorted()).toEqual([
      "mag/l1d/norm-srf",
      "mag/l2/norm-srf",
      "spacecraft/l1a/pointing-attitude",
      "swapi/l3a/proton-sw",
      "swe/l0/raw",
      "swe/l1a/all",
      "swe/l1b/sci",
      "swe/l2/sci",
      "swe/l3/sci",
    ]);
    const optional = swe.edges.filter((edge) => !edge.required);
    expect(optional).toEqual([{ from: "mag/l2/norm-srf", to: "swe/l3/sci", required: false }]);
    // A consumer of another instrument is drawn with its producer.
    expect(graph("mag").edges).toContainEqual({ from: "mag/l1d/norm-srf", to: "swe/l3/sci", required: true });
  });

  it("is waited for where one of several inputs is", () => {
    const [hit] = jobs.filter((job) => job.name === "hit/l1a/all");
    const [later] = jobs.filter((job) => job.name === "hit/l1b/hk");
    const [input] = later?.inputs ?? [];
    if (hit === undefined || later === undefined || input === undefined) throw new Error("no such jobs");
    const edges = (...required: ReadonlyArray<boolean>) => {
      const inputs = required.map((value, i) => ({
        ...input,
        dataset: hit.outputs[i]?.dataset ?? "",
        required: value,
      }));
      return graphOf([hit, { ...later, inputs }], { instrument: null, isProduct }).edges.filter(
        (edge) => edge.to === later.name,
      );
    };
    const edge = { from: hit.name, to: later.name };
    expect(edges(true, false)).toEqual([{ ...edge, required: true }]);
    expect(edges(false, true)).toEqual([{ ...edge, required: true }]);
    expect(edges(false, false)).toEqual([{ ...edge, required: false }]);
  });

  it("of all: every job, one edge for each pair, and the kernel that a job makes", () => {
    const all = graph(null);
    expect([...all.nodes.values()].filter((node) => node.job !== null).length).toBe(289);
    const pairs = all.edges.map((edge) => `${edge.from} ${edge.to}`);
    expect(new Set(pairs).size).toBe(pairs.length);
    const kernel = all.edges.filter((edge) => edge.from === "spacecraft/l1a/pointing-attitude");
    expect(kernel.length).toBe(106);
    const ends = all.edges.flatMap((edge) => [edge.from, edge.to]);
    expect(ends.filter((end) => !all.nodes.has(end))).toEqual([]);
  });

  it("as Mermaid", () => {
    const lines = drawGraph(graph("swe"), "mermaid").trimEnd().split("\n");
    expect(lines[0]).toBe("flowchart LR");
    expect(lines.filter((line) => line.startsWith("  subgraph")).length).toBe(
      lines.filter((line) => line === "  end").length,
    );
    const declared = new Map(
      lines.flatMap((line) => {
        const found = /^ {4}(n\d+)(?:\[|\(\[)"([^"<]+)/.exec(line);
        return found === null ? [] : [[found[1] ?? "", found[2] ?? ""] as const];
      }),
    );
    const edges = lines.flatMap((line) => {
      const found = /^ {2}(n\d+) (-->|-\.->) (n\d+)$/.exec(line);
      return found === null
        ? []
        : [`${declared.get(found[1] ?? "")} ${found[2]} ${declared.get(found[3] ?? "")}`];
    });
    expect(edges).toContain("swe/l0/raw --> swe/l1a/all");
    expect(edges).toContain("mag/l2/norm-srf -.-> swe/l3/sci");
    expect(edges.length).toBe(graph("swe").edges.length);
    expect(lines.some((line) => line.includes("%%"))).toBe(false);
    expect(drawGraph(graph(null), "mermaid")).toMatch(/%% \d+ edges: set Mermaid's maxEdges/);
  });

  it("as DOT", () => {
    const text = drawGraph(graph("swe"), "dot");
    expect(text.startsWith("digraph jobs {\n")).toBe(true);
    expect(text.split("{").length).toBe(text.split("}").length);
    expect(text).toContain('  "swe/l1a/all" -> "swe/l1b/sci";\n');
    expect(text).toContain('  "mag/l2/norm-srf" -> "swe/l3/sci" [style=dashed];\n');
    expect(text).toContain('    "swe/l0/raw" [label="swe/l0/raw", shape=oval];\n');
  });
});
