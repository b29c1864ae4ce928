/**
 * The plain program of `notify`: a node:http server that publishes each record with the client's `publish`, its message id with
 * it, and answers after the acknowledgement. One publish a record; nothing is grouped.
 *
 * Arguments: NATS address, subject.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { pack } from "msgpackr";
import { serve } from "./serve.ts";

interface Sent {
  readonly Records: ReadonlyArray<{
    readonly s3: {
      readonly bucket: { readonly name: string };
      readonly object: { readonly key: string; readonly eTag: string; readonly size: number };
    };
  }>;
}

await serve(async ([url = "", subject = ""]) => {
  const nc = await connect({ servers: url, noAsyncTraces: true });
  const js = jetstream(nc);
  const take = async (text: string): Promise<string> => {
    const { Records } = JSON.parse(text) as Sent;
    const queued = await Promise.all(
      Records.map(async ({ s3 }) => {
        const { key, eTag: etag, size } = s3.object;
        const bucket = s3.bucket.name;
        const [instrument = "", day = ""] = key.split("/");
        const receivedAt = new Date().toISOString();
        await js.publish(
          subject,
          pack({ v: 1, bucket, key, etag, size, instrument, day, generation: 0, via: "webhook", receivedAt }),
          { msgID: `${bucket}/${key}@${etag}#0` },
        );
        return { bucket, filename: key.slice(key.lastIndexOf("/") + 1), path: `${bucket}/${key}` };
      }),
    );
    return JSON.stringify(queued);
  };
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => {
      take(text).then(
        (body) => {
          const length = Buffer.byteLength(body);
          response.writeHead(200, { "content-type": "application/json", "content-length": length });
          response.end(body);
        },
        (cause: unknown) => {
          response.writeHead(503);
          response.end(String(cause));
        },
      );
    });
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
