/** Which faults are drawn, of whom, when and for how long: the seed alone decides. Pure. */

/** Moments of a batch's way in which a node is killed; inject.ts says how each is recognised. */
export const windows = [
  "after take",
  "before claim",
  "after claim",
  "at work",
  "before settle",
  "after settle",
  "before ack",
  "in a reclaim",
  "after a reclaim",
] as const;
export type Window = (typeof windows)[number];

export type Kind =
  | "node: kill -9"
  | `node: kill -9 ${Window}`
  | "node: SIGTERM"
  | "node: SIGSTOP"
  | "link: cut"
  | "link: silent"
  | "bridge: dies"
  | "bridge: hangs"
  | "bridge: answers twice"
  | "bridge: garbage"
  | "server: kill -9"
  | "server: SIGSTOP"
  | "server: disk full"
  | "server: store limit"
  | "S3: 503"
  | "S3: hangs"
  | "receiver: down"
  | "receiver: slow"
  | "receiver: fails";

export interface Fault {
  readonly kind: Kind;
  /** What it happens to: one thing has one fault at a time. A node's link and bridge are the node. */
  readonly whom: string;
  /** How long it lasts; for kills, until the process is started again. */
  readonly downMs: number;
  /** Since the fault before it began. */
  readonly afterMs: number;
}

export interface Draw {
  readonly faults: number;
  readonly seed: number;
  readonly nodes: number;
  /** Whether the server's disk can be filled. */
  readonly disk: boolean;
  /** Everything in less time: for a run among the tests. */
  readonly brisk: boolean;
}

interface Rule {
  readonly kind: Kind;
  readonly whom: "node" | "server" | "S3" | "receiver";
  /** How often it is in the deck. */
  readonly times: number;
  readonly downMs: readonly [number, number];
  /** One in eight lasts as long as this: longer than what the product waits for by itself. */
  readonly longMs?: number;
}

export const rules: ReadonlyArray<Rule> = [
  { kind: "node: kill -9", whom: "node", times: 4, downMs: [0, 3_000] },
  ...windows.map((window): Rule => ({
    kind: `node: kill -9 ${window}`,
    whom: "node",
    times: 1,
    downMs: [0, 3_000],
  })),
  { kind: "node: SIGTERM", whom: "node", times: 2, downMs: [0, 1_000] },
  { kind: "node: SIGSTOP", whom: "node", times: 3, downMs: [300, 6_000] },
  { kind: "link: cut", whom: "node", times: 2, downMs: [100, 6_000] },
  { kind: "link: silent", whom: "node", times: 2, downMs: [300, 6_000], longMs: 22_000 },
  { kind: "bridge: dies", whom: "node", times: 2, downMs: [0, 0] },
  { kind: "bridge: hangs", whom: "node", times: 1, downMs: [0, 0] },
  { kind: "bridge: answers twice", whom: "node", times: 1, downMs: [0, 0] },
  { kind: "bridge: garbage", whom: "node", times: 1, downMs: [0, 0] },
  { kind: "server: kill -9", whom: "server", times: 2, downMs: [0, 3_000] },
  { kind: "server: SIGSTOP", whom: "server", times: 2, downMs: [200, 5_000] },
  { kind: "server: disk full", whom: "server", times: 2, downMs: [500, 4_000] },
  { kind: "server: store limit", whom: "server", times: 1, downMs: [500, 4_000] },
  { kind: "S3: 503", whom: "S3", times: 1, downMs: [300, 5_000] },
  { kind: "S3: hangs", whom: "S3", times: 2, downMs: [300, 5_000], longMs: 33_000 },
  { kind: "receiver: down", whom: "receiver", times: 1, downMs: [300, 6_000] },
  { kind: "receiver: slow", whom: "receiver", times: 1, downMs: [1_000, 6_000] },
  { kind: "receiver: fails", whom: "receiver", times: 1, downMs: [300, 6_000] },
];

/** A small generator whose numbers, in [0, 1), the seed alone decides (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function shuffled<A>(of: ReadonlyArray<A>, random: () => number): Array<A> {
  const deck = [...of];
  for (let i = deck.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const [a, b] = [deck[i], deck[j]];
    if (a === undefined || b === undefined) continue;
    deck[i] = b;
    deck[j] = a;
  }
  return deck;
}

/** One of each kind first, so that a run with as many faults as there are kinds leaves none out; then decks by weight. */
export function faultsOf({ faults, seed, nodes, disk, brisk }: Draw): ReadonlyArray<Fault> {
  const random = randomOf(seed);
  const possible = rules.filter(({ kind }) => disk || kind !== "server: disk full");
  const weighted = possible.flatMap((rule) => Array.from({ length: rule.times }, () => rule));
  let deck = shuffled(possible, random).reverse();
  return Array.from({ length: faults }, () => {
    if (deck.length === 0) deck = shuffled(weighted, random);
    const rule = deck.pop();
    if (rule === undefined) throw new Error("no fault can be drawn");
    const [pick, length, long, pause] = [random(), random(), random(), random()];
    const [least, most] = rule.downMs;
    const lasts = least + length * (most - least) * (brisk ? 0.4 : 1);
    return {
      kind: rule.kind,
      whom: rule.whom === "node" ? `n${Math.floor(pick * nodes)}` : rule.whom,
      downMs: Math.round(!brisk && rule.longMs !== undefined && long < 1 / 8 ? rule.longMs : lasts),
      afterMs: Math.round(brisk ? 50 + pause * 900 : 200 + pause * 3_000),
    };
  });
}
