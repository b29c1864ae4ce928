/**
 * The listens behaviour: one HTTP server a node, with the routes that actors contribute. node:http itself, because a router in
 * front of it costs as much as the request (see docs/decisions/http-listener.md).
 *
 * Receives  HTTP/1.1 requests.
 * Emits     what the routes answer; 400, 404, 405, 408, 413, 429, 431 and 500 as JSON `{"error":true,"message":…}`.
 * Fails     `ListenFailed` when it cannot have its address.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import type { HttpSettings } from "../config/Site.ts";
import {
  countersFlushMs,
  drainMs,
  httpConnectionsMax,
  httpHeaderBytesMax,
  httpHeadersMs,
  httpKeepAliveMs,
  httpLingerMs,
  httpRequestMs,
  presenceWaitSecondsMax,
} from "../limits.ts";
import { BodyTooLarge, holdBody, RequestAborted } from "./body.ts";
import type { ConnectionLimit } from "./connectionLimit.ts";
import { LimitedLog } from "./limitedLog.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { makeRouteTable } from "./routeTable.ts";

export { BodiesFull, BodyBudget, BodyTooLarge, readBody, RequestAborted } from "./body.ts";

export interface Route {
  readonly method: "GET" | "POST" | "PUT";
  /** Exact, or a prefix when it ends in "/". Unescaped characters only. */
  readonly path: string;
  /**
   * Answers now or later; a throw is answered 500.
   * @param path decoded segments behind the prefix; empty for an exact path
   * @param query to be read only: requests without one share it
   */
  readonly handle: (
    request: IncomingMessage,
    response: ServerResponse,
    path: ReadonlyArray<string>,
    query: URLSearchParams,
  ) => void | Promise<void>;
  /** Called once when the listener stops: answers that are held back are to be given now. */
  readonly drain?: () => void;
}

const fixes: Readonly<Record<string, string>> = {
  EADDRINUSE:
    "another process has it. Stop that one, or set http.port in the site file (0 picks a free port)",
  EACCES: "this user may not have it. Set http.port in the site file to 1024 or above",
  EADDRNOTAVAIL: "the address is none of this machine's. Set http.host in the site file",
  ENOTFOUND: "the host's name is not known. Set http.host in the site file",
};

/** The listener could not have its address. Nothing was started. */
export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", {
  host: Schema.String,
  port: Schema.Number,
  /** The system's word: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, … */
  code: Schema.String,
}) {
  override get message(): string {
    const fix = fixes[this.code] ?? "set http.host and http.port in the site file";
    return `cannot listen on ${this.host}:${this.port} (${this.code}): ${fix}.`;
  }
}

/** Sends a whole answer. `body` must be ASCII, as JSON with escapes is; what its reader no longer wants is dropped. */
export function sendJson(response: ServerResponse, status: number, body: string): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length });
  response.end(body, "latin1");
}

export function sendError(response: ServerResponse, status: number, message: string): void {
  if (response.destroyed) return;
  const body = `${JSON.stringify({ error: true, message })}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

export interface Listener {
  /** As others reach it: `http://127.0.0.1:8080`, with the port that was given for 0. */
  readonly url: string;
  readonly port: number;
}

/** What the listener needs of its node. */
export type ListensNode = Pick<NodeContextService, "log" | "counters">;

export interface ListenSettings extends Pick<HttpSettings, "host" | "port"> {
  /** Default: as many from each address as there are. */
  readonly connections?: ConnectionLimit;
}

class HttpListener {
  readonly #node: ListensNode;
  readonly #routes: ReadonlyArray<Route>;
  readonly #find: ReturnType<typeof makeRouteTable>;
  readonly #inFlight = new Set<ServerResponse>();
  /** Connections on which nothing was ever asked: Node does not count them as idle. */
  readonly #unused = new Set<Socket>();
  /** Connections that were answered before anything was asked. */
  readonly #refused = new WeakSet<Socket>();
  readonly #connections: ConnectionLimit | null;
  readonly #crowds: LimitedLog;
  /** Answers since the last flush, by route and status. */
  readonly #answers = new Map<string, Map<number, number>>();
  readonly #flushing: NodeJS.Timeout;
  readonly #server: Server;
  #draining = false;

  constructor(node: ListensNode, routes: ReadonlyArray<Route>, connections: ConnectionLimit | null) {
    this.#node = node;
    this.#connections = connections;
    this.#crowds = new LimitedLog(
      node.log,
      "more connections of one address than http.connectionsPerAddress were refused",
    );
    this.#routes = routes;
    this.#find = makeRouteTable(routes);
    this.#server = createServer({
      maxHeaderSize: httpHeaderBytesMax,
      headersTimeout: httpHeadersMs,
      requestTimeout: httpRequestMs,
      keepAliveTimeout: httpKeepAliveMs,
      connectionsCheckingInterval: 2_000,
      noDelay: true,
    });
    this.#server.maxConnections = httpConnectionsMax;
    // No answer is ever held back longer.
    this.#server.timeout = (presenceWaitSecondsMax + 60) * 1_000;
    this.#server.on("connection", (socket) => {
      const crowd = this.#connections?.admit(socket) ?? null;
      if (crowd !== null) {
        this.#crowds.refused(crowd, performance.now());
        this.#node.counters.limited("connections", 1);
        this.#refused.add(socket);
        refuseRaw(socket, "429 Too Many Requests", `too many open connections from ${crowd}`);
        return;
      }
      this.#unused.add(socket);
      socket.once("close", () => this.#unused.delete(socket));
    });
    this.#server.on("request", (request, response) => this.#dispatch(request, response));
    this.#server.on("checkContinue", (request, response) => {
      holdBody(request, response);
      this.#dispatch(request, response);
    });
    this.#server.on("clientError", refuseBroken);
    this.#flushing = setInterval(() => this.#flush(), countersFlushMs);
  }

  listen(settings: ListenSettings): Promise<Listener> {
    const { host, port } = settings;
    return new Promise((resolve, reject) => {
      this.#server.once("error", (cause: NodeJS.ErrnoException) => {
        clearInterval(this.#flushing);
        reject(new ListenFailed({ host, port, code: cause.code ?? String(cause) }));
      });
      this.#server.listen({ host, port, backlog: 1_024 }, () => {
        this.#server.removeAllListeners("error");
        // Accepting can fail later on, for want of file descriptors: the listener stays, and the log says so.
        this.#server.on("error", (cause) =>
          this.#node.log("error", "the HTTP listener cannot accept", { cause: String(cause) }),
        );
        const address = this.#server.address() as AddressInfo;
        resolve({ url: urlOf(host, address), port: address.port });
      });
    });
  }

  /** Stops accepting, lets what is in flight end within {@link drainMs}, then closes. */
  async stop(): Promise<void> {
    this.#draining = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#unused) socket.destroy();
    for (const response of this.#inFlight) response.shouldKeepAlive = false;
    for (const route of this.#routes) route.drain?.();
    const late = setTimeout(() => this.#server.closeAllConnections(), drainMs);
    await closed;
    clearTimeout(late);
    clearInterval(this.#flushing);
    this.#flush();
  }

  #dispatch(request: IncomingMessage, response: ServerResponse): void {
    if (this.#refused.has(request.socket)) {
      request.resume();
      return;
    }
    const found = this.#find(request.method ?? "", request.url ?? "");
    const label = found.type === "route" ? found.route.path : "none";
    this.#unused.delete(request.socket);
    this.#inFlight.add(response);
    response.once("close", () => this.#closed(label, response));
    if (this.#draining) response.shouldKeepAlive = false;
    if (found.type === "refusal") {
      if (found.allow !== null) response.setHeader("allow", found.allow);
      sendError(response, found.status, found.message);
      return;
    }
    try {
      const handled = found.route.handle(request, response, found.path, found.query);
      if (handled !== undefined) {
        handled.catch((cause: unknown) => this.#failed(label, request, response, cause));
      }
    } catch (cause) {
      this.#failed(label, request, response, cause);
    }
  }

  #failed(label: string, request: IncomingMessage, response: ServerResponse, cause: unknown): void {
    if (cause instanceof RequestAborted) {
      response.destroy();
      return;
    }
    if (cause instanceof BodyTooLarge && !response.headersSent) {
      response.shouldKeepAlive = false;
      sendError(response, 413, cause.message);
      return;
    }
    this.#node.log("error", "a route failed", {
      route: label,
      method: request.method,
      cause: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
    });
    if (response.headersSent) response.destroy();
    else sendError(response, 500, "Orrery failed to answer; its log says why. Nothing is known to be done.");
  }

  #closed(label: string, response: ServerResponse): void {
    this.#inFlight.delete(response);
    // 499, as proxies call it: the asker went away before its answer.
    const status = response.writableFinished ? response.statusCode : 499;
    let statuses = this.#answers.get(label);
    if (statuses === undefined) {
      statuses = new Map();
      this.#answers.set(label, statuses);
    }
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    // What kept its connection although its headers were sent before the stop is idle now.
    if (this.#draining) setImmediate(() => this.#server.closeIdleConnections());
  }

  #flush(): void {
    for (const [label, statuses] of this.#answers) {
      for (const [status, count] of statuses) this.#node.counters.requests(label, status, count);
    }
    this.#answers.clear();
  }
}

/** What the parser refuses never becomes a request: its answer is written as it goes over the wire. */
function refuseBroken(cause: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || cause.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const [status, message] =
    cause.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", `headers larger than ${httpHeaderBytesMax} bytes`]
      : cause.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", "the request did not come in time"]
        : ["400 Bad Request", "no HTTP/1.1 request"];
  refuseRaw(socket, status ?? "400 Bad Request", message ?? "");
}

/** Answers and closes the connection; what still comes in on it is dropped for a while, so that the answer is seen. */
function refuseRaw(socket: Socket, status: string, message: string): void {
  const body = `${JSON.stringify({ error: true, message })}\n`;
  const again = status.startsWith("429") ? "Retry-After: 1\r\n" : "";
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\n${again}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const late = setTimeout(() => socket.destroy(), httpLingerMs);
  socket.once("close", () => clearTimeout(late));
}

function urlOf(host: string, address: AddressInfo): string {
  const everywhere = host === "0.0.0.0" || host === "::" || host === "";
  const name = everywhere ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${address.port}`;
}

/** Listens until the scope ends. Several routes may share a path with different methods. */
export const listen = (
  node: ListensNode,
  settings: ListenSettings,
  routes: ReadonlyArray<Route>,
): Effect.Effect<Listener, ListenFailed, Scope.Scope> =>
  Effect.suspend(() => {
    const { host, port, connections } = settings;
    const http = new HttpListener(node, routes, connections ?? null);
    return Effect.acquireRelease(
      Effect.tryPromise({
        try: () => http.listen(settings),
        catch: (cause) =>
          cause instanceof ListenFailed ? cause : new ListenFailed({ host, port, code: String(cause) }),
      }),
      () => Effect.promise(() => http.stop()),
    );
  });

/** The listener as an actor: runs until interrupted; `ready` is told where it listens. */
export const listensActor = (
  node: ListensNode,
  settings: ListenSettings,
  routes: ReadonlyArray<Route>,
  ready: (listener: Listener) => Effect.Effect<void>,
): Effect.Effect<never, ListenFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const listener = yield* listen(node, settings, routes);
      yield* ready(listener);
      return yield* Effect.never;
    }),
  );
