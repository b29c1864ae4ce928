/** A catalog behind HTTP that answers batches, and for chosen batches does what a test says instead. */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { JsonServer } from "./jsonServer.ts";

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

export class CatalogService {
  readonly batches: Array<AskedBatch> = [];
  readonly #known = new Set<string>();
  behaviour: (asked: AskedBatch) => CatalogBehaviour = () => "answer";
  readonly #server = new JsonServer((body, headers, response) =>
    this.#serve({ ...(body as AskedBatch), headers }, response),
  );

  static async start(): Promise<CatalogService> {
    const service = new CatalogService();
    await service.up();
    return service;
  }

  get url(): string {
    return `${this.#server.url}/ingest`;
  }

  /** The sizes of the batches that it was sent, in order. */
  get sizes(): ReadonlyArray<number> {
    return this.batches.map((asked) => asked.items.length);
  }

  /** Listens, on the port that it had. */
  up(): Promise<void> {
    return this.#server.up();
  }

  /** Gone, with every connection. */
  down(): Promise<void> {
    return this.#server.down();
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
