/** A catalog behind HTTP that answers batches, and for chosen batches does what a test says instead. */
import type { IncomingHttpHeaders, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface AskedItem {
  readonly key: string;
  readonly uri: string;
  readonly kind: string;
}

export interface AskedBatch {
  readonly batch: string;
  readonly deadline_ms: number;
  readonly items: ReadonlyArray<AskedItem>;
  readonly headers: IncomingHttpHeaders;
}

/** `answer`: as a good catalog. `hang`: never. `reset`: the connection is cut. A pair is a status and its body. */
export type CatalogBehaviour =
  | "answer"
  | "hang"
  | "reset"
  | { readonly status: number; readonly body: string };

const bodyBytesMax = 64 * 1_048_576;

export class CatalogService {
  readonly batches: Array<AskedBatch> = [];
  readonly #known = new Set<string>();
  behaviour: (asked: AskedBatch) => CatalogBehaviour = () => "answer";
  #server: Server | null = null;
  #port = 0;

  static async start(): Promise<CatalogService> {
    const service = new CatalogService();
    await service.up();
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/ingest`;
  }

  /** The sizes of the batches that it was sent, in order. */
  get sizes(): ReadonlyArray<number> {
    return this.batches.map((asked) => asked.items.length);
  }

  /** Listens, on the port that it had. */
  async up(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Array<Buffer> = [];
      let bytes = 0;
      request.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > bodyBytesMax) request.destroy();
        else chunks.push(chunk);
      });
      request.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        this.#serve({ ...(JSON.parse(text) as AskedBatch), headers: request.headers }, response);
      });
      // A client that goes away is what some of the tests are about.
      request.on("error", () => undefined);
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Gone, with every connection. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #serve(asked: AskedBatch, response: ServerResponse): void {
    this.batches.push(asked);
    const how = this.behaviour(asked);
    if (how === "hang") return;
    if (how === "reset") {
      response.socket?.destroy();
      return;
    }
    const { status, body } =
      how === "answer"
        ? { status: 200, body: JSON.stringify({ batch: asked.batch, items: this.#answers(asked) }) }
        : how;
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body);
  }

  #answers({ items }: AskedBatch): ReadonlyArray<object> {
    return items.map(({ key }) => {
      const status = this.#known.has(key) ? "duplicate" : "ingested";
      this.#known.add(key);
      return { key, status };
    });
  }
}
