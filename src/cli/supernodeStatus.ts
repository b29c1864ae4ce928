/** `orrery status` of a supernode: its nodes, and what it holds of each site. */
import * as Effect from "effect/Effect";
import { liveNodes } from "../jetstream/lease.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import type { SiteLink } from "./site.ts";
import type { Rebuilt, Sourced } from "./sourced.ts";
import { readSourced, sourcedTable } from "./sourced.ts";
import { nodesTable, restartLines } from "./statusView.ts";
import type { NodeStatus } from "./survey.ts";
import type { TableOptions } from "./table.ts";
import { paint } from "./table.ts";
import { clock, date, harmless } from "./words.ts";

export interface SupernodeStatus {
  readonly at: string;
  readonly supernode: string;
  readonly nats: string;
  readonly nodes: ReadonlyArray<NodeStatus>;
  readonly sites: ReadonlyArray<Sourced>;
}

export const readSupernodeStatus = (
  { site, nats, url }: SiteLink,
  rebuilt: Rebuilt,
): Effect.Effect<SupernodeStatus, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    const live = yield* liveNodes(nats);
    return {
      at: new Date(nats.now()).toISOString(),
      supernode: site.name,
      nats: url,
      nodes: [...live].map(([name, { v: _version, ...node }]) => ({ name, ...node })),
      sites: yield* readSourced(nats, rebuilt),
    };
  });

/** Several lines, each with a newline. */
export function renderSupernodeStatus(status: SupernodeStatus, options: TableOptions): string {
  const now = Date.parse(status.at);
  const { color } = options;
  const lines = [
    `${paint(color, "bold", `supernode ${harmless(status.supernode)}`)}  ${harmless(status.nats)}  ${date(now)} ${clock(now).slice(0, 8)} UTC\n\n`,
    status.nodes.length === 0
      ? `${paint(color, "red", "no node is running")}: what sites purge stays here, and nobody is told of a site that is cut off\n`
      : nodesTable(status.nodes, now, options),
    ...restartLines(status.nodes).map((line) => `${paint(color, "yellow", harmless(line))}\n`),
    "\n",
    status.sites.length === 0
      ? `no site is sourced: orrery site join lets one in, orrery site apply --supernode ${status.supernode} sources it\n`
      : sourcedTable(status.sites, options),
  ];
  return lines.join("");
}
