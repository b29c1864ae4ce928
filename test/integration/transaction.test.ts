/** What no server takes is not sent: it must not pass for a server that is away, which is tried again for ever. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { getUnsafe } from "../../src/jetstream/ledger.ts";
import { commitUnsafe, ledgerPut, publishUnsafe } from "../../src/jetstream/transaction.ts";
import { ledgerBucket } from "../../src/protocol/keys.ts";
import { encodeText } from "../../src/protocol/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";

let server: TestNats;
beforeAll(async () => {
  server = await startNats();
});
afterAll(() => server.stop());

const small = ledgerPut("small", encodeText("{}"));
const refused = { _tag: "JetStreamRejected", code: 10054 };

it("a message larger than the server's limit is refused, and nothing of its batch is stored", async () => {
  const large = ledgerPut("large", Buffer.alloc(server.nats.connection.info?.max_payload ?? 0));
  expect(await commitUnsafe(server.nats, "test", [small, large], 5_000)).toMatchObject(refused);
  expect(await publishUnsafe(server.nats, "test", large, 5_000)).toMatchObject(refused);
  expect(await getUnsafe(server.nats, ledgerBucket, "small")).toBeNull();
});

it("a subject for which the server would end the connection is refused, and the connection stands", async () => {
  const long = ledgerPut("k".repeat(5_000), encodeText("{}"));
  expect(await commitUnsafe(server.nats, "test", [small, long], 5_000)).toMatchObject(refused);
  expect(await publishUnsafe(server.nats, "test", long, 5_000)).toMatchObject(refused);
  expect(await commitUnsafe(server.nats, "test", [small], 5_000)).toEqual([1]);
  expect(server.nats.link().reconnects).toBe(0);
});
