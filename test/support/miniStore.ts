/** Enough of an S3 server to be read from: whole objects, ranges, heads, and what is not there. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export class MiniStore {
  /** By `bucket/key`. */
  readonly objects = new Map<string, Uint8Array>();
  #fault: "none" | "503" | "hang" = "none";
  /** Requests that get no answer until the fault is over. */
  #held: Array<() => void> = [];
  #server: Server | null = null;
  url = "";

  static async start(): Promise<MiniStore> {
    const store = new MiniStore();
    const server = createServer((request, response) => {
      if (store.#fault === "hang") {
        store.#held.push(() => answer(request, response));
        return;
      }
      if (store.#fault === "503") {
        response.writeHead(503, { "content-type": "application/xml" });
        response.end(request.method === "HEAD" ? "" : "<Error><Code>SlowDown</Code></Error>");
        return;
      }
      answer(request, response);
    });
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      const name = decodeURIComponent((request.url ?? "").split("?")[0] ?? "").slice(1);
      const whole = store.objects.get(name);
      if (whole === undefined) {
        response.writeHead(404, { "content-type": "application/xml" });
        response.end(request.method === "HEAD" ? "" : "<Error><Code>NoSuchKey</Code></Error>");
        return;
      }
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      const from = range === null ? 0 : Number(range[1]);
      const bytes = range === null ? whole : whole.subarray(from, Number(range[2]) + 1);
      response.writeHead(range === null ? 200 : 206, {
        etag: '"e"',
        "last-modified": "Sat, 22 Nov 2025 03:25:40 GMT",
        "content-length": bytes.length,
        ...(range === null
          ? {}
          : { "content-range": `bytes ${from}-${from + bytes.length - 1}/${whole.length}` }),
      });
      response.end(request.method === "HEAD" ? undefined : bytes);
    };
    store.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    store.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return store;
  }

  /** From now on each request is answered 503, or not before the fault is over; `none`: all is well again. */
  set fault(fault: "none" | "503" | "hang") {
    this.#fault = fault;
    for (const release of this.#held.splice(0)) release();
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
