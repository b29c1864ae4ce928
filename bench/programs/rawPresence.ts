/**
 * The plain program of the presence benches: a map filled by watching the bucket; what is not in it is read with the client's
 * own `get`. Answers `rawPresence` requests, whose text is a key, and `GET /<key>`.
 *
 * Arguments: NATS address, bucket, number of groups to wait for.
 */
import type { ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { serve } from "./serve.ts";

await serve(async ([url = "", bucket = "", groupsText = ""]) => {
  const nc = await connect({ servers: url, noAsyncTraces: true });
  const kv = await new Kvm(nc).open(bucket);
  const here = new Map<string, string>();
  const entries = await kv.watch();
  let full: () => void = () => undefined;
  const filled = new Promise<void>((resolve) => {
    full = resolve;
  });
  const follow = async (): Promise<void> => {
    for await (const entry of entries) {
      if (entry.operation === "PUT") here.set(entry.key, entry.string());
      else here.delete(entry.key);
      if (here.size === Number(groupsText)) full();
    }
  };
  void follow();
  await filled;
  const absent = JSON.stringify({ error: false, present: false });
  const present = (uri: string): string => JSON.stringify({ error: false, present: true, uri });
  const look = async (key: string): Promise<string> => {
    const entry = await kv.get(key);
    return entry === null || entry.operation !== "PUT" ? absent : present(entry.string());
  };
  nc.subscribe("rawPresence", {
    queue: "raw",
    callback: (_error, message) => {
      const key = message.string();
      const uri = here.get(key);
      if (uri !== undefined) message.respond(present(uri));
      else void look(key).then((body) => message.respond(body));
    },
  });
  const send = (response: ServerResponse, body: string): void => {
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
    response.end(body);
  };
  const server = createServer((request, response) => {
    const key = (request.url ?? "").slice(1);
    const uri = here.get(key);
    if (uri !== undefined) send(response, present(uri));
    else void look(key).then((body) => send(response, body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    http: `http://127.0.0.1:${port}`,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await nc.close();
    },
  };
});
