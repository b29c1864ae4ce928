/**
 * The plain program of `webhook-to-present`: node:http → publish → consume → read the sidecar → put into a KV bucket → announce.
 *
 * Arguments: NATS address, stream, subject, consumer, bucket, folder of the files.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { serve } from "./serve.ts";

interface Sent {
  readonly Records: ReadonlyArray<{
    readonly s3: { readonly bucket: { readonly name: string }; readonly object: { readonly key: string } };
  }>;
}

await serve(async ([url = "", stream = "", subject = "", consumer = "", bucket = "", folder = ""]) => {
  const nc = await connect({ servers: url, noAsyncTraces: true });
  const js = jetstream(nc);
  const kv = await new Kvm(nc).open(bucket);
  const take = async (text: string): Promise<void> => {
    for (const { s3 } of (JSON.parse(text) as Sent).Records) {
      await js.publish(subject, JSON.stringify({ bucket: s3.bucket.name, key: s3.object.key }), {
        msgID: s3.object.key,
      });
    }
  };
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => {
      take(text).then(
        () => {
          response.writeHead(200, { "content-length": 2 });
          response.end("[]");
        },
        (cause: unknown) => {
          response.writeHead(503);
          response.end(String(cause));
        },
      );
    });
  });
  const messages = await (await js.consumers.get(stream, consumer)).consume({ max_messages: 300 });
  const work = async (): Promise<void> => {
    for await (const message of messages) {
      const file: { readonly bucket: string; readonly key: string } = message.json();
      const sidecar = await readFile(join(folder, file.bucket, file.key.replace(/\.fits$/, ".json")), "utf8");
      const header = JSON.parse(sidecar) as Record<"GROUPID" | "CURINDEX" | "RAFTBAY" | "CCDSLOT", string>;
      const group = header.GROUPID.replaceAll(/[^A-Za-z0-9-]/g, "_");
      const key = `${group}.${header.CURINDEX}.${header.RAFTBAY}_${header.CCDSLOT}`;
      const uri = `file://${join(folder, file.bucket, file.key)}`;
      await kv.put(key, uri);
      nc.publish(`rawPresent.${key}`, uri);
      message.ack();
    }
  };
  work().catch((cause: unknown) => {
    process.stderr.write(`raw relay: ${String(cause)}\n`);
    process.exit(1);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    http: `http://127.0.0.1:${port}`,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await messages.close();
      await nc.close();
    },
  };
});
