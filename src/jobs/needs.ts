/** What one partition is made of, and which of that is there: whether it exists yet or not. Pure look-ups. */
import type { BlockedOn } from "./blockedOn.ts";
import { noFileTypes } from "./blockedOn.ts";
import { chooseInput } from "./chooseInput.ts";
import type { CompiledInput, CompiledJob } from "./CompiledJob.ts";
import type { DatasetFile } from "./dataset.ts";
import { Node } from "./Node.ts";
import type { Slice } from "./partitions.ts";
import type { Resolver } from "./Resolver.ts";

export interface Need {
  readonly input: CompiledInput;
  readonly required: boolean;
  /** The word that several inputs share of which one is enough; null for one alone. */
  readonly alternatives: string | null;
  /** What is missing; null: it is there. */
  readonly lack: BlockedOn | null;
  readonly files: ReadonlyArray<DatasetFile>;
}

export interface Needs {
  readonly inputs: ReadonlyArray<Need>;
  /** Whether all that is required is there. */
  readonly complete: boolean;
  /** What it waits for that no file of its inputs brings. */
  readonly waits: ReadonlyArray<BlockedOn>;
}

export function needsOf(resolver: Resolver, job: CompiledJob, slice: Slice): Needs {
  const known = job.nodes.get(slice.ordinal);
  const node = known ?? new Node(job, slice);
  let complete = true;
  let products = 0;
  const inputs: Array<Need> = [];
  for (const { inputs: ofSlot, required, alternatives } of job.slots) {
    const isOne = ofSlot.length === 1;
    const chosen = ofSlot.map((input) => {
      const { files, lack } = chooseInput(input, node, slice.range, resolver.view);
      if (input.isProduct) products += files.length;
      inputs.push({ input, required, alternatives: isOne ? null : alternatives, lack, files });
      return lack;
    });
    if (required && chosen.every((lack) => lack !== null)) complete = false;
  }
  if (job.products.length > 0 && products === 0) complete = false;
  const waits = known?.status.on.filter((on) => noFileTypes.has(on.type)) ?? [];
  return { inputs, complete, waits };
}
