/** Failures that are expected; each says what state it leaves and what to do. */
import * as Schema from "effect/Schema";

/** What a user may not, from a server's own words; null where these say something else. */
export function refusalIn(detail: string): string | null {
  const found = /permissions violation for (publish|subscription) to "([^"]+)"/i.exec(detail);
  if (found === null) return null;
  const [, verb = "", subject = ""] = found;
  return `${verb.toLowerCase() === "publish" ? "publish to" : "listen to"} ${subject}`;
}

/** NATS, or one of its streams, did not answer in time. Nothing is known of what was sent: ask, then send again. */
export class NatsUnavailable extends Schema.TaggedError<NatsUnavailable>()("NatsUnavailable", {
  operation: Schema.String,
  detail: Schema.String,
}) {
  /** The server did answer: the credentials do not allow it. Then it is this that they may not. */
  get refusal(): string | null {
    return refusalIn(this.detail);
  }
  override get message(): string {
    if (this.refusal !== null)
      return `${this.operation}: refused, these credentials may not ${this.refusal}. Nothing of it was stored.`;
    return `${this.operation}: no answer from NATS (${this.detail}). Nothing is known to be stored; it is tried again once NATS answers. Check that nats-server runs and is reachable.`;
  }
}

/** Another writer was first: one of the expected revisions no longer holds. Nothing of the batch was stored. */
export class TransactionConflict extends Schema.TaggedError<TransactionConflict>()("TransactionConflict", {
  code: Schema.Number,
  detail: Schema.String,
}) {
  override get message(): string {
    return `transaction refused, an expected revision has changed (${this.code}: ${this.detail}). Nothing of it was stored; read the keys and decide again.`;
  }
}

/** The batch holds a message id that is stored already. Nothing of the batch was stored; send its messages singly. */
export class TransactionDuplicate extends Schema.TaggedError<TransactionDuplicate>()("TransactionDuplicate", {
  detail: Schema.String,
}) {
  override get message(): string {
    return `transaction refused, it holds a message that is stored already (${this.detail}). Nothing of it was stored; send the messages one by one.`;
  }
}

/** The server has no room for another batch just now (10210), or lost a part of it. Nothing was stored; try again. */
export class TransactionBusy extends Schema.TaggedError<TransactionBusy>()("TransactionBusy", {
  code: Schema.Number,
  detail: Schema.String,
}) {
  override get message(): string {
    return `the server could not take the transaction now (${this.code}: ${this.detail}). Nothing of it was stored; it is tried again.`;
  }
}

/** The server will not take it as it is: stream missing, storage full, permissions. Nothing was stored. */
export class JetStreamRejected extends Schema.TaggedError<JetStreamRejected>()("JetStreamRejected", {
  operation: Schema.String,
  code: Schema.Number,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.operation} was refused by the server (${this.code}: ${this.detail}). Nothing was stored; compare with: orrery topology plan`;
  }
}

/** A second process of the same node name is alive. This one has changed nothing and must not go on. */
export class NodeNameTaken extends Schema.TaggedError<NodeNameTaken>()("NodeNameTaken", {
  node: Schema.String,
  host: Schema.String,
  pid: Schema.Number,
}) {
  override get message(): string {
    return `node "${this.node}" is already running (process ${this.pid} on ${this.host}). Give this one another name: --node NAME`;
  }
}

/** The ledger was written by a newer program in a form that this one does not understand. This one has changed nothing. */
export class FormatNewer extends Schema.TaggedError<FormatNewer>()("FormatNewer", {
  found: Schema.Number,
  known: Schema.Number,
}) {
  override get message(): string {
    return `the site's ledger has format ${this.found}, and this program knows formats up to ${this.known}: a newer program has written to it. Nothing was changed; start this node with the version that the others run`;
  }
}

/** This program would raise the ledger's format while nodes run that would then misread it. Nothing was changed. */
export class FormatOlder extends Schema.TaggedError<FormatOlder>()("FormatOlder", {
  found: Schema.Number,
  writes: Schema.Number,
  nodes: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `the site's ledger has format ${this.found}, this program writes format ${this.writes}, and nodes run that would misread it: ${this.nodes.join(", ")}. Nothing was changed; stop them first, then start this node`;
  }
}

/** A restore of the site was begun and has not ended: what stands on the server may be a part of it. Nothing was changed. */
export class RestoreUnfinished extends Schema.TaggedError<RestoreUnfinished>()("RestoreUnfinished", {
  /** ISO 8601, by the server's clock. */
  since: Schema.String,
  /** The backup's folder, as the machine that restores it names it. */
  from: Schema.String,
}) {
  override get message(): string {
    return `a restore of this site began at ${this.since} and has not ended: a part of it only may be here. Let it end, or run it again (orrery restore ${this.from}); to give it up, orrery topology destroy`;
  }
}

/** A newer process has taken this node's name. This one must stop: its claims are being recovered. */
export class NodeSuperseded extends Schema.TaggedError<NodeSuperseded>()("NodeSuperseded", {
  node: Schema.String,
  epoch: Schema.String,
  newer: Schema.String,
}) {
  override get message(): string {
    return `node "${this.node}" was started again elsewhere (epoch ${this.newer}); this process (epoch ${this.epoch}) stops. Its claims are recovered by the newer one.`;
  }
}

export type JetStreamError =
  | NatsUnavailable
  | TransactionConflict
  | TransactionDuplicate
  | TransactionBusy
  | JetStreamRejected;
