/** `orrery site reconcile`: what the supernode has of a site against what the site has, and what is to go dropped. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { Reconciled } from "../jetstream/reconcile.ts";
import { reconcile as compare } from "../jetstream/reconcile.ts";
import { sourceStates } from "../jetstream/sitesBucket.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, no, ofJetStream, unreachable } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import type { SourcesOptions } from "./siteSources.ts";
import { opened, rebuiltOf } from "./siteSources.ts";
import { count, harmless, plural } from "./words.ts";

export interface ReconcileOptions extends SourcesOptions {
  readonly name: string;
  /** Drop nothing. */
  readonly dryRun: boolean;
  /** Drop also where most of the site would go. */
  readonly evenMost: boolean;
}

/** Ends with "no" when something differs that it cannot mend, or may not. */
export const reconcile = (
  io: IoService,
  options: ReconcileOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const at = yield* opened(io, options);
    const { nats } = at;
    const rebuiltBy = yield* rebuiltOf(at, options);
    const states = yield* sourceStates(nats).pipe(Effect.mapError(ofJetStream));
    const source = states.find(({ site }) => site === options.name);
    if (source === undefined) {
      const known = states.map(({ site }) => site).join(", ");
      return yield* misused(`${options.name} is not sourced here${known === "" ? "" : `: ${known} are`}`);
    }
    const found = yield* compare(
      nats,
      { name: source.site, epoch: source.epoch },
      { lookOnly: options.dryRun, evenMost: options.evenMost },
    ).pipe(
      Effect.mapError((error) =>
        error._tag === "NatsUnavailable"
          ? unreachable(`${options.name} is not reached from ${options.supernode}: ${error.detail}`)
          : failed(error.message),
      ),
    );
    if (options.json) sayJson(io, { supernode: options.supernode, ...found, dryRun: options.dryRun });
    else show(io, found, options);
    const open =
      found.missing +
      found.differs +
      (found.wentBack ? 1 : 0) +
      (found.gone - found.dropped > 0 && !options.dryRun ? 1 : 0);
    if (open === 0 && !(options.dryRun && found.gone > 0)) return undefined;
    return yield* no(options.json ? "" : advice(found, options, rebuiltBy(source)));
  });

function show(io: IoService, found: Reconciled, { supernode, dryRun }: ReconcileOptions): void {
  const { site, here, there, gone, dropped, behind, missing, differs } = found;
  say(io, `${site}: ${plural(there, "key")} there, ${count(here)} at ${supernode}`);
  for (const { key, is } of found.named) say(io, `  ${is.padEnd(7)} ${harmless(key)}`);
  if (behind > 0) say(io, `${plural(behind, "key")} on the way`);
  if (gone > 0)
    say(
      io,
      `${plural(gone, "key")} ${site} has no more: ${dryRun ? "none" : count(dropped)} dropped at ${supernode}`,
    );
  if (missing > 0) say(io, `${plural(missing, "key")} should be at ${supernode} and are not`);
  if (differs > 0) say(io, `${plural(differs, "key")} are not as ${site} has them`);
  if (found.wentBack) say(io, `the ledger of ${site} ends before what came of it: its sequences went back`);
  else if (gone + missing + differs + behind === 0) say(io, "all as it should be");
}

function advice(
  { refused, wentBack, missing, differs, gone, site }: Reconciled,
  { dryRun, supernode }: ReconcileOptions,
  rebuilt: string | null,
): string {
  if (rebuilt !== null) return `${site} was rebuilt, and what is here is of its former life: ${rebuilt}`;
  if (wentBack) {
    return `${site} was restored or made anew: run orrery site apply where its folder has its new epoch; until then nothing of it is dropped`;
  }
  if (missing + differs > 0) {
    const kept = refused && gone > 0 ? "; nothing was dropped, which --even-most does all the same" : "";
    return `${site} has other keys than came to ${supernode}, as when a copy of its store was put back: at the site orrery backup, topology destroy and restore give it a new epoch, which orrery topology apply --supernode ${supernode} takes over${kept}`;
  }
  if (refused) return `more than half would go: if ${site} has really lost it, say --even-most`;
  return dryRun ? "without --dry-run they are dropped" : "not all was dropped: run it again";
}
