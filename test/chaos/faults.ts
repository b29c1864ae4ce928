/** Random faults over a site under load: what is done when comes from the seed alone. */
import { setTimeout as sleep } from "node:timers/promises";
import { Cluster } from "./cluster.ts";
import { unfinished, violations } from "./checker.ts";

export interface FaultSettings {
  readonly faults: number;
  readonly seed: number;
  readonly nodes: number;
}

const restMsMax = 90_000;
const delayMs = 150;

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

export interface Fault {
  /** `stop` is SIGSTOP and, later, SIGCONT; `end` is SIGTERM. */
  readonly type: "kill" | "end" | "stop";
  /** `server`, or a node. */
  readonly whom: string;
  /** Until it is started, or goes on, again. */
  readonly downMs: number;
  /** Since the fault before it began. */
  readonly afterMs: number;
}

const server = "server";

/** The faults of a seed. */
export function faultsOf({ faults, seed, nodes }: FaultSettings): ReadonlyArray<Fault> {
  const random = randomOf(seed);
  return Array.from({ length: faults }, () => {
    const dice = random();
    const node = `n${Math.floor(random() * nodes)}`;
    const afterMs = Math.round(200 + random() * 2_000);
    const long = random();
    if (dice < 0.35) return { type: "kill", whom: node, downMs: Math.round(long * 3_000), afterMs };
    if (dice < 0.5) return { type: "end", whom: node, downMs: Math.round(long * 1_000), afterMs };
    if (dice < 0.75) return { type: "stop", whom: node, downMs: Math.round(300 + long * 6_000), afterMs };
    if (dice < 0.9) return { type: "kill", whom: server, downMs: Math.round(long * 1_500), afterMs };
    return { type: "stop", whom: server, downMs: Math.round(200 + long * 5_000), afterMs };
  });
}

/** Kinds of objects: most are good, some are tried again, some are bad. */
function nameOf(i: number): string {
  const kind = i % 7 === 3 ? "flaky" : i % 11 === 5 ? "bad" : "plain";
  return `20260101/${kind}-${i}.fits`;
}

async function injectServer(cluster: Cluster, { type, downMs }: Fault): Promise<void> {
  if (type === "stop") {
    cluster.server.pause();
    await sleep(downMs);
    cluster.server.resume();
    return;
  }
  await cluster.server.kill9();
  await sleep(downMs);
  await cluster.server.start();
}

async function injectNode(cluster: Cluster, { type, whom, downMs }: Fault): Promise<void> {
  if (type === "stop") {
    cluster.stop(whom);
    await sleep(downMs);
    cluster.cont(whom);
    return;
  }
  const node = cluster.nodes.get(whom);
  if (type === "kill") await node?.kill9();
  else {
    const how = await node?.term();
    if (how !== 0) throw new Error(`node ${whom} was told to end and ended with ${how}`);
  }
  await sleep(downMs);
  await cluster.node(whom, { delayMs });
}

/** Sends until it is told to end; a handful of notifications are under way at once. */
async function load(cluster: Cluster, over: AbortSignal): Promise<void> {
  let i = 0;
  const one = async (): Promise<void> => {
    while (!over.aborted) {
      const keys = [nameOf(i++), nameOf(i++)];
      await Promise.all([cluster.sender.send(keys.map((key) => ({ key, etag: "1" }))), sleep(40)]);
    }
  };
  await Promise.all(Array.from({ length: 4 }, one));
}

/** @returns the process's exit code: 0 when nothing was lost, settled twice or left behind */
export async function runFaults(settings: FaultSettings, say: (line: string) => void): Promise<number> {
  const names = Array.from({ length: settings.nodes }, (_, i) => `n${i}`);
  const cluster = await Cluster.start({ syncAlways: true });
  const began = performance.now();
  const timeline: Array<string> = [];
  const at = (line: string): void => {
    timeline.push(`${new Date().toISOString()}  ${line}`);
  };
  let done = 0;
  let failure: string | null = null;
  say(`seed ${settings.seed}, ${settings.faults} faults, ${settings.nodes} nodes`);
  try {
    for (const name of names) await cluster.node(name, { delayMs });
    const over = new AbortController();
    const loading = load(cluster, over.signal);
    try {
      // Faults of different processes overlap; one process has one at a time.
      const under = new Map<string, Promise<void>>();
      for (const fault of faultsOf(settings)) {
        await sleep(fault.afterMs);
        const { type, whom, downMs } = fault;
        await under.get(whom);
        at(`${type} ${whom}, for ${downMs} ms`);
        const over = whom === server ? injectServer(cluster, fault) : injectNode(cluster, fault);
        // Who waits for it is told; nobody may be waiting yet.
        over.catch(() => undefined);
        under.set(whom, over);
        done++;
        if (done % 10 === 0) say(`${done} faults, ${cluster.sender.accepted.length} files accepted`);
      }
      await Promise.all(under.values());
    } finally {
      over.abort();
      await loading;
    }
    at("the faults are over");
    await cluster.rest(restMsMax);
    at("everything is at rest");
  } catch (cause) {
    failure = String(cause);
  }
  const evidence = await cluster.evidence();
  const wrong = violations(evidence);
  const stuck = unfinished(evidence);
  const lost = wrong.filter((words) => words.startsWith("lost"));
  const twice = wrong.filter((words) => words.includes("twice"));
  const ended = failure === null && wrong.length === 0 && stuck.length === 0;
  if (!ended) {
    for (const line of timeline) say(line);
    for (const words of [...wrong, ...stuck].slice(0, 50)) say(words);
    if (failure !== null) say(failure);
    for (const name of names) {
      const errors = cluster.log(name).filter(({ level }) => level === "error");
      for (const { at, message, fields } of errors.slice(-10)) {
        say(`${new Date(at).toISOString()}  ${name}: ${message} ${JSON.stringify(fields)}`);
      }
    }
    say(
      `to see it again: npm run chaos -- --faults ${settings.faults} --seed ${settings.seed} --nodes ${settings.nodes}`,
    );
  }
  await cluster.end();
  const files = evidence.accepted.length;
  say(
    `${files} files accepted in ${Math.round((performance.now() - began) / 1_000)} s; ${wrong.length} violations`,
  );
  say(`${done} faults, ${lost.length} lost, ${twice.length} twice, ${stuck.length} stuck`);
  return ended ? 0 : 1;
}
