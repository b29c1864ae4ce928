/**
 * A stream that takes other sites' files from the supernode's consumers holds nothing yet of what these have sent before: to the stream
 * of a former life, or one that was ended. So each is begun anew before the stream takes from it; afterwards the server would pass over
 * whatever is older than what it heard first.
 */
import type { StreamSource } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import { randomBytes } from "node:crypto";
import { requestDeadlineMs } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { filesOfStream, pairOfConsumer } from "../protocol/filesOf.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import { orNull } from "./survey.ts";
import type { Topology } from "./topology.ts";
import type { Change } from "./topologyDiff.ts";
import { unavailable } from "./wire.ts";

type Stream = Topology["streams"][number];
/** What the client does not know of a source. */
type Taken = StreamSource & { readonly consumer?: { readonly name: string } };

const consumersOf = (sources: ReadonlyArray<StreamSource> | undefined): ReadonlyArray<string> =>
  (sources ?? []).flatMap(({ consumer }: Taken) => consumer?.name ?? []);

/** Of a consumer or stream that is not there: it will begin at the beginning. */
const isNotThere = (code: number | undefined): boolean => code === 10_014 || code === 10_059;

/** @returns whether the supernode did it, or needs not */
const beginAnew = (
  nats: NatsService,
  { external, consumer }: Taken,
): Effect.Effect<boolean, NatsUnavailable> =>
  Effect.tryPromise({
    try: async () => {
      const api = external?.api ?? "";
      const name = consumer?.name ?? "";
      // The one subject by which the supernode may answer the site's server.
      const reply = `$JSC.R.${api.split(".")[1] ?? ""}.orrery.${filesOfStream}.${name}.${randomBytes(8).toString("hex")}`;
      const answer = await nats.connection
        .request(`${api}.CONSUMER.RESET.${filesOfStream}.${name}`, JSON.stringify({ seq: 1 }), {
          timeout: requestDeadlineMs,
          noMux: true,
          reply,
        })
        // Nobody there, or nobody in time: the link is cut.
        .catch(() => null);
      if (answer === null) return false;
      const { error } = answer.json<{ readonly error?: { readonly err_code?: number } }>();
      return error === undefined || isNotThere(error.err_code);
    },
    catch: unavailable("begin other sites' files anew"),
  });

/**
 * The stream as it may be made now: without the sources that could not be begun anew. Other streams are as they are.
 * @returns with it what is not made, as changes that were refused
 */
export const begun = (
  nats: NatsService,
  stream: Stream,
): Effect.Effect<
  { readonly stream: Stream; readonly left: ReadonlyArray<Change> },
  NatsUnavailable | JetStreamRejected
> =>
  Effect.gen(function* () {
    if (stream.name !== filesOfStream || consumersOf(stream.sources).length === 0)
      return { stream, left: [] };
    // Taken for one that is not there, a stream that cannot be looked at would be told all of it once more, or lose its sources.
    const info = yield* orNull(
      managed(`look at stream ${filesOfStream}`, () => nats.jsm.streams.info(filesOfStream)),
    );
    const there = new Set(consumersOf(info?.config.sources));
    const sources: Array<StreamSource> = [];
    const left: Array<Change> = [];
    for (const source of (stream.sources ?? []) as ReadonlyArray<Taken>) {
      const name = source.consumer?.name ?? "";
      if (there.has(name) || (yield* beginAnew(nats, source))) sources.push(source);
      else
        left.push({
          kind: "refuse",
          asset: `stream ${filesOfStream}`,
          words: `files of ${pairOfConsumer(name)?.of ?? name}: the supernode does not answer, and has to begin them anew before they are taken; apply again when it does`,
        });
    }
    return { stream: { ...stream, sources }, left };
  });
