/**
 * Where a site's ledger ends, as the supernode can learn it: by a consumer that is to begin with what comes next. The answer to its
 * making says after which sequence that is. Nothing is ever sent by it, and it ends by itself.
 */
import { randomBytes } from "node:crypto";
import { requestDeadlineMs } from "../limits.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { listingAnswers, listingDelivery } from "../protocol/sites.ts";
import type { NatsService } from "./Nats.ts";
import { errorOfCode, unavailable } from "./wire.ts";

const stream = kvStream(ledgerBucket);

interface Created {
  readonly delivered?: { readonly stream_seq: number };
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

/** Sequence of the last message that the site's ledger was given. Rejects when the site is not reached. */
export async function endOfSiteUnsafe(nats: NatsService, site: string): Promise<number> {
  const operation = `look where the ledger of ${site} ends`;
  const id = randomBytes(9).toString("base64url");
  const answered = nats.connection.subscribe(listingAnswers(id), { max: 1, timeout: requestDeadlineMs });
  const config = {
    name: `keeper-${id}`,
    deliver_subject: listingDelivery(site, id),
    deliver_policy: "new",
    ack_policy: "none",
    headers_only: true,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: 1_000_000_000,
  };
  nats.connection.publish(
    `$JS.${site}.API.CONSUMER.CREATE.${stream}.keeper-${id}`,
    JSON.stringify({ stream_name: stream, config }),
    { reply: listingAnswers(id) },
  );
  try {
    for await (const message of answered) {
      if (message.data.length === 0) throw new Error("the site is not joined now");
      const { error, delivered } = message.json<Created>();
      if (error !== undefined) throw errorOfCode(operation, error.err_code ?? 0, error.description ?? "");
      if (delivered !== undefined) return delivered.stream_seq;
    }
    throw new Error("the site does not answer");
  } catch (cause) {
    throw cause instanceof Error && "_tag" in cause ? cause : unavailable(operation)(cause);
  } finally {
    answered.unsubscribe();
  }
}
