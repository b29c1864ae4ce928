/** A site's status for the eyes. */
import { agedWords } from "./rootWords.ts";
import { supernodeLinkWords } from "./supernodeLink.ts";
import type { MailboxStatus, NodeStatus, SiteStatus } from "./survey.ts";
import type { Cell, Style, TableOptions } from "./table.ts";
import { paint, table } from "./table.ts";
import { untakenWords } from "./takenWords.ts";
import { clock, count, date, duration, harmless, timeOf, times } from "./words.ts";

const emphasised = (n: number, style: Style): Cell => (n === 0 ? quiet("0") : { text: count(n), style });
const quiet = (text: string): Cell => ({ text, style: "dim" });
const number = (n: number): Cell => (n === 0 ? quiet("0") : { text: count(n) });

const since = (iso: string | null, now: number): string => {
  const at = timeOf(iso ?? undefined);
  return at === null ? "" : duration(now - at);
};

const actorsShownMax = 8;

export function nodesTable(nodes: ReadonlyArray<NodeStatus>, now: number, options: TableOptions): string {
  const rows = nodes.map((node) => {
    const restarts = node.actors.reduce((sum, actor) => sum + actor.restarts, 0);
    const troubled = node.actors.filter((actor) => actor.status !== "running");
    return [
      node.name,
      since(node.startedAt, now),
      `${node.host}/${node.pid}`,
      node.http ?? "-",
      number(node.actors.length),
      emphasised(restarts, "yellow"),
      troubled.length === 0
        ? { text: "all run", style: "green" as const }
        : {
            text: troubled
              .slice(0, actorsShownMax)
              .map((actor) => `${actor.name} ${actor.status}`)
              .join(", "),
            style: "red" as const,
          },
    ];
  });
  return table(
    [
      { title: "NODE", give: 10 },
      { title: "UP", right: true },
      { title: "PROCESS", give: 10 },
      { title: "HTTP" },
      { title: "ACTORS", right: true },
      { title: "RESTARTS", right: true },
      { title: "STATE", give: 10, prose: true },
    ],
    rows,
    options,
  );
}

/** Restarts by actor, for those that had any. */
export function restartLines(nodes: ReadonlyArray<NodeStatus>): ReadonlyArray<string> {
  return nodes.flatMap((node) =>
    node.actors
      .filter((actor) => actor.restarts > 0)
      .map((actor) => `${node.name}: ${actor.name} was restarted ${times(actor.restarts)}`),
  );
}

/** A trouble that was not met again for so long may be over: no work came that would have shown it. */
const troubleFreshMs = 60_000;

function troubleLines(nodes: ReadonlyArray<NodeStatus>, now: number): ReadonlyArray<string> {
  return nodes.flatMap((node) =>
    (node.troubles ?? []).map((trouble) => {
      const where = nodes.length > 1 ? `${node.name}: ` : "";
      const idleMs = now - (timeOf(trouble.lastAt) ?? now);
      const last = idleMs > troubleFreshMs ? ` (last tried ${duration(idleMs)} ago)` : "";
      return `${where}${trouble.mailbox}: ${trouble.what} is away for ${since(trouble.since, now)}${last}: ${trouble.detail}`;
    }),
  );
}

function mailboxesTable(mailboxes: ReadonlyArray<MailboxStatus>, now: number, options: TableOptions): string {
  return table(
    [
      { title: "LANE", give: 10 },
      { title: "QUEUED", right: true },
      { title: "IN HAND", right: true },
      { title: "OLDEST", right: true },
      { title: "IN/MIN", right: true },
      { title: "SETTLED/MIN", right: true },
      { title: "DUE", right: true },
      { title: "WAITING", right: true },
      { title: "PARKED", right: true },
    ],
    mailboxes.map((one) => [
      one.mailbox,
      one.queued === null
        ? quiet("-")
        : one.replays === 0
          ? number(one.queued)
          : `${count(one.queued)} + ${count(one.replays)}`,
      number(one.inHand),
      since(one.oldestAt, now),
      number(one.inLastMinute),
      number(one.settledLastMinute),
      emphasised(one.due, "yellow"),
      emphasised(one.waiting, "cyan"),
      emphasised(one.parked, "red"),
    ]),
    options,
  );
}

function claimsTable(status: SiteStatus, now: number, options: TableOptions): string {
  const rows = [...status.claims]
    .sort((a, b) => a.since.localeCompare(b.since))
    .map((claim) => [
      `${claim.node}/${claim.worker}`,
      claim.mailbox,
      count(claim.items),
      since(claim.since, now),
      claim.nodeIsAlive ? "" : { text: "its node is gone: about to be taken back", style: "red" as const },
    ]);
  return table(
    [
      { title: "WORKER", give: 10 },
      { title: "LANE", give: 8 },
      { title: "ITEMS", right: true },
      { title: "FOR", right: true },
      { title: "", give: 10, prose: true },
    ],
    rows,
    options,
  );
}

const total = (status: SiteStatus, of: (one: MailboxStatus) => number): number =>
  status.mailboxes.reduce((sum, one) => sum + of(one), 0);

/** Several lines, each with a newline. */
export function renderStatus(status: SiteStatus, options: TableOptions): string {
  const now = Date.parse(status.at);
  const { color } = options;
  const safe = status.durability.startsWith("fsync before");
  const lines: Array<string> = [
    `${paint(color, "bold", `site ${harmless(status.site)}`)}  ${harmless(status.nats)}  ${date(now)} ${clock(now).slice(0, 8)} UTC\n`,
    `${safe ? status.durability : paint(color, "yellow", harmless(status.durability))}\n`,
  ];
  if (status.supernode != null) {
    const [words, style] = supernodeLinkWords(status.supernode);
    lines.push(`${paint(color, style, harmless(words))}\n`);
  }
  lines.push("\n");
  if (status.nodes.length === 0) {
    lines.push(`${paint(color, "red", "no node is running")}: what arrives waits until one is started\n`);
  } else lines.push(nodesTable(status.nodes, now, options));
  for (const line of troubleLines(status.nodes, now)) lines.push(`${paint(color, "red", harmless(line))}\n`);
  for (const aged of status.aged) lines.push(`${paint(color, "red", harmless(agedWords(aged)))}\n`);
  const untaken = status.untaken === null ? null : untakenWords(status.untaken);
  if (untaken !== null) lines.push(`${paint(color, "yellow", harmless(untaken))}\n`);
  for (const line of restartLines(status.nodes)) lines.push(`${paint(color, "yellow", harmless(line))}\n`);
  lines.push("\n", mailboxesTable(status.mailboxes, now, options));
  if (status.claims.length > 0) lines.push("\n", claimsTable(status, now, options));
  const next = timeOf(status.nextDueAt ?? undefined);
  const hints: Array<string> = [];
  if (next !== null) {
    hints.push(
      next <= now ? "due items are being put back" : `the next due item is tried in ${duration(next - now)}`,
    );
  }
  if (total(status, (one) => one.replays) > 0)
    hints.push("QUEUED + replayed: what orrery replay announced waits until nothing else of the lane does");
  if (total(status, (one) => one.parked) > 0) hints.push("orrery parked ls says why items are parked");
  if (hints.length > 0) lines.push("\n", ...hints.map((hint) => `${paint(color, "dim", hint)}\n`));
  return lines.join("");
}
