/** Deliveries as they may come: what somebody wrote into a header is nothing that a worker could stumble over. */
import type { MsgHdrs } from "@nats-io/transport-node";
import { expect, it } from "vitest";
import { Mailbox } from "../../src/jetstream/mailbox.ts";
import { visitsConsumer } from "../../src/jetstream/topology.ts";
import { wireHeaders } from "../../src/jetstream/wire.ts";
import { kvStream, kvSubject, ledgerBucket } from "../../src/protocol/keys.ts";
import { startNats } from "../support/nats.ts";

it("headers that no client can read hold up no delivery, and an end by age is one", async () => {
  const server = await startNats({ topology: { visitLanes: ["files"] } });
  try {
    const worker = await server.connect("worker");
    const put = (name: string, payload: string, headers?: MsgHdrs) =>
      server.nats.connection.request(kvSubject(ledgerBucket, `file.files.-.${name}`), payload, {
        timeout: 5_000,
        ...(headers === undefined ? {} : { headers }),
      });
    await put("unreadable", "{}", wireHeaders("no key: x\r\n"));
    await put("aged", "", wireHeaders("Nats-Marker-Reason: MaxAge\r\n"));
    await put("plain", "{}");
    const mailbox = new Mailbox(worker, kvStream(ledgerBucket), visitsConsumer);
    const taken = await mailbox.take(10, 5_000);
    expect(taken.map(({ subject, operation }) => [subject.split(".").at(-1), operation])).toEqual([
      ["unreadable", ""],
      ["aged", "MaxAge"],
      ["plain", ""],
    ]);
    mailbox.close();
    expect(worker.link().reconnects).toBe(0);
  } finally {
    await server.stop();
  }
});
