/** What `nats service list|info|stats` sees: each actor of the tree, with its mailbox and what it has done. */
import type { ServiceActor } from "../jetstream/services.ts";
import type { NodeContextService } from "../actors/NodeContext.ts";
import { presenceQueue } from "../actors/presence.ts";
import { arrivalsConsumer, itemsConsumer, receiverConsumer, visitsConsumer } from "../jetstream/topology.ts";
import { runsConsumer } from "../protocol/runQueue.ts";
import {
  arrivalsStream,
  itemsStream,
  kvStream,
  ledgerBucket,
  presenceRequestSubject,
} from "../protocol/keys.ts";
import type { TreeNode } from "../supervisor/index.ts";

interface Place {
  readonly subject: string;
  readonly queueGroup?: string;
  /** Beginning of the counters' names that are this actor's. */
  readonly counters: string;
}

/** From an actor's name in the tree to where it takes its work from. */
function placeOf(name: string, users: ReadonlySet<string>): Place {
  const base = name.replace(/-\d+$/, "");
  if (users.has(base)) {
    return { subject: `${itemsStream}/${itemsConsumer(base)}`, counters: `items.item-${base}.` };
  }
  if (base.startsWith("ingest-")) {
    const lane = base.slice("ingest-".length);
    return { subject: `${arrivalsStream}/${arrivalsConsumer(lane)}`, counters: `items.${lane}.` };
  }
  if (base.startsWith("run-")) {
    const lane = base.slice("run-".length);
    return { subject: `${kvStream(ledgerBucket)}/${runsConsumer(lane)}`, counters: `items.${base}.` };
  }
  if (name.startsWith("notify-")) {
    const receiver = name.slice("notify-".length);
    return {
      subject: `${kvStream(ledgerBucket)}/${receiverConsumer(receiver)}`,
      counters: `webhooks.${receiver}.`,
    };
  }
  switch (base) {
    case "visits":
      return { subject: `${kvStream(ledgerBucket)}/${visitsConsumer}`, counters: "visits." };
    case "presence":
      return { subject: presenceRequestSubject, queueGroup: presenceQueue, counters: "lookups." };
    case "reclaimer":
      return { subject: "$KV.ledger.due.>", counters: "reclaimed." };
    case "resolver":
      return { subject: "$KV.ledger.file.>", counters: "runs." };
    case "keeper":
      return { subject: "$KV.sites.>", counters: "sites." };
    case "http":
      return { subject: "http", counters: "requests." };
    default:
      return { subject: name, counters: `${name}.` };
  }
}

export function serviceActors(
  node: NodeContextService,
  tree: TreeNode,
  version: string,
  users: ReadonlySet<string>,
): ReadonlyArray<ServiceActor> {
  const totals = Object.entries(node.counters.totals());
  return tree.children.map((child): ServiceActor => {
    const place = placeOf(child.name, users);
    const own = totals.filter(([name]) => name.startsWith(place.counters));
    const errors = own.filter(([name]) => /\.(permanent|transient|crash|refused|given-up|5\d\d)$/.test(name));
    const sum = (of: ReadonlyArray<readonly [string, number]>): number =>
      of.reduce((n, [, count]) => n + count, 0);
    return {
      name: `orrery-${child.name}`,
      id: `${node.name}-${node.epoch}-${child.name}`,
      version,
      description: `Orrery actor ${child.name} on node ${node.name} of site ${node.site}`,
      metadata: {
        site: node.site,
        node: node.name,
        status: child.status,
        restarts: String(child.restarts),
      },
      startedAt: new Date(child.startedAt ?? Date.now()),
      endpoints: [
        {
          name: child.name,
          subject: place.subject,
          ...(place.queueGroup === undefined ? {} : { queueGroup: place.queueGroup }),
          requests: sum(own),
          errors: sum(errors),
          lastError: child.lastExit ?? "",
          processingMs: 0,
          data: Object.fromEntries(own),
        },
      ],
    };
  });
}
