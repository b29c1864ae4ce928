/** How each kind of fault is done, and undone. */
import { existsSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { StreamConfig } from "@nats-io/jetstream";
import { DiscardPolicy } from "@nats-io/jetstream";
import { arrivalsStream, kvStream, ledgerBucket } from "../../src/protocol/keys.ts";
import type { Aim } from "../support/link.ts";
import type { Arena } from "./arena.ts";
import type { Fault, Kind, Window } from "./draw.ts";
import { lane } from "./sender.ts";

/** What came of a fault. */
export interface Injected {
  /** Epoch milliseconds of the moment from which on all could be well again. */
  readonly healedAt: number;
  /** Epoch milliseconds: when it happened. */
  readonly hitAt: number;
  /** The moment that was aimed at did not come: it was done at random instead, or not at all. */
  readonly missed?: boolean;
  /** Records that a killed node had in hand. */
  readonly held?: ReadonlyArray<string>;
  readonly note?: string;
}

const aimMs = 4_000;
/** For an answer of the server to what an operator changes. */
const takenMs = 20_000;
const orderMs = 15_000;
const ledger = "$KV.ledger";
const up = "up" as const;
const down = "down" as const;

/** How a window is seen on the victim's link; null: by other means. A settle begins with a file's record; an ack follows it. */
const aims: Readonly<Record<Exclude<Window, "in a reclaim" | "after a reclaim">, Aim>> = {
  "after take": { steps: [{ way: down, text: "MSG arrive." }], through: true },
  "before claim": {
    steps: [
      { way: down, text: "MSG arrive." },
      { way: up, text: `${ledger}.claim.` },
    ],
    through: false,
  },
  "after claim": { steps: [{ way: up, text: `"state":"claimed"` }], through: true },
  // The driver takes its time: what is seen is the claim.
  "at work": { steps: [{ way: up, text: `"state":"claimed"` }], through: true },
  "before settle": { steps: [{ way: up, text: `${ledger}.file.` }], through: false },
  "after settle": { steps: [{ way: up, text: `"how":"settled"` }], through: true },
  "before ack": {
    steps: [
      { way: up, text: `"how":"settled"` },
      { way: up, text: `$JS.ACK.${arrivalsStream}.` },
    ],
    through: false,
  },
};

const windowOf = (kind: Kind): Window | null =>
  kind.startsWith("node: kill -9 ") ? (kind.slice("node: kill -9 ".length) as Window) : null;

const isReclaim = (window: Window | null): boolean =>
  window === "in a reclaim" || window === "after a reclaim";

/** What else must be free of faults: a reclaim may be any other node's. */
export const involves = (fault: Fault, nodes: ReadonlyArray<string>): ReadonlyArray<string> =>
  isReclaim(windowOf(fault.kind)) ? nodes : [fault.whom];

function heldBy(arena: Arena, node: string): ReadonlyArray<string> {
  const slots = [...arena.cluster.history.latest.values()].filter(
    ({ key }) => key.startsWith("claim.") && key.split(".")[2] === node,
  );
  return slots.flatMap(({ value }) => {
    const slot = value as { readonly items?: ReadonlyArray<{ readonly record: string }> };
    return (slot.items ?? []).map(({ record }) => record);
  });
}

async function kill(arena: Arena, node: string): Promise<{ hitAt: number; held: ReadonlyArray<string> }> {
  arena.mayEnd(node);
  const hitAt = Date.now();
  await arena.cluster.nodes.get(node)?.kill9();
  return { hitAt, held: heldBy(arena, node) };
}

/** Resolves in the moment that is aimed at on one of the links, with whose it was; null when it does not come. */
function seen(arena: Arena, nodes: ReadonlyArray<string>, aim: Aim): Promise<string | null> {
  const links = nodes.flatMap((node) => {
    const link = arena.cluster.links.get(node);
    return link === undefined ? [] : [{ node, link }];
  });
  return new Promise((resolve) => {
    const over = (node: string | null): void => {
      clearTimeout(late);
      for (const { link } of links) link.disarm();
      resolve(node);
    };
    const late = setTimeout(() => over(null), aimMs);
    for (const { node, link } of links) {
      link.aim(aim, () => {
        over(node);
      });
    }
  });
}

async function killInWindow(arena: Arena, fault: Fault, window: keyof typeof aims): Promise<Injected> {
  const hit = await seen(arena, [fault.whom], aims[window]);
  if (window === "at work") await sleep(40);
  const { hitAt, held } = await kill(arena, fault.whom);
  await sleep(fault.downMs);
  await arena.startNode(fault.whom);
  return { hitAt, healedAt: Date.now(), held, missed: hit === null };
}

/** Kills the node with something in hand, and then whoever takes it from it. */
async function killInReclaim(arena: Arena, fault: Fault, through: boolean): Promise<Injected> {
  const others = arena.nodes.filter((name) => name !== fault.whom);
  await seen(arena, [fault.whom], aims["at work"]);
  const first = await kill(arena, fault.whom);
  const slot = { way: up, text: `${ledger}.claim.${lane}.${fault.whom}.` };
  const reclaimer = await seen(arena, others, { steps: [slot], through });
  const second = reclaimer === null ? null : await kill(arena, reclaimer);
  await sleep(fault.downMs);
  for (const node of [fault.whom, reclaimer]) if (node !== null) await arena.startNode(node);
  return {
    hitAt: second?.hitAt ?? first.hitAt,
    healedAt: Date.now(),
    held: [...first.held, ...(second?.held ?? [])],
    missed: reclaimer === null,
    note: reclaimer === null ? "nobody reclaimed" : `${reclaimer} reclaimed`,
  };
}

async function onNode(arena: Arena, fault: Fault): Promise<Injected> {
  const { kind, whom, downMs } = fault;
  const { cluster } = arena;
  const hitAt = Date.now();
  switch (kind) {
    case "node: kill -9": {
      const killed = await kill(arena, whom);
      await sleep(downMs);
      await arena.startNode(whom);
      return { ...killed, healedAt: Date.now() };
    }
    case "node: SIGTERM": {
      arena.mayEnd(whom);
      const how = await cluster.nodes.get(whom)?.term();
      if (how !== 0) throw new Error(`node ${whom} was told to end and ended with ${how}`);
      await sleep(downMs);
      await arena.startNode(whom);
      return { hitAt, healedAt: Date.now() };
    }
    case "node: SIGSTOP":
      cluster.stop(whom);
      await sleep(downMs);
      cluster.cont(whom);
      return { hitAt, healedAt: Date.now() };
    default:
      cluster.sever(whom, kind === "link: cut" ? "cut" : "silence");
      await sleep(downMs);
      cluster.mend(whom);
      return { hitAt, healedAt: Date.now() };
  }
}

const orders: Readonly<Partial<Record<Kind, string>>> = {
  "bridge: dies": "dies",
  "bridge: hangs": "hangs",
  "bridge: answers twice": "answers-twice",
  "bridge: garbage": "garbage",
};

/** The node's next batch of exposures meets the fault; the recovery counts from then, deadlines included. */
async function onBridge(arena: Arena, fault: Fault, order: string): Promise<Injected> {
  const file = arena.order(fault.whom, order);
  const until = performance.now() + orderMs;
  while (existsSync(file) && performance.now() < until) await sleep(10);
  const missed = existsSync(file);
  rmSync(file, { force: true });
  return { hitAt: Date.now(), healedAt: Date.now(), missed };
}

/** The ledger and the arrivals may not grow by one more byte, as an operator or an account would limit them. */
async function limitStores(arena: Arena, downMs: number): Promise<void> {
  const { streams } = arena.cluster.nats.jsm;
  const before: Array<StreamConfig> = [];
  for (const name of [kvStream(ledgerBucket), arrivalsStream]) {
    await untilTaken(async () => {
      const { config, state } = await streams.info(name);
      await streams.update(name, { ...config, max_bytes: state.bytes, discard: DiscardPolicy.New });
      if (!before.some((one) => one.name === name)) before.push(config);
    });
  }
  await sleep(downMs);
  for (const { name, discard } of before) {
    await untilTaken(async () => {
      const { config } = await streams.info(name);
      await streams.update(name, { ...config, max_bytes: -1, discard });
    });
  }
}

/** A server that has just been started anew, or works off what waited, lets an operator wait as well: he asks again. */
async function untilTaken(ask: () => Promise<void>): Promise<void> {
  const until = performance.now() + takenMs;
  for (;;) {
    try {
      return await ask();
    } catch (cause) {
      if (performance.now() > until) throw cause;
      await sleep(250);
    }
  }
}

async function onServer(arena: Arena, { kind, downMs }: Fault): Promise<Injected> {
  const { server } = arena.cluster;
  const hitAt = Date.now();
  let note: string | null = null;
  if (kind === "server: SIGSTOP") {
    server.pause();
    await sleep(downMs);
    server.resume();
  } else if (kind === "server: kill -9") {
    await server.kill9();
    await sleep(downMs);
    await server.start();
  } else if (kind === "server: disk full") {
    server.disk?.fill();
    await sleep(downMs);
    server.disk?.free();
    // A server that has given up on its disk does not look again: whoever makes room has to start it anew.
    if (!(await server.isHealthy())) {
      note = "the server had given up on its disk and was started anew";
      await server.kill9();
      await server.start();
    }
  } else await limitStores(arena, downMs);
  return { hitAt, healedAt: Date.now(), ...(note === null ? {} : { note }) };
}

async function onReceiver({ receiver }: Arena, { kind, downMs }: Fault): Promise<Injected> {
  const hitAt = Date.now();
  if (kind === "receiver: down") {
    await receiver.down();
    await sleep(downMs);
    await receiver.up();
    return { hitAt, healedAt: Date.now() };
  }
  const statuses = [500, 503, 429, 404];
  let asked = 0;
  receiver.behaviour =
    kind === "receiver: slow"
      ? () => ({ status: 200, afterMs: 800 })
      : () => statuses[asked++ % statuses.length] ?? 500;
  await sleep(downMs);
  receiver.behaviour = () => 200;
  return { hitAt, healedAt: Date.now() };
}

/** Does it and undoes it; resolves when it is over. */
export async function inject(arena: Arena, fault: Fault): Promise<Injected> {
  const window = windowOf(fault.kind);
  if (window === "in a reclaim" || window === "after a reclaim")
    return killInReclaim(arena, fault, window === "after a reclaim");
  if (window !== null) return killInWindow(arena, fault, window);
  const order = orders[fault.kind];
  if (order !== undefined) return onBridge(arena, fault, order);
  if (fault.whom === "server") return onServer(arena, fault);
  if (fault.whom === "receiver") return onReceiver(arena, fault);
  if (fault.whom !== "S3") return onNode(arena, fault);
  const hitAt = Date.now();
  arena.store.fault = fault.kind === "S3: 503" ? "503" : "hang";
  await sleep(fault.downMs);
  arena.store.fault = "none";
  return { hitAt, healedAt: Date.now() };
}
