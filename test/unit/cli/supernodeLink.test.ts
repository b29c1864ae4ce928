/** What a site's status says of its link, and what it does not claim to know. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as Effect from "effect/Effect";
import { expect, it } from "vitest";
import { readSupernodeLink, supernodeLinkWords } from "../../../src/cli/supernodeLink.ts";
import type { NatsService } from "../../../src/jetstream/Nats.ts";

const nats = { connection: { info: { server_id: "N1" } } } as unknown as NatsService;

/** With a server's monitoring that answers so. */
async function read(answer: string, supernode: string | null = "hub"): Promise<unknown> {
  const server = createServer((_request, response) => response.end(answer));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: monitor } = server.address() as AddressInfo;
  try {
    const servers = [{ host: "127.0.0.1", client: 1, monitor }];
    return await Effect.runPromise(readSupernodeLink(nats, { supernode, servers, account: "A1" }));
  } finally {
    server.close();
  }
}

const leafz = (server: string, ...leafs: ReadonlyArray<object>): string =>
  JSON.stringify({ server_id: server, leafs });

it.each([
  ["linked", leafz("N1", { account: "A1", is_spoke: true }), true],
  ["not linked", leafz("N1"), false],
  [
    "not linked, though others are to this server or by another account",
    leafz("N1", { account: "A1" }, { account: "A2", is_spoke: true }),
    false,
  ],
  ["not seen: the port is another server's here", leafz("N2", { account: "A1", is_spoke: true }), null],
  ["not seen: no server's", "no JSON", null],
  ["not seen: nothing of it", "null", null],
])("%s", async (_, answer, linked) => {
  expect(await read(answer)).toEqual({ name: "hub", linked });
});

it("nothing is said of a site that is alone, and what is not seen is not said to be away", async () => {
  expect(await read(leafz("N1"), null)).toBeNull();
  expect(supernodeLinkWords({ name: "hub", linked: null })[0]).not.toContain("no link");
  expect(supernodeLinkWords({ name: "hub", linked: false })[0]).toContain("no link to supernode hub");
});
