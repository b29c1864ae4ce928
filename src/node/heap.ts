/** How much memory a process takes before it collects what nobody needs any more. */
import { setFlagsFromString } from "node:v8";
import { heapGrowthPercent } from "../limits.ts";

/**
 * V8 lets the old generation grow to three times what is in use before it collects it. A node lives for months beside others: it collects
 * sooner, for a little processor time. V8 reads this flag at each collection, so it may be set while the process runs; the size of
 * the young generation is fixed at its start.
 */
export function keepHeapSmall(): void {
  setFlagsFromString(`--heap-growing-percent=${heapGrowthPercent}`);
}
