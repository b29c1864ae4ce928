/** A load generator over plain sockets: a fixed number of connections that stay open, each asking again once it is answered. */
import type { Socket } from "node:net";
import { connect } from "node:net";

export interface HttpLoad {
  readonly url: string;
  readonly connections: number;
  readonly ms: number;
  /** The n-th request, as it goes over the wire. */
  readonly request: (n: number) => string | Buffer;
}

export interface HttpOutcome {
  /** Answers of status 200 a second. */
  readonly perSecond: number;
  readonly answered: number;
  /** From the request's first byte sent to the answer's last byte received, ms. */
  readonly latencies: ReadonlyArray<number>;
}

/** Bytes of the first whole answer in the text; 0 while it is not complete. Throws on what is no 200. */
export function answerLength(text: string): number {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  if (!text.startsWith("HTTP/1.1 200")) throw new Error(`answered ${text.slice(0, 400)}`);
  const length = /content-length: *(\d+)/i.exec(text.slice(0, end))?.[1];
  if (length === undefined) throw new Error("an answer without content-length");
  const total = end + 4 + Number(length);
  return text.length >= total ? total : 0;
}

export function connectTo(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true }, () => resolve(socket));
    socket.setEncoding("latin1");
    socket.once("error", reject);
  });
}

/** A request with this body, kept alive. */
export function post(path: string, body: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

export async function httpLoad(load: HttpLoad): Promise<HttpOutcome> {
  const sockets = await Promise.all(Array.from({ length: load.connections }, () => connectTo(load.url)));
  const latencies: Array<number> = [];
  const started = performance.now();
  const until = started + load.ms;
  let sent = 0;
  const one = (socket: Socket): Promise<void> =>
    new Promise((resolve, reject) => {
      let text = "";
      let at = 0;
      const ask = (): void => {
        at = performance.now();
        socket.write(load.request(sent++));
      };
      socket.on("data", (chunk: string) => {
        text = text === "" ? chunk : text + chunk;
        try {
          const length = answerLength(text);
          if (length === 0) return;
          text = text.slice(length);
        } catch (cause) {
          reject(cause);
          return;
        }
        const now = performance.now();
        latencies.push(now - at);
        if (now < until) ask();
        else resolve();
      });
      socket.once("close", () => reject(new Error("a connection was closed under load")));
      ask();
    });
  try {
    await Promise.all(sockets.map(one));
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  const seconds = (performance.now() - started) / 1_000;
  return { perSecond: latencies.length / seconds, answered: latencies.length, latencies };
}
