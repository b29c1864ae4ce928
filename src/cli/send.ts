/** `orrery send`: one item to a user's claims actor. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { sendItem } from "../actors/userActors.ts";
import { didYouMean } from "../config/nearMiss.ts";
import { consumerNames } from "../jetstream/survey.ts";
import { itemsConsumer } from "../jetstream/topology.ts";
import { itemsStream } from "../protocol/keys.ts";
import { messageBytesMax } from "../limits.ts";
import type { CommandFailed } from "./failures.ts";
import { misused, no, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say } from "./Io.ts";
import { openOwnSite } from "./site.ts";

export interface SendOptions {
  readonly site: string | null;
  readonly actor: string;
  readonly id: string;
  /** JSON; `-` for stdin; null for none. */
  readonly body: string | null;
}

const readBody = (io: IoService, body: string | null): Effect.Effect<unknown, CommandFailed> =>
  Effect.gen(function* () {
    if (body === null) return null;
    const text =
      body === "-"
        ? yield* Effect.tryPromise({ try: () => io.readStdin(messageBytesMax), catch: ofCause }).pipe(
            Effect.map((data) => new TextDecoder().decode(data)),
          )
        : body;
    return yield* Effect.try({
      try: () => JSON.parse(text) as unknown,
      catch: (cause) =>
        misused(
          `the item is no JSON (${cause instanceof Error ? cause.message : String(cause)}); a string needs its own quotes: '"${text.slice(0, 40)}"'`,
        ),
    });
  });

export const send = (io: IoService, options: SendOptions): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { actor, id } = options;
    const body = yield* readBody(io, options.body);
    const { nats, site } = yield* openOwnSite(io, options.site);
    const mailboxes = yield* consumerNames(nats, itemsStream).pipe(Effect.mapError(ofJetStream));
    if (!mailboxes.includes(itemsConsumer(actor))) {
      const known = mailboxes.map((name) => name.slice(itemsConsumer("").length));
      return yield* no(
        `site ${site.name} has no claims actor ${JSON.stringify(actor)}${didYouMean(actor, known)}; nothing was sent`,
      );
    }
    yield* Effect.tryPromise({ try: () => sendItem({ nats }, actor, id, body), catch: ofCause });
    say(io, `${id} is in the mailbox of ${actor}; orrery why ${id} tells what becomes of it`);
    return undefined;
  });
