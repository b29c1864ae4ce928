/** Jobs and what flows between them, as Mermaid or DOT: for people to look at. */
import type { CatalogueJob, PartitionScheme } from "./catalogue.ts";
import type { DatasetId } from "./dataset.ts";
import { catalogueOf } from "./import.ts";

export type GraphFormat = "mermaid" | "dot";

export interface GraphOptions {
  /** Only this instrument's jobs, and those of others that they are tied to; null: all. */
  readonly instrument: string | null;
  /** Whether files of this kind are data products. Those that no job makes are drawn as well; tables and kernels from outside are not. */
  readonly isProduct: (kind: string) => boolean;
}

interface Node {
  readonly label: string;
  /** null: a data set that comes from outside. */
  readonly job: CatalogueJob | null;
  readonly group: string;
}

interface Edge {
  readonly from: string;
  readonly to: string;
  /** At least one of the data sets between the two is waited for. */
  readonly required: boolean;
}

export interface Graph {
  /** By label. */
  readonly nodes: ReadonlyMap<string, Node>;
  readonly edges: ReadonlyArray<Edge>;
}

export function graphOf(jobs: ReadonlyArray<CatalogueJob>, options: GraphOptions): Graph {
  const { producerOf } = catalogueOf(jobs);
  const isShown = (job: CatalogueJob): boolean =>
    options.instrument === null || job.instrument === options.instrument;
  const nodes = new Map<string, Node>();
  const edges = new Map<string, Edge>();
  const add = (job: CatalogueJob): void => {
    nodes.set(job.name, { label: job.name, job, group: job.instrument });
  };
  for (const job of jobs) if (isShown(job)) add(job);
  for (const job of jobs) {
    for (const input of job.inputs) {
      const producer = producerOf.get(input.dataset);
      if (producer === undefined) {
        if (!isShown(job) || !options.isProduct(input.kind)) continue;
        nodes.set(input.dataset, outside(input.dataset));
      } else if (isShown(job) || isShown(producer)) {
        add(job);
        add(producer);
      } else continue;
      const from = producer?.name ?? input.dataset;
      const key = `${from}\n${job.name}`;
      const required = input.required || edges.get(key)?.required === true;
      edges.set(key, { from, to: job.name, required });
    }
  }
  return { nodes, edges: [...edges.values()] };
}

const outside = (dataset: DatasetId): Node => ({
  label: dataset,
  job: null,
  group: dataset.slice(0, dataset.indexOf("/")),
});

export const drawGraph = (graph: Graph, format: GraphFormat): string =>
  format === "mermaid" ? mermaid(graph) : dot(graph);

/** More edges than this Mermaid does not draw unless it is told to. */
const mermaidEdgesMax = 500;

function mermaid(graph: Graph): string {
  const ids = new Map([...graph.nodes.keys()].map((label, index) => [label, `n${index}`]));
  const id = (label: string): string => ids.get(label) ?? "n";
  const lines = ["flowchart LR"];
  if (graph.edges.length > mermaidEdgesMax) {
    lines.push(
      `  %% ${graph.edges.length} edges: set Mermaid's maxEdges, ${mermaidEdgesMax} by itself, to see it`,
    );
  }
  for (const [group, nodes] of groups(graph)) {
    lines.push(`  subgraph ${group}`);
    for (const { label, job } of nodes) {
      const text =
        job === null ? `([${quote(label)}])` : `[${quote(`${label}<br/>${partitionWord(job.partition)}`)}]`;
      lines.push(`    ${id(label)}${text}`);
    }
    lines.push("  end");
  }
  for (const { from, to, required } of graph.edges) {
    lines.push(`  ${id(from)} ${required ? "-->" : "-.->"} ${id(to)}`);
  }
  return `${lines.join("\n")}\n`;
}

function dot(graph: Graph): string {
  const lines = ["digraph jobs {", "  rankdir=LR;", "  node [shape=box];"];
  for (const [group, nodes] of groups(graph)) {
    lines.push(`  subgraph ${quote(`cluster_${group}`)} {`, `    label=${quote(group)};`);
    for (const { label, job } of nodes) {
      const text = job === null ? label : `${label}\\n${partitionWord(job.partition)}`;
      lines.push(`    ${quote(label)} [label=${quote(text)}${job === null ? ", shape=oval" : ""}];`);
    }
    lines.push("  }");
  }
  for (const { from, to, required } of graph.edges) {
    lines.push(`  ${quote(from)} -> ${quote(to)}${required ? "" : " [style=dashed]"};`);
  }
  return `${lines.join("\n")}\n}\n`;
}

function groups(graph: Graph): ReadonlyMap<string, ReadonlyArray<Node>> {
  const out = new Map<string, Array<Node>>();
  for (const node of graph.nodes.values()) {
    const all = out.get(node.group) ?? [];
    all.push(node);
    out.set(node.group, all);
  }
  return out;
}

function partitionWord(partition: PartitionScheme): string {
  if (partition.type === "days") return `${partition.days} days`;
  if (partition.type === "calendar") return partition.name;
  return partition.type === "windows" ? "windows of a table" : partition.type;
}

/** Names hold letters, digits, - and _; a quote in one would be a fault of the schema, and still no way out of the text. */
const quote = (text: string): string => `"${text.replaceAll('"', "'")}"`;
