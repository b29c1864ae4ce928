/** How a site's node asks the supernode: on the site's own subject, and with a place for the answers that the link lets through. */
import { sitesAnswerPrefix, sitesAskSubject } from "../protocol/sites.ts";
import { Asks } from "./asks.ts";
import type { NatsService } from "./Nats.ts";

/** Rejects at the deadline, and at once when nobody is there to answer. */
export type Ask = (question: string, deadlineMs: number) => Promise<Uint8Array>;

/** Listens for answers from the first question on: a site that has joined no supernode asks none. */
export function sitesAsks(nats: NatsService, site: string): Ask {
  let asks: Asks | null = null;
  return async (question, deadlineMs) => {
    asks ??= new Asks(nats.connection, sitesAnswerPrefix(site));
    return (await asks.ask(sitesAskSubject(site), question, deadlineMs)).data;
  };
}
