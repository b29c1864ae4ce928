/** Counts of what happened in this process, as Effect metrics; `/metrics` and `$SRV.STATS` show them. Updated per batch. */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import type { Outcome } from "../protocol/lifecycle.ts";

type Tags = Readonly<Record<string, string>>;

export interface SiteGauges {
  /** Since anything was heard of it. */
  readonly silentSeconds: number;
  readonly stalled: boolean;
  /** Messages of the site that are not here yet, as far as the supernode knows. */
  readonly lag: number;
  /** Keys of files. */
  readonly files: number;
}

export interface Counters {
  readonly received: (lane: string, count: number) => void;
  readonly skipped: (why: string, count: number) => void;
  readonly duplicates: (mailbox: string, count: number) => void;
  readonly stale: (mailbox: string, count: number) => void;
  readonly refusedSettles: (mailbox: string, count: number) => void;
  readonly settled: <Body>(
    mailbox: string,
    items: ReadonlyArray<object>,
    outcomes: ReadonlyMap<object, Outcome<Body>>,
    ms: number,
  ) => void;
  readonly reclaimed: (mailbox: string, count: number) => void;
  readonly putBack: (mailbox: string, count: number) => void;
  readonly lookups: (present: boolean, count: number) => void;
  readonly requests: (route: string, status: number, count?: number) => void;
  /** What of one source address was refused because there was too much of it. */
  readonly limited: (what: "notifications" | "connections", count: number) => void;
  /** Webhook requests, by what became of them. */
  readonly webhooks: (
    receiver: string,
    outcome: "accepted" | "refused" | "given-up" | "again",
    count?: number,
  ) => void;
  /** Files that a receiver is still to be told of, as this node sees it. */
  readonly untold: (receiver: string, count: number) => void;
  /** Visits written. */
  readonly visits: (system: string, count: number) => void;
  /** Whether work of the mailbox was given back last because something is away. */
  readonly trouble: (mailbox: string, present: boolean) => void;
  /** Arrivals pending and in hand, as last polled. */
  readonly backlog: (lane: string, count: number) => void;
  /** Runs ready and in hand, as last polled. */
  readonly runsBacklog: (lane: string, count: number) => void;
  /** The same of what is replayed. */
  readonly replays: (lane: string, count: number) => void;
  /** Days since the newest file of a data set that is watched, and whether that is too long. */
  readonly fileAge: (dataset: string, days: number, aged: boolean) => void;
  /** What a supernode holds of a site, and how it comes: see {@link SiteGauges}. */
  readonly site: (site: string, gauges: SiteGauges) => void;
  /** Keys that a supernode dropped because the site no longer has them. */
  readonly dropped: (site: string, why: "epoch" | "day" | "gone", count: number) => void;
  /** Keys that a supernode keeps of former lives of a site, because the present one has much less. */
  readonly formerKeys: (site: string, count: number) => void;
  /** Totals by name, for `$SRV.STATS` and the live view. */
  readonly totals: () => Readonly<Record<string, number>>;
}

const counters = {
  received: Metric.counter("orrery_received_total", { description: "Arrivals committed to the stream" }),
  skipped: Metric.counter("orrery_skipped_total", {
    description: "Notification records skipped, by reason",
  }),
  items: Metric.counter("orrery_items_total", { description: "Items settled, by mailbox and outcome" }),
  duplicates: Metric.counter("orrery_duplicates_total", {
    description: "Deliveries of what is settled already",
  }),
  stale: Metric.counter("orrery_stale_total", { description: "Deliveries of another generation" }),
  refused: Metric.counter("orrery_refused_settles_total", {
    description: "Settles that the ledger refused",
  }),
  reclaimed: Metric.counter("orrery_reclaimed_total", {
    description: "Items taken back from dead workers",
  }),
  putBack: Metric.counter("orrery_put_back_total", {
    description: "Due items put back into their queue",
  }),
  lookups: Metric.counter("orrery_presence_lookups_total", { description: "Presence look-ups, by answer" }),
  webhooks: Metric.counter("orrery_webhooks_total", {
    description: "Webhook requests, by receiver and outcome",
  }),
  dropped: Metric.counter("orrery_site_dropped_total", {
    description: "Keys that the supernode dropped because the site no longer has them, by site and reason",
  }),
  visits: Metric.counter("orrery_visits_total", { description: "Visits written, by system" }),
  limited: Metric.counter("orrery_limited_total", {
    description: "Refused because one source address sent too much, by what it was",
  }),
  requests: Metric.counter("orrery_http_requests_total", {
    description: "HTTP requests, by route and status",
  }),
};

const batchMs = Metric.histogram("orrery_claim_ms", {
  description: "From claim to settle, ms",
  boundaries: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000],
});

const backlog = Metric.gauge("orrery_backlog", { description: "Arrivals pending and in hand, by lane" });

const runsBacklog = Metric.gauge("orrery_runs_backlog", { description: "Runs ready and in hand, by lane" });

const replays = Metric.gauge("orrery_replay_backlog", {
  description:
    "Replayed arrivals pending and in hand, by lane: they wait while anything else of the lane does",
});

const trouble = Metric.gauge("orrery_trouble", {
  description: "1 while the storage or the catalog of a mailbox is away, as this node sees it",
});

const fileAge = Metric.gauge("orrery_file_age_days", {
  description: "Days since the newest file of a data set, of those that may not grow old",
});

const aged = Metric.gauge("orrery_files_aged", {
  description: "1 while the newest file of a data set is older than the job catalogue lets it be",
});

const untold = Metric.gauge("orrery_webhook_backlog", {
  description:
    "Files that a receiver is still to be told of, by receiver, as the node sees it whose turn it is",
});

const sites = {
  silentSeconds: Metric.gauge("orrery_site_silent_seconds", {
    description: "Since the supernode heard anything of a site",
  }),
  stalled: Metric.gauge("orrery_site_stalled", {
    description: "1 while a site is not heard of, or cannot be sourced",
  }),
  lag: Metric.gauge("orrery_site_lag", {
    description: "Messages of a site that are not at the supernode yet, as far as it knows",
  }),
  files: Metric.gauge("orrery_site_files", { description: "Keys of a site's files at the supernode" }),
};

const formerKeys = Metric.gauge("orrery_site_former_keys", {
  description: "Keys that the supernode keeps of a site's former lives: the present one has much less",
});

/** Metrics live in a registry of their context: the same one must be given to the exporter. */
export const makeCounters = Effect.map(Effect.context(), (context): Counters => {
  const totals: Record<string, number> = {};
  const bump = (name: string, count: number): void => {
    totals[name] = (totals[name] ?? 0) + count;
  };
  const tagged = new Map<string, Metric.Metric<number, unknown>>();
  const add = (metric: keyof typeof counters, tags: Tags, count: number): void => {
    if (count === 0) return;
    const key = `${metric}:${Object.values(tags).join(":")}`;
    let found = tagged.get(key);
    if (found === undefined) {
      found = Metric.withAttributes(counters[metric], tags);
      tagged.set(key, found);
    }
    found.updateUnsafe(count, context);
    bump(Object.values(tags).length === 0 ? metric : `${metric}.${Object.values(tags).join(".")}`, count);
  };
  return {
    received: (lane, count) => add("received", { lane }, count),
    skipped: (why, count) => add("skipped", { why }, count),
    duplicates: (mailbox, count) => add("duplicates", { mailbox }, count),
    stale: (mailbox, count) => add("stale", { mailbox }, count),
    refusedSettles: (mailbox, count) => add("refused", { mailbox }, count),
    reclaimed: (mailbox, count) => add("reclaimed", { mailbox }, count),
    putBack: (mailbox, count) => add("putBack", { mailbox }, count),
    lookups: (present, count) => add("lookups", { present: String(present) }, count),
    requests: (route, status, count = 1) => add("requests", { route, status: String(status) }, count),
    limited: (what, count) => add("limited", { what }, count),
    webhooks: (receiver, outcome, count = 1) => add("webhooks", { receiver, outcome }, count),
    untold: (receiver, count) => Metric.withAttributes(untold, { receiver }).updateUnsafe(count, context),
    visits: (system, count) => add("visits", { system }, count),
    settled: (mailbox, items, outcomes, ms) => {
      const by: Record<string, number> = {};
      for (const item of items) {
        const outcome = outcomes.get(item)?.type ?? "refused";
        by[outcome] = (by[outcome] ?? 0) + 1;
      }
      for (const [outcome, count] of Object.entries(by)) add("items", { mailbox, outcome }, count);
      Metric.withAttributes(batchMs, { mailbox }).updateUnsafe(ms, context);
    },
    trouble: (mailbox, present) =>
      Metric.withAttributes(trouble, { mailbox }).updateUnsafe(present ? 1 : 0, context),
    backlog: (lane, count) => Metric.withAttributes(backlog, { lane }).updateUnsafe(count, context),
    runsBacklog: (lane, count) => Metric.withAttributes(runsBacklog, { lane }).updateUnsafe(count, context),
    replays: (lane, count) => Metric.withAttributes(replays, { lane }).updateUnsafe(count, context),
    fileAge: (dataset, days, isAged) => {
      Metric.withAttributes(fileAge, { dataset }).updateUnsafe(days, context);
      Metric.withAttributes(aged, { dataset }).updateUnsafe(isAged ? 1 : 0, context);
    },
    site: (site, gauges) => {
      for (const name of ["silentSeconds", "stalled", "lag", "files"] as const)
        Metric.withAttributes(sites[name], { site }).updateUnsafe(Number(gauges[name]), context);
    },
    dropped: (site, why, count) => add("dropped", { site, why }, count),
    formerKeys: (site, count) => Metric.withAttributes(formerKeys, { site }).updateUnsafe(count, context),
    totals: () => ({ ...totals }),
  };
});
