/** Which faults of sites and their supernode are drawn, of whom, when and for how long: the seed alone decides. Pure. */
import { randomOf, shuffled } from "../draw.ts";

export type Kind =
  | "link: cut"
  | "link: silent"
  | "link: forgotten"
  | "supernode: kill -9"
  | "supernode: SIGSTOP"
  | "supernode: leader kill -9"
  | "supernode: leader SIGSTOP"
  | "supernode: all kill -9"
  | "keeper: kill -9"
  | "keeper: SIGSTOP"
  | "site server: kill -9"
  | "site server: SIGSTOP"
  | "node: kill -9"
  | "node: SIGTERM"
  | "node: SIGSTOP";

export interface Fault {
  readonly kind: Kind;
  /** A site, a site's node, one of the supernode's servers, or `supernode` for whichever leads, or for all. */
  readonly whom: string;
  /** How long it lasts; for kills, until the process is started again. */
  readonly downMs: number;
  /** Since the fault before it began. */
  readonly afterMs: number;
}

interface Rule {
  readonly kind: Kind;
  readonly whom: "site" | "node" | "server" | "supernode" | "keeper";
  /** How often it is in the deck. */
  readonly times: number;
  readonly downMs: readonly [number, number];
  /** One in eight lasts as long as this: longer than the servers wait before they take a source for stalled. */
  readonly longMs?: number;
}

export const rules: ReadonlyArray<Rule> = [
  { kind: "link: cut", whom: "site", times: 6, downMs: [100, 6_000], longMs: 25_000 },
  { kind: "link: silent", whom: "site", times: 5, downMs: [300, 6_000], longMs: 25_000 },
  { kind: "link: forgotten", whom: "site", times: 2, downMs: [0, 0] },
  { kind: "supernode: kill -9", whom: "server", times: 3, downMs: [0, 5_000] },
  { kind: "supernode: SIGSTOP", whom: "server", times: 2, downMs: [300, 6_000] },
  { kind: "supernode: leader kill -9", whom: "supernode", times: 3, downMs: [0, 5_000] },
  { kind: "supernode: leader SIGSTOP", whom: "supernode", times: 2, downMs: [300, 6_000] },
  { kind: "supernode: all kill -9", whom: "supernode", times: 1, downMs: [0, 3_000] },
  { kind: "keeper: kill -9", whom: "keeper", times: 2, downMs: [0, 3_000] },
  { kind: "keeper: SIGSTOP", whom: "keeper", times: 1, downMs: [300, 6_000] },
  { kind: "site server: kill -9", whom: "site", times: 3, downMs: [0, 3_000] },
  { kind: "site server: SIGSTOP", whom: "site", times: 2, downMs: [200, 5_000] },
  { kind: "node: kill -9", whom: "node", times: 4, downMs: [0, 3_000] },
  { kind: "node: SIGTERM", whom: "node", times: 1, downMs: [0, 1_000] },
  { kind: "node: SIGSTOP", whom: "node", times: 3, downMs: [300, 6_000] },
];

export interface Draw {
  readonly faults: number;
  readonly seed: number;
  readonly sites: ReadonlyArray<string>;
  readonly nodes: ReadonlyArray<string>;
  readonly servers: ReadonlyArray<string>;
  /** Everything in less time: for a run among the tests. */
  readonly brisk: boolean;
}

/** One of each kind first, so that a run with as many faults as there are kinds leaves none out; then decks by weight. */
export function faultsOf({ faults, seed, sites, nodes, servers, brisk }: Draw): ReadonlyArray<Fault> {
  const random = randomOf(seed);
  const weighted = rules.flatMap((rule) => Array.from({ length: rule.times }, () => rule));
  const among: Readonly<Record<Rule["whom"], ReadonlyArray<string>>> = {
    site: sites,
    node: nodes,
    server: servers,
    supernode: ["supernode"],
    keeper: ["keeper"],
  };
  let deck = shuffled(rules, random);
  return Array.from({ length: faults }, () => {
    if (deck.length === 0) deck = shuffled(weighted, random);
    const rule = deck.pop();
    if (rule === undefined) throw new Error("no fault can be drawn");
    const [pick, length, long, pause] = [random(), random(), random(), random()];
    const [least, most] = rule.downMs;
    const lasts = least + length * (most - least) * (brisk ? 0.5 : 1);
    const whom = among[rule.whom];
    return {
      kind: rule.kind,
      whom: whom[Math.floor(pick * whom.length)] ?? "",
      downMs: Math.round(!brisk && rule.longMs !== undefined && long < 1 / 8 ? rule.longMs : lasts),
      afterMs: Math.round(brisk ? 50 + pause * 900 : 200 + pause * 3_000),
    };
  });
}
