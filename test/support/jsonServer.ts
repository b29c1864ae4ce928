/** What stands behind HTTP on loopback in tests: it is sent JSON, may go away with every connection, and comes back on its port. */
import type { IncomingHttpHeaders, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { freePorts } from "../../src/demo/ports.ts";

const bodyBytesMax = 64 * 1_048_576;

export class JsonServer {
  readonly #serve: (body: unknown, headers: IncomingHttpHeaders, response: ServerResponse) => void;
  #server: Server | null = null;
  #port = 0;

  constructor(serve: (body: unknown, headers: IncomingHttpHeaders, response: ServerResponse) => void) {
    this.#serve = serve;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
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
      request.on("end", () =>
        this.#serve(JSON.parse(Buffer.concat(chunks).toString()), request.headers, response),
      );
      // A client that goes away is what some of the tests are about.
      request.on("error", () => undefined);
    });
    this.#server = server;
    // While it is away nobody else may be given its port.
    if (this.#port === 0) this.#port = await freePorts(1);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
  }

  /** Gone, with every connection. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
