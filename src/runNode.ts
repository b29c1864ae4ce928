/** Runs a node from plain JavaScript: for programs that bring their own actors. */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import type { Actor } from "./actors/Actor.ts";
import type { NodeContextService } from "./actors/NodeContext.ts";
import { dayText } from "./actors/retention.ts";
import type { ItemBody } from "./actors/userActors.ts";
import { sendItem } from "./actors/userActors.ts";
import { loadSite } from "./config/loadSite.ts";
import { getRecordUnsafe } from "./jetstream/ledger.ts";
import { encodeTail, itemMailbox, recordKey } from "./protocol/keys.ts";
import { isTerminal } from "./protocol/records.ts";
import { makeLog } from "./log.ts";
import { startNode } from "./node.ts";

export interface RunNodeOptions {
  /** Path of the site file. */
  readonly site: string;
  readonly actors?: ReadonlyArray<Actor>;
  /** This node's name; default: as the site file says. */
  readonly node?: string;
  /** Stop on SIGINT and SIGTERM, and end the process. Default true. */
  readonly signals?: boolean;
}

/** What became of an item. */
export interface SettledItem {
  readonly state: "done" | "parked";
  /** What the actor gave with {@link Actor.done}; null for nothing. */
  readonly result: unknown;
  /** Why it was parked; null when it is done. */
  readonly reason: string | null;
}

export interface StartedNode {
  readonly natsUrl: string;
  readonly httpUrl: string | null;
  /** Sends an item to a claims actor; resolves once it is on disk. */
  readonly send: (actor: string, id: string, body: unknown) => Promise<void>;
  /**
   * Waits until an item that was sent today is done or parked, and says how. Rejects after `withinMs` (default 10 s), and
   * for actors that keep no record of what is done.
   */
  readonly settled: (actor: string, id: string, withinMs?: number) => Promise<SettledItem>;
  /** Drains and stops. */
  readonly stop: () => Promise<void>;
  /** Resolves when the node has stopped; rejects with the reason when it had to. */
  readonly ended: Promise<void>;
}

/** Starts the node; resolves once every actor is ready. Rejects with what to do when it cannot start. */
export async function runNode(options: RunNodeOptions): Promise<StartedNode> {
  const site = await Effect.runPromise(
    loadSite(options.site, options.node === undefined ? {} : { node: options.node }),
  );
  const log = makeLog(site.log, { site: site.name, node: site.node });
  const scope = Scope.makeUnsafe();
  const running = await Effect.runPromise(
    Scope.provide(startNode({ site, actors: options.actors ?? [], log }), scope),
  ).catch(async (cause: unknown) => {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    throw cause;
  });
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopping ??= Effect.runPromise(Scope.close(scope, Exit.void));
    return stopping;
  };
  const ended = Effect.runPromise(running.ended);
  if (options.signals !== false) {
    const end = (): void => void stop().then(() => process.exit(0));
    process.once("SIGINT", end);
    process.once("SIGTERM", end);
  }
  return {
    natsUrl: running.natsUrl,
    httpUrl: running.httpUrl(),
    send: (actor, id, body) => sendItem(running.context, actor, id, body),
    settled: (actor, id, withinMs = 10_000) => settled(running.context, actor, id, withinMs),
    stop,
    ended,
  };
}

async function settled(
  node: NodeContextService,
  actor: string,
  id: string,
  withinMs: number,
): Promise<SettledItem> {
  const key = recordKey({ mailbox: itemMailbox(actor), day: dayText(node.nats.now()), tail: encodeTail(id) });
  const until = performance.now() + withinMs;
  for (;;) {
    const held = await getRecordUnsafe<Partial<ItemBody>>(node.nats, key);
    const record = held?.record;
    if (record !== undefined && isTerminal(record.state)) {
      const parked = record.state === "parked";
      return {
        state: parked ? "parked" : "done",
        result: record.body.result ?? null,
        reason: parked ? (record.errors.at(-1)?.reason ?? "unknown") : null,
      };
    }
    if (performance.now() >= until) {
      throw new Error(`${key} is not settled after ${withinMs} ms; look at it with: orrery why '${key}'`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
