/** A listing of a site's ledger ends, whatever the site sends. */
import type { Msg } from "@nats-io/transport-node";
import { headers } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { NatsService } from "../../../src/jetstream/Nats.ts";
import { listSiteUnsafe } from "../../../src/jetstream/siteListing.ts";
import { siteComparedMsMax, siteListingSilentMsMax } from "../../../src/limits.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Callback = (error: Error | null, message: Msg) => void;

function listed(until?: number) {
  const heard = new Map<string, Callback>();
  const connection = {
    subscribe: (subject: string, { callback }: { readonly callback: Callback }) => {
      const [of] = subject.split(".");
      heard.set(of ?? "", callback);
      return { unsubscribe: () => void heard.delete(of ?? "") };
    },
    publish: () => undefined,
  };
  const nats = { connection } as unknown as NatsService;
  const keys: Array<string> = [];
  let outcome = "goes on";
  const limits = until === undefined ? {} : { until };
  listSiteUnsafe(nats, "base", ["file.>"], ({ key }) => void keys.push(key), limits).then(
    () => (outcome = "whole"),
    (error: unknown) => (outcome = String((error as { readonly detail?: string }).detail)),
  );
  const send = (to: string, message: Partial<Msg>): void =>
    heard.get(to)?.(null, { data: new Uint8Array(), ...message } as Msg);
  let sent = 0;
  return {
    keys,
    outcome: async (ms: number): Promise<string> => {
      await vi.advanceTimersByTimeAsync(ms);
      return outcome;
    },
    answer: (pending: number): void =>
      send("$JSC", { data: new Uint8Array(1), json: (() => ({ num_pending: pending })) as Msg["json"] }),
    beat: (): void => {
      const beats = headers(100, "Idle Heartbeat");
      beats.set("Nats-Last-Consumer", String(sent));
      send("orrery", { headers: beats });
    },
    key: (pending: number): void =>
      send("orrery", {
        subject: `$KV.ledger.file.raw.-.${++sent}`,
        reply: `$JS.ACK.KV_ledger.keeper.1.${sent}.${sent}.1000000.${pending}`,
      }),
  };
}

it("with the last key, and not before", async () => {
  const listing = listed();
  listing.answer(2);
  listing.key(1);
  expect(await listing.outcome(0)).toBe("goes on");
  listing.key(0);
  expect(await listing.outcome(0)).toBe("whole");
  expect(listing.keys).toEqual(["file.raw.-.1", "file.raw.-.2"]);
});

it("as broken off where only signs of life come, or the same answer again, also behind all that was seen", async () => {
  const listing = listed();
  listing.answer(3);
  listing.key(2);
  for (let ms = 0; ms < siteListingSilentMsMax; ms += 5_000) {
    listing.beat();
    listing.answer(3);
    expect(await listing.outcome(5_000)).toBe("goes on");
  }
  listing.beat();
  expect(await listing.outcome(2_000)).toBe("Error: no key came for 20 s");
});

it.each([undefined, 60_000])("as broken off where a key comes now and then for ever (%s)", async (within) => {
  const listing = listed(within === undefined ? undefined : performance.now() + within);
  const untilMs = within ?? siteComparedMsMax;
  listing.answer(9);
  for (let ms = 0; ms < untilMs; ms += 10_000) {
    listing.key(5);
    expect(await listing.outcome(10_000)).toBe("goes on");
  }
  listing.key(5);
  expect(await listing.outcome(2_000)).toBe("Error: it took too long");
});

it("as broken off at once when its time is over, however short it is", async () => {
  const listing = listed(performance.now() - 1);
  listing.answer(0);
  expect(await listing.outcome(0)).toBe("Error: it took too long");
});
