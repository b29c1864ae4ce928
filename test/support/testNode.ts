/** The node that a test plays: real counters on a connection of its own, and a log that can be read. */
import * as Effect from "effect/Effect";
import { makeCounters } from "../../src/actors/counters.ts";
import type { LogLevel, NodeContextService } from "../../src/actors/NodeContext.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface TestNode extends NodeContextService {
  readonly lines: ReadonlyArray<LogLine>;
}

export function testNode(nats: NatsService, name = "test"): TestNode {
  const lines: Array<LogLine> = [];
  return {
    site: "test",
    name,
    epoch: `${name}-epoch`,
    nats,
    counters: Effect.runSync(makeCounters),
    log: (level, message, fields = {}) => void lines.push({ level, message, fields }),
    reclaimRules: () => null,
    lines,
  };
}
