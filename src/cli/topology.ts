/** `orrery topology plan|apply`: the server's streams, buckets and consumers against what the site needs. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { openObjects } from "../jetstream/objects.ts";
import { checkFormat } from "../jetstream/format.ts";
import * as Topology from "../jetstream/topology.ts";
import type { Change } from "../jetstream/topology.ts";
import { siteTopology } from "../node/link.ts";
import { runsBucket } from "../protocol/runs.ts";
import { loadActors } from "./actorModules.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, no, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import type { SiteLink } from "./site.ts";
import { openSite } from "./site.ts";
import { paint } from "./table.ts";
import { plural } from "./words.ts";

export interface TopologyOptions {
  readonly site: string | null;
  readonly json: boolean;
}

const marks = { create: ["+", "green"], update: ["~", "yellow"], refuse: ["!", "red"] } as const;

function show(io: IoService, changes: ReadonlyArray<Change>): void {
  for (const change of changes) {
    const [mark, style] = marks[change.kind];
    say(io, `${paint(io.out.color, style, mark)} ${change.words}`);
  }
}

const opened = (io: IoService, options: TopologyOptions) =>
  Effect.gen(function* () {
    const link = yield* openSite(io, options.site);
    const actors = yield* loadActors(link.site);
    return { link, topology: siteTopology(link.site, actors) };
  });

const agrees = (link: SiteLink): string => `${link.url} has all that site ${link.site.name} needs`;

/** Ends with "no" when something is to be changed. */
export const plan = (
  io: IoService,
  options: TopologyOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { link, topology } = yield* opened(io, options);
    const changes = yield* Topology.plan(link.nats, topology).pipe(Effect.mapError(ofJetStream));
    if (options.json) sayJson(io, { site: link.site.name, nats: link.url, changes });
    else if (changes.length === 0) say(io, agrees(link));
    else show(io, changes);
    if (changes.length === 0) return undefined;
    const refused = changes.filter((change) => change.kind === "refuse").length;
    const rest = refused === 0 ? "" : `, ${refused} of which it will not make`;
    return yield* no(
      options.json ? "" : `${plural(changes.length, "change")}: orrery topology apply makes them${rest}`,
    );
  });

export const apply = (
  io: IoService,
  options: TopologyOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { link, topology } = yield* opened(io, options);
    yield* checkFormat(link.nats).pipe(
      Effect.mapError((error) => (error._tag === "FormatNewer" ? failed(error.message) : ofJetStream(error))),
    );
    const changes = yield* Topology.apply(link.nats, topology).pipe(Effect.mapError(ofJetStream));
    // Where nodes may make no streams they cannot make the one for what runs write, either.
    yield* openObjects(link.nats, runsBucket, link.site.nats.replicas).pipe(Effect.mapError(ofJetStream));
    const refused = changes.filter((change) => change.kind === "refuse");
    if (options.json) sayJson(io, { site: link.site.name, nats: link.url, changes });
    else if (changes.length === 0) say(io, agrees(link));
    else {
      show(io, changes);
      say(io, `${plural(changes.length - refused.length, "change")} made at ${link.url}`);
    }
    if (refused.length === 0) return undefined;
    return yield* failed(
      options.json
        ? ""
        : `${plural(refused.length, "change")} (marked !) not made: what is stored would be lost. Export what must be kept, remove the asset with the nats CLI, and apply again`,
    );
  });
