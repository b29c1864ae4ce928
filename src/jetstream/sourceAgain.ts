/**
 * What a server does not do for a source that it has lost: ask again as soon as the site is back. It asks after 10 s, then waits 30 s for
 * the answer, and after each that did not come 10 s longer, up to 2 minutes. Whoever leads a bucket anew asks at once.
 */
import { randomBytes } from "node:crypto";
import type * as Effect from "effect/Effect";
import { siteAnswerMsMax } from "../limits.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { listingAnswers } from "../protocol/sites.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";

/** Asked for so, a consumer is not made, and the server says why. */
const noConsumer = "{}";

/** Whether a site's server answers now, through the leaf. Rejects only on a closed connection. */
export async function siteAnswersUnsafe(nats: NatsService, site: string): Promise<boolean> {
  const id = randomBytes(9).toString("base64url");
  const answer = Promise.withResolvers<boolean>();
  const heard = nats.connection.subscribe(listingAnswers(id), {
    // Without a body it is our own server's word that nobody hears the question.
    callback: (error, message) => answer.resolve(error === null && message.data.length > 0),
  });
  const late = setTimeout(() => answer.resolve(false), siteAnswerMsMax);
  try {
    const subject = `$JS.${site}.API.CONSUMER.CREATE.${kvStream(ledgerBucket)}.keeper-${id}`;
    nats.connection.publish(subject, noConsumer, { reply: listingAnswers(id) });
    return await answer.promise;
  } finally {
    clearTimeout(late);
    heard.unsubscribe();
  }
}

/** Has another of the supernode's servers lead a bucket. What was sourced stays, and each source goes on behind it. */
export const leadAnew = (
  nats: NatsService,
  bucket: string,
): Effect.Effect<void, NatsUnavailable | JetStreamRejected> =>
  managed(`have another server lead ${bucket}`, async () => {
    const subject = `${nats.apiPrefix}.STREAM.LEADER.STEPDOWN.${kvStream(bucket)}`;
    const answer = await nats.ask(subject, "", siteAnswerMsMax);
    const { error } = answer.json<{ readonly error?: { readonly description?: string } }>();
    if (error !== undefined) throw new Error(error.description);
  });
