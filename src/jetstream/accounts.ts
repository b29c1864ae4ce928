/** What a cluster's servers know of an account: told anew, they keep it, tell each other, and end what it no longer allows. */
import * as Effect from "effect/Effect";
import { requestDeadlineMs } from "../limits.ts";
import { JetStreamRejected } from "../protocol/errors.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import type { NatsService } from "./Nats.ts";

interface ClaimsAnswer {
  readonly error?: { readonly code?: number; readonly description?: string };
}

/** @param nats connected as a user of the system account */
export const pushAccount = (
  nats: NatsService,
  jwt: string,
): Effect.Effect<void, NatsUnavailable | JetStreamRejected> =>
  Effect.flatMap(
    nats.request("update an account", "$SYS.REQ.CLAIMS.UPDATE", jwt, { deadlineMs: requestDeadlineMs }),
    (answer) => {
      const { error } = JSON.parse(answer.string()) as ClaimsAnswer;
      return error === undefined
        ? Effect.void
        : Effect.fail(
            new JetStreamRejected({
              operation: "update an account",
              code: error.code ?? 0,
              detail: error.description ?? "",
            }),
          );
    },
  );

interface AccountAnswer {
  readonly data?: { readonly account_detail?: { readonly jwt?: string } };
}

/**
 * What the very server of this connection goes by for an account. A look-up of claims would do for none: any server answers it, from
 * what it has on disk. @returns the account's JWT; empty where the server knows none
 */
export const accountHere = (nats: NatsService, account: string): Effect.Effect<string, NatsUnavailable> =>
  Effect.map(
    nats.request(
      "ask for an account",
      `$SYS.REQ.SERVER.${nats.connection.info?.server_id ?? ""}.ACCOUNTZ`,
      JSON.stringify({ account }),
      { deadlineMs: requestDeadlineMs },
    ),
    (answer) => (JSON.parse(answer.string()) as AccountAnswer).data?.account_detail?.jwt ?? "",
  );
