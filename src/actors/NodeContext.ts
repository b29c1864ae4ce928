/** What every actor of a node shares: its name, its connection, its counters, its log. */
import * as Context from "effect/Context";
import type { ReclaimRules } from "../jetstream/claims.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Counters } from "./counters.ts";
import type { Streams } from "./streams.ts";
import type { Troubles } from "./troubles.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type Log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => void;

export class NodeContext extends Context.Service<
  NodeContext,
  {
    readonly site: string;
    readonly name: string;
    /** New with each start of the process. */
    readonly epoch: string;
    readonly nats: NatsService;
    readonly counters: Counters;
    readonly log: Log;
    readonly troubles: Troubles;
    readonly streams: Streams;
    /** How items of a mailbox are put back; null for a mailbox that this node does not know. */
    readonly reclaimRules: (mailbox: string) => ReclaimRules | null;
  }
>()("orrery/actors/NodeContext") {}

export type NodeContextService = NodeContext["Service"];
