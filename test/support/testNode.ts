/** The node that a test plays: real counters on a connection of its own, and a log that can be read. */
import * as Effect from "effect/Effect";
import { makeCounters } from "../../src/actors/counters.ts";
import type { Log, LogLevel, NodeContextService } from "../../src/actors/NodeContext.ts";
import { Streams } from "../../src/actors/streams.ts";
import { Troubles } from "../../src/actors/troubles.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { arrivalsStream, kvStream, ledgerBucket } from "../../src/protocol/keys.ts";
import { saidLine } from "./said.ts";

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
  const counters = Effect.runSync(makeCounters);
  const log: Log = (level, message, fields = {}) => {
    lines.push({ level, message, fields });
    saidLine(`log of node ${name}`, { level, message, fields });
  };
  return {
    site: "test",
    name,
    epoch: `${name}-epoch`,
    nats,
    counters,
    log,
    troubles: new Troubles(counters, log),
    streams: new Streams(nats, [arrivalsStream, kvStream(ledgerBucket)], null, log),
    reclaimRules: () => null,
    lines,
  };
}
