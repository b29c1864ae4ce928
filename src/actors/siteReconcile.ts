/**
 * Each site compared with what is held of it: some time after the start, when it has come back from a silence, and every few hours. One
 * site at a time, beside the keeper's ticks, which do not wait for it.
 */
import * as Effect from "effect/Effect";
import { reconcile } from "../jetstream/reconcile.ts";
import { reconcileAgainMs, reconcileEveryMs } from "../limits.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { Standing } from "./sourceAlarm.ts";

/** Looked for in memory only. */
const dueEveryMs = 1_000;

interface Planned {
  readonly epoch: string;
  dueAt: number;
  /** Not heard of, or not all of it has come: compared when it has. */
  behind: boolean;
  /** Since when it is heard of again; under load something is always on its way. */
  heardSince: number | null;
  /** Its sequences went back once: it is another life, also when they have grown past where they were. */
  wentBack: boolean;
}

export class SiteReconcile {
  readonly #node: NodeContextService;
  readonly #planned = new Map<string, Planned>();

  constructor(node: NodeContextService) {
    this.#node = node;
  }

  /** @param now milliseconds of any clock that only goes on, always the same one */
  saw(standings: ReadonlyArray<Standing>, now: number): void {
    const sites = new Set(standings.map(({ site }) => site));
    for (const site of this.#planned.keys()) if (!sites.has(site)) this.#planned.delete(site);
    for (const { site, epoch, stalled, silentMs, lag } of standings) {
      const before = this.#planned.get(site);
      // A life that was never heard of has nothing to compare with.
      const planned =
        before?.epoch === epoch
          ? before
          : { epoch, dueAt: Number.POSITIVE_INFINITY, behind: true, heardSince: null, wentBack: false };
      this.#planned.set(site, planned);
      if (stalled) {
        planned.behind = true;
        planned.heardSince = null;
      }
      // A server that has just come to lead the bucket has heard of nobody yet: that alone is no silence.
      if (stalled || silentMs === null) continue;
      planned.heardSince ??= now;
      if (!planned.behind || (lag > 0 && now - planned.heardSince < reconcileAgainMs)) continue;
      planned.behind = false;
      planned.dueAt = now;
    }
  }

  /** The site whose turn it is, or null. */
  due(now: number): { readonly name: string; readonly epoch: string } | null {
    for (const [name, { epoch, dueAt, behind }] of this.#planned)
      if (!behind && dueAt <= now) return { name, epoch };
    return null;
  }

  /** That life of it was compared, or could not be: again at that time. One that has begun meanwhile has its own. */
  done({ name, epoch }: { readonly name: string; readonly epoch: string }, againAt: number): void {
    const planned = this.#planned.get(name);
    if (planned?.epoch === epoch) planned.dueAt = againAt;
  }

  /** Runs until interrupted. */
  readonly run = (mayAct: () => boolean): Effect.Effect<never> =>
    Effect.gen({ self: this }, function* () {
      for (;;) {
        const site = mayAct() ? this.due(performance.now()) : null;
        if (site === null) yield* Effect.sleep(dueEveryMs);
        else yield* this.#compare(site);
      }
    });

  #compare(site: { readonly name: string; readonly epoch: string }): Effect.Effect<void> {
    const { nats, log, counters } = this.#node;
    const next = (ms: number) => Effect.sync(() => this.done(site, performance.now() + ms));
    const planned = this.#planned.get(site.name);
    const lookOnly = planned?.epoch === site.epoch && planned.wentBack;
    return Effect.matchEffect(reconcile(nats, site, { lookOnly }), {
      onFailure: (error) => {
        log("warn", "could not compare a site with what is held of it; it is tried again", {
          site: site.name,
          cause: error.message,
        });
        return next(reconcileAgainMs);
      },
      onSuccess: ({ named, ...found }) => {
        counters.dropped(site.name, "gone", found.dropped);
        const names = named.map(({ key, is }) => `${key} (${is})`).slice(0, 10);
        if (found.wentBack && planned !== undefined) planned.wentBack = true;
        if (found.wentBack || lookOnly)
          log(
            "error",
            "a site's sequences went back, as after a restore: orrery site apply takes it up anew, and until then nothing of it is dropped",
            { ...found, names },
          );
        else if (found.refused || found.missing + found.differs > 0)
          log("error", "a site has not what is held of it: orrery site reconcile says what to do", {
            ...found,
            names,
          });
        else if (found.gone > 0) log("info", "dropped keys that a site has no more", { ...found, names });
        else log("debug", "a site has what is held of it", { ...found });
        return next(reconcileEveryMs);
      },
    });
  }
}
