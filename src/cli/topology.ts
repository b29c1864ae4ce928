/** `orrery topology plan|apply|destroy`: what stands on a site's or the supernode's servers against what is needed. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { managed } from "../jetstream/Nats.ts";
import { endUnfinished, readUnfinished } from "../jetstream/restoring.ts";
import type { Change } from "../jetstream/topologyDiff.ts";
import { ourStreams } from "../jetstream/topologySurplus.ts";
import { unfinishedStream } from "../protocol/keys.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, no, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson, tell } from "./Io.ts";
import { noNodes } from "./restore.ts";
import { beginNewLife } from "./siteLife.ts";
import { paint, table } from "./table.ts";
import type { Target, TargetOptions } from "./topologyTarget.ts";
import { openTarget } from "./topologyTarget.ts";
import { bytes, count, plural } from "./words.ts";

export interface TopologyOptions extends TargetOptions {
  /** Names of assets with commas between, of which something may be lost. */
  readonly lose: string | null;
  readonly json: boolean;
}

export interface DestroyOptions extends TargetOptions {
  /** The name of the site or supernode, typed. */
  readonly yes: string | null;
  readonly whileNodesRun: boolean;
  readonly json: boolean;
}

const marks = {
  create: ["+", "green"],
  update: ["~", "yellow"],
  replace: ["±", "yellow"],
  remove: ["-", "yellow"],
  refuse: ["!", "red"],
} as const;

export function show(io: IoService, changes: ReadonlyArray<Change>): void {
  for (const change of changes) {
    const [mark, style] = marks[change.kind];
    say(io, `${paint(io.out.color, style, mark)} ${change.words}`);
  }
}

/** No difference that was found: a server of which nothing is known. */
const isUnheard = ({ asset }: Change): boolean => asset.startsWith("server ");

function unheardWords(unheard: ReadonlyArray<Change>): ReadonlyArray<string> {
  const names = unheard.map(({ asset }) => asset.slice("server ".length)).join(", ");
  return unheard.length === 0 ? [] : [`${names} did not answer: do it again when all do`];
}

const agrees = ({ kind, name, url }: Target): string => `${url} has all that ${kind} ${name} needs`;

const applyWords = (options: TargetOptions): string =>
  options.supernode === null
    ? "orrery topology apply"
    : `orrery topology apply --supernode ${options.supernode}${options.dir === null ? "" : ` --dir ${options.dir}`}`;

/** Names of what may be lost, held against what there is: a name that is none is a mistake, and not nothing. */
function mayLoseOf(
  lose: string | null,
  changes: ReadonlyArray<Change>,
): Effect.Effect<ReadonlySet<string>, CommandFailed> {
  const names = (lose ?? "").split(",").filter((name) => name !== "");
  const lossy = changes.flatMap(({ loses, asset }) =>
    loses === undefined ? [] : [asset.slice(asset.indexOf(" ") + 1)],
  );
  const unknown = names.find((name) => !lossy.includes(name));
  if (unknown === undefined) return Effect.succeed(new Set(names));
  const known = lossy.length === 0 ? "nothing would be lost" : `it would lose ${lossy.join(", ")}`;
  return Effect.fail(misused(`--lose ${unknown}: nothing of that name would be lost; ${known}`));
}

/** Ends with "no" when something is to be changed. */
export const plan = (
  io: IoService,
  options: TopologyOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const target = yield* openTarget(io, options);
    const first = yield* target.plan(new Set());
    const mayLose = yield* mayLoseOf(options.lose, first);
    const changes = mayLose.size === 0 ? first : yield* target.plan(mayLose);
    const losses = yield* target.lost(changes);
    if (options.json) sayJson(io, { [target.kind]: target.name, nats: target.url, changes, lost: losses });
    else if (changes.length === 0) say(io, agrees(target));
    else show(io, changes);
    if (!options.json) for (const line of losses) say(io, `lost: ${line}`);
    if (changes.length === 0) return undefined;
    const unheard = changes.filter(isUnheard);
    const found = changes.length - unheard.length;
    const refused = changes.filter((change) => change.kind === "refuse").length - unheard.length;
    const rest = refused === 0 ? "" : `, ${refused} of which it will not make`;
    const made = found === 0 ? [] : [`${plural(found, "change")}: ${applyWords(options)} makes them${rest}`];
    return yield* no(options.json ? "" : [...made, ...unheardWords(unheard)].join("; "));
  });

export const apply = (
  io: IoService,
  options: TopologyOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const target = yield* openTarget(io, options);
    const mayLose =
      options.lose === null
        ? new Set<string>()
        : yield* mayLoseOf(options.lose, yield* target.plan(new Set()));
    const changes = yield* target.apply(mayLose);
    const refused = changes.filter((change) => change.kind === "refuse");
    const losses = yield* target.lost(changes);
    if (options.json) sayJson(io, { [target.kind]: target.name, nats: target.url, changes, lost: losses });
    else if (changes.length === 0) say(io, agrees(target));
    else {
      show(io, changes);
      say(io, `${plural(changes.length - refused.length, "change")} made at ${target.url}`);
      for (const line of losses) say(io, `lost: ${line}`);
    }
    if (refused.length === 0) return undefined;
    const unheard = refused.filter(isUnheard);
    const left = refused.length - unheard.length;
    const lost = refused.some(({ loses }) => loses !== undefined) ? ": something would be lost" : "";
    const notMade = left === 0 ? [] : [`${plural(left, "change")} (marked !) not made${lost}`];
    return yield* failed(options.json ? "" : [...notMade, ...unheardWords(unheard)].join("; "));
  });

const columns = [
  { title: "STREAM" },
  { title: "MESSAGES", right: true },
  { title: "CONSUMERS", right: true },
  { title: "BYTES", right: true },
];

/** Ends what is Orrery's, and nothing else; without `--yes NAME` it only tells what that is. */
export const destroy = (
  io: IoService,
  options: DestroyOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const target = yield* openTarget(io, options);
    const { nats, name, kind, url, home } = target;
    if (options.yes !== null && options.yes !== name)
      return yield* misused(`--yes ${options.yes}: this is ${kind} ${name} at ${url}`);
    const ours = yield* ourStreams(nats, target.topology).pipe(Effect.mapError(ofJetStream));
    const streams = ours.map(({ config, state }) => ({
      name: config.name,
      messages: state.messages,
      consumers: state.consumer_count,
      bytes: state.bytes,
    }));
    const messages = streams.reduce((sum, stream) => sum + stream.messages, 0);
    const unfinished = yield* readUnfinished(nats).pipe(Effect.mapError(ofJetStream));
    if (unfinished !== null)
      tell(
        io,
        `a restore from ${unfinished.from} began at ${unfinished.since} and has not ended: orrery restore does it again`,
      );
    if (streams.length === 0) {
      if (options.json) sayJson(io, { [kind]: name, nats: url, streams, destroyed: false });
      return yield* no(options.json ? "" : `${url} holds nothing of ${kind} ${name}`);
    }
    if (!options.json) {
      const rows = streams.map((each) => [
        each.name,
        count(each.messages),
        count(each.consumers),
        bytes(each.bytes),
      ]);
      io.out.write(table(columns, rows, { color: io.out.color, columns: io.out.columns() }));
    }
    if (options.yes !== null && !options.whileNodesRun)
      yield* noNodes(nats, "first, or say --while-nodes-run");
    if (options.yes === null) {
      if (options.json) sayJson(io, { [kind]: name, nats: url, streams, destroyed: false });
      return yield* no(
        options.json
          ? ""
          : `${plural(streams.length, "stream")} with ${plural(messages, "message")} of ${kind} ${name} would be lost: --yes ${name} destroys them. ${kind === "site" ? "orrery backup DIR keeps a copy" : "What it holds comes again from the sites, once topology apply has made it anew"}`,
      );
    }
    // The mark of an unfinished restore goes when nothing is left that it speaks of.
    for (const stream of streams.filter((each) => each.name !== unfinishedStream))
      yield* managed(`remove ${stream.name}`, () => nats.jsm.streams.delete(stream.name)).pipe(
        Effect.mapError(ofJetStream),
      );
    const epoch =
      home === null || kind !== "site"
        ? null
        : yield* Effect.tryPromise({ try: () => beginNewLife(home, null), catch: ofCause });
    yield* endUnfinished(nats).pipe(Effect.mapError(ofJetStream));
    if (options.json) return sayJson(io, { [kind]: name, nats: url, streams, destroyed: true, epoch });
    say(
      io,
      `${plural(streams.length, "stream")} of ${kind} ${name} are gone; its folder, keys and buckets of files are as they were`,
    );
    return undefined;
  });
