import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { afterEach, describe, expect, it } from "vitest";
import type { Listener, ListensNode, Route } from "../../src/actors/listens.ts";
import { listen, ListenFailed, readBody, RequestAborted, sendJson } from "../../src/actors/listens.ts";
import { httpHeaderBytesMax } from "../../src/limits.ts";

const stops: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

interface Stage extends Listener {
  readonly stop: () => Promise<void>;
  readonly logged: ReadonlyArray<string>;
  /** `route status` → count. */
  readonly counted: ReadonlyMap<string, number>;
}

async function listening(...routes: ReadonlyArray<Route>): Promise<Stage> {
  const logged: Array<string> = [];
  const counted = new Map<string, number>();
  const node = {
    log: (_level, message) => void logged.push(message),
    counters: {
      requests: (route: string, status: number, count = 1) => {
        const key = `${route} ${status}`;
        counted.set(key, (counted.get(key) ?? 0) + count);
      },
    } as ListensNode["counters"],
  } satisfies ListensNode;
  const scope = Scope.makeUnsafe();
  const stop = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void));
  stops.push(stop);
  const listener = await Effect.runPromise(
    Scope.provide(listen(node, { host: "127.0.0.1", port: 0 }, routes), scope),
  );
  return { ...listener, stop, logged, counted };
}

const ok: Route["handle"] = (_request, response, path, query) =>
  sendJson(response, 200, JSON.stringify({ path, query: [...query] }));

/** Echoes how much came, at most 1,000 bytes. */
const upload: Route = {
  method: "POST",
  path: "/upload",
  handle: async (request, response) => {
    const body = await readBody(request, 1_000);
    sendJson(response, 200, String(body.length));
  },
};

/** Sends raw text and gives everything that comes back until the server closes. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  socket.on("data", (data) => void (answer += data.toString("latin1")));
  socket.write(text);
  await once(socket, "close");
  return answer;
}

interface Sent {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function send(
  url: string,
  options: {
    readonly method?: string;
    readonly body?: Buffer;
    readonly headers?: Record<string, string>;
  } = {},
): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const sending = httpRequest(url, { method: options.method ?? "GET", headers: options.headers ?? {} });
    sending.once("error", reject);
    sending.once("response", (response) => {
      let body = "";
      response.on("data", (data: Buffer) => void (body += data.toString()));
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    });
    sending.end(options.body);
  });
}

describe("the route table", () => {
  const routes: ReadonlyArray<Route> = [
    { method: "GET", path: "/exact", handle: ok },
    { method: "POST", path: "/exact", handle: ok },
    { method: "GET", path: "/a/", handle: ok },
    {
      method: "GET",
      path: "/a/longer/",
      handle: (_request, response) => sendJson(response, 200, '"longer"'),
    },
  ];

  it.each([
    ["/exact", { path: [], query: [] }],
    ["/exact?", { path: [], query: [] }],
    [
      "/exact?a=1&b=%23",
      {
        path: [],
        query: [
          ["a", "1"],
          ["b", "#"],
        ],
      },
    ],
    ["/a/x", { path: ["x"], query: [] }],
    ["/a/", { path: [], query: [] }],
    ["/a/x%2Fy/%23%3A./z//", { path: ["x/y", "#:.", "z", "", ""], query: [] }],
    ["/a/x+y", { path: ["x+y"], query: [] }],
    ["/a/longer/x", "longer"],
  ])("GET %s", async (path, answer) => {
    const { url } = await listening(...routes);
    const sent = await send(url + path);
    expect(sent).toMatchObject({ status: 200, headers: { "content-type": "application/json" } });
    expect(JSON.parse(sent.body)).toEqual(answer);
  });

  it.each([
    ["GET", "/nothing", 404, undefined],
    ["GET", "/exact/", 404, undefined],
    ["GET", "/a", 404, undefined],
    ["POST", "/nothing", 404, undefined],
    ["PUT", "/exact", 405, "GET, HEAD, POST"],
    ["POST", "/a/x", 405, "GET, HEAD"],
    ["GET", "/a/%zz", 400, undefined],
    ["GET", "/a/%ff", 400, undefined],
    ["GET", "/%zz", 400, undefined],
  ])("%s %s is %i", async (method, path, status, allow) => {
    const { url } = await listening(...routes);
    const sent = await send(url + path, { method });
    expect(sent.status).toBe(status);
    expect(sent.headers.allow).toBe(allow);
    expect(JSON.parse(sent.body)).toEqual({ error: true, message: expect.any(String) });
  });

  it("answers HEAD as GET, without the body", async () => {
    const { url } = await listening(...routes);
    const sent = await send(`${url}/exact`, { method: "HEAD" });
    expect(sent).toMatchObject({ status: 200, body: "" });
    expect(sent.headers["content-length"]).toBe("22");
  });

  it("takes the absolute form that proxies send", async () => {
    const { port } = await listening(...routes);
    const answer = await raw(port, "GET http://x/a/y?z=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(answer).toContain('{"path":["y"],"query":[["z","1"]]}');
  });

  it("refuses two routes for one request, and one without a slash", async () => {
    const exact: Route = { method: "GET", path: "/exact", handle: ok };
    await expect(listening(exact, exact)).rejects.toThrow(/twice/);
    await expect(listening({ ...exact, path: "exact" })).rejects.toThrow(/no \//);
  });
});

describe("a request", () => {
  it("shares its connection with the next", async () => {
    const { port } = await listening({ method: "GET", path: "/", handle: ok });
    const one = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    const answer = await raw(port, one + one + one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(3);
  });

  it("that is no HTTP is refused in JSON", async () => {
    const { port } = await listening();
    const answer = await raw(port, "hello\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*\r\n\r\n\{"error":true,.*\}\n$/);
  });

  it("with headers too large is refused with 431", async () => {
    const { port } = await listening();
    const answer = await raw(port, `GET / HTTP/1.1\r\nX: ${"x".repeat(httpHeaderBytesMax)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("broken");
      },
    ],
    ["rejects", () => Promise.reject(new Error("broken"))],
  ])("whose route %s is answered 500 and logged; the listener goes on", async (_, handle) => {
    const { url, logged } = await listening(
      { method: "GET", path: "/broken", handle },
      { method: "GET", path: "/ok", handle: ok },
    );
    const sent = await send(`${url}/broken`);
    expect(sent.status).toBe(500);
    expect(sent.body).not.toContain("broken");
    expect(JSON.parse(sent.body)).toMatchObject({ error: true });
    expect(logged).toEqual(["a route failed"]);
    expect((await send(`${url}/ok`)).status).toBe(200);
  });

  it("whose route fails in the middle of its answer is cut off, not completed", async () => {
    const { url, logged } = await listening({
      method: "GET",
      path: "/broken",
      handle: (_request, response) => {
        response.writeHead(200, { "content-length": 10 });
        response.write("half");
        throw new Error("broken");
      },
    });
    await expect(send(`${url}/broken`)).rejects.toThrow();
    expect(logged).toEqual(["a route failed"]);
  });

  it("is counted by route and status", async () => {
    const { url, stop, counted } = await listening({ method: "GET", path: "/a/", handle: ok });
    for (const path of ["/a/1", "/a/2", "/b", "/a/%zz"]) await send(url + path);
    await stop();
    expect(Object.fromEntries(counted)).toEqual({ "/a/ 200": 2, "none 404": 1, "none 400": 1 });
  });
});

describe("a body", () => {
  it("is read whole", async () => {
    const { url } = await listening(upload);
    expect(await send(`${url}/upload`, { method: "POST", body: Buffer.alloc(1_000) })).toMatchObject({
      status: 200,
      body: "1000",
    });
    expect(await send(`${url}/upload`, { method: "POST" })).toMatchObject({ status: 200, body: "0" });
  });

  it("in many pieces is read whole", async () => {
    const { port } = await listening(upload);
    const chunk = `64\r\n${"x".repeat(100)}\r\n`;
    const head =
      "POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect(await raw(port, `${head}${chunk.repeat(3)}0\r\n\r\n`)).toContain("\r\n\r\n300");
  });

  it("too large by its length is answered 413 before any of it came, and the connection closes", async () => {
    const { port } = await listening(upload);
    const answer = await raw(port, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 413 [\s\S]*connection: close[\s\S]*\{"error":true,/i);
  });

  it("too large without a length is answered 413 once it is", async () => {
    const { port } = await listening(upload);
    const head = "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    const answer = await raw(port, `${head}400\r\n${"x".repeat(1_024)}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  // What still comes is read for two seconds, which a machine that stands still can need for as much: then it is sent again.
  const retry = 4;
  it(
    "of 50 MB is refused in words that its sender gets to see, also when it reads only after it has sent",
    { retry },
    async () => {
      const { port } = await listening(upload);
      const socket = connect(port, "127.0.0.1");
      const body = Buffer.alloc(50_000_000);
      socket.write(`POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`);
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.write(body, () => resolve());
      });
      let answer = "";
      socket.on("data", (data) => void (answer += data.toString("latin1")));
      await once(socket, "close");
      expect(answer).toMatch(/^HTTP\/1\.1 413 [\s\S]*\r\n\r\n\{"error":true,.*\}\n$/);
    },
  );

  it("that waits to be asked for is asked for when it may come, and not when it is too large", async () => {
    const { port } = await listening(upload);
    const head = "POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n";
    const asked = await raw(port, `${head}Content-Length: 3\r\n\r\nabc`);
    expect(asked).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
    const refused = await raw(port, `${head}Content-Length: 3000\r\n\r\n`);
    expect(refused).toMatch(/^HTTP\/1\.1 413 /);
  });

  it("cut off is nobody's failure", async () => {
    const seen = Promise.withResolvers<unknown>();
    const { port, stop, logged } = await listening({
      ...upload,
      handle: async (request, response) => {
        const body = await readBody(request, 1_000).catch((cause: unknown) => {
          seen.resolve(cause);
          throw cause;
        });
        sendJson(response, 200, String(body.length));
      },
    });
    const socket = connect(port, "127.0.0.1");
    socket.write("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhalf");
    await once(socket, "connect");
    socket.end();
    expect(await seen.promise).toEqual(new RequestAborted({ bytes: 4 }));
    await stop();
    expect(logged).toEqual([]);
  });
});

describe("a stop", () => {
  /** A route that answers when it is told to. */
  function held(drain?: (answer: () => void) => void) {
    const came = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const route: Route = {
      method: "GET",
      path: "/held",
      handle: async (_request, response) => {
        came.resolve();
        await go.promise;
        sendJson(response, 200, '"late"');
      },
      ...(drain === undefined ? {} : { drain: () => drain(go.resolve) }),
    };
    return { route, came: came.promise, go: go.resolve };
  }

  it("lets what is in flight end, takes nothing new, and closes idle connections", async () => {
    const { route, came, go } = held();
    const { url, port, stop } = await listening(route);
    const idle = connect(port, "127.0.0.1");
    idle.write("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(idle, "data");
    const unused = connect(port, "127.0.0.1");
    await once(unused, "connect");
    const idleClosed = Promise.all([once(idle, "close"), once(unused, "close")]);
    // Closed by a reset or by an end: either will do.
    unused.on("error", () => undefined);
    const sent = send(`${url}/held`);
    await came;
    const stopped = stop();
    await idleClosed;
    await expect(send(`${url}/held`)).rejects.toThrow("ECONNREFUSED");
    go();
    expect(await sent).toMatchObject({ status: 200, body: '"late"', headers: { connection: "close" } });
    await stopped;
  });

  it("closes a connection once its answer, begun before the stop, is complete", async () => {
    const go = Promise.withResolvers<void>();
    const { route, came } = held();
    const { url, port, stop } = await listening(route, {
      method: "GET",
      path: "/begun",
      handle: async (_request, response) => {
        response.writeHead(200, { "content-length": 2 });
        response.write("a");
        await go.promise;
        response.end("b");
      },
    });
    // Another request keeps the listener from closing everything before its time.
    const other = expect(send(`${url}/held`)).rejects.toThrow("socket hang up");
    await came;
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /begun HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "data");
    const stopped = stop().then(() => "stopped");
    go.resolve();
    expect(String(await once(socket, "data"))).toBe("b");
    expect(await Promise.race([once(socket, "close").then(() => "closed"), stopped])).toBe("closed");
    await other;
  });

  it("tells routes to answer what they hold back", async () => {
    const { route, came } = held((answer) => answer());
    const { url, stop } = await listening(route);
    const sent = send(`${url}/held`);
    await came;
    await stop();
    expect(await sent).toMatchObject({ status: 200 });
  });

  it("cuts off what does not end", async () => {
    const { route, came } = held();
    const { url, stop } = await listening(route);
    const sent = send(`${url}/held`);
    const failed = expect(sent).rejects.toThrow("socket hang up");
    await came;
    await stop();
    await failed;
  });
});

describe("an address", () => {
  it("that is taken is told with what to do", async () => {
    const { port } = await listening();
    const second = await Effect.runPromise(
      Effect.flip(
        Effect.scoped(
          listen(
            { log: () => undefined, counters: {} as ListensNode["counters"] },
            { host: "127.0.0.1", port },
            [],
          ),
        ),
      ),
    );
    expect(second).toBeInstanceOf(ListenFailed);
    expect(second.code).toBe("EADDRINUSE");
    expect(second.message).toContain(`127.0.0.1:${port}`);
    expect(second.message).toContain("http.port");
  });

  it("of port 0 is told as it is", async () => {
    const { url, port } = await listening();
    expect(port).toBeGreaterThan(0);
    expect(url).toBe(`http://127.0.0.1:${port}`);
  });
});
