/** A ledger without room is waited for like one that is away: given up on, it would look like a crash of all that is in hand. */
import type { SettleResult, Slot } from "../jetstream/claims.ts";
import type { Write } from "../jetstream/transaction.ts";
import { wantsRoom } from "../jetstream/wire.ts";
import type { NodeContextService } from "./NodeContext.ts";

const againFirstMs = 100;
const againMostMs = 2_000;

export async function settleWithRoom(
  node: NodeContextService,
  mailbox: string,
  slot: Slot,
  {
    id,
    writes,
    until,
  }: { readonly id: string; readonly writes: ReadonlyArray<Write>; readonly until: AbortSignal },
): Promise<SettleResult> {
  for (let attempt = 0; ; attempt++) {
    const result = await slot.settle(id, writes, until);
    if (result.type !== "failed" || !wantsRoom(result.error) || node.nats.connection.isClosed())
      return result;
    const { message } = result.error;
    node.troubles.met(mailbox, "ledger", message);
    if (attempt === 0)
      node.log("error", "a settle waits for room in the ledger", {
        slot: slot.key,
        claim: id,
        cause: message,
      });
    await new Promise((resolve) => setTimeout(resolve, Math.min(againFirstMs * 2 ** attempt, againMostMs)));
  }
}
