/** An Orrery node with the bench's own actors. Arguments: site file, node name, actors (`noop-all`, `noop-failures`, `hold`). */
import { Actor } from "../../src/actors/Actor.ts";
import type { ActorOutcome } from "../../src/actors/Actor.ts";
import { keepHeapSmall } from "../../src/node/heap.ts";
import { runNode } from "../../src/runNode.ts";
import { serve } from "./serve.ts";

const done: ActorOutcome = Actor.done();

const noop = (name: string, records: "all" | "failures"): Actor =>
  Actor.claims({ name, records, work: (items) => items.map(() => done) });

/** Works at once, or never ends: what is in its hand when it is killed is what others take back. */
const hold = Actor.claims({
  name: "hold",
  batchMax: 100,
  work: (items) =>
    process.env["HOLD"] === "1" ? new Promise<never>(() => undefined) : items.map(() => done),
});

const actors: Readonly<Record<string, ReadonlyArray<Actor>>> = {
  "": [],
  noop: [noop("noop-all", "all"), noop("noop-failures", "failures")],
  hold: [hold],
};

await serve(async ([site = "", name = "", chosen = ""]) => {
  // As `orrery start` does.
  keepHeapSmall();
  const node = await runNode({ site, node: name, actors: actors[chosen] ?? [], signals: false });
  return { http: node.httpUrl, stop: node.stop };
});
