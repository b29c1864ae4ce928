import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Redacted from "effect/Redacted";
import * as Result from "effect/Result";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { StorageError } from "../../../src/storage/errors.ts";
import { bucketOf, makeS3Storage } from "../../../src/storage/s3.ts";
import type { StorageDriver } from "../../../src/storage/Storage.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  vi.unstubAllEnvs();
});

/** An S3 server that does as it is told, and what it was asked. */
async function serve(
  handler: Handler,
): Promise<{ endpoint: string; requests: Array<IncomingMessage>; connections: () => number }> {
  const requests: Array<IncomingMessage> = [];
  let connections = 0;
  const server = createServer((request, response) => {
    requests.push(request);
    request.resume();
    handler(request, response);
  });
  server.on("connection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return { endpoint: `http://127.0.0.1:${address.port}`, requests, connections: () => connections };
}

function within<A>(
  endpoint: string,
  use: (store: StorageDriver) => Effect.Effect<A, StorageError>,
  options: { readonly deadlineMs?: number; readonly keys?: boolean } = {},
): Promise<Result.Result<A, StorageError>> {
  const keys = options.keys ?? true;
  return Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(
        makeS3Storage({
          endpoint,
          region: "us-east-1",
          forcePathStyle: true,
          accessKeyId: keys ? Redacted.make("configured") : null,
          secretAccessKey: keys ? Redacted.make("secret") : null,
          ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
        }),
        (store) => Effect.result(use(store)),
      ),
    ),
  );
}

const errorBody = (code: string): string =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`;
const answering =
  (status: number, code: string): Handler =>
  (request, response) => {
    response.writeHead(status, { "content-type": "application/xml" });
    response.end(request.method === "HEAD" ? undefined : errorBody(code));
  };

test("a bucket's written name", () => {
  expect(bucketOf("raw")).toEqual({ profile: null, bucket: "raw" });
  expect(bucketOf("night@raw")).toEqual({ profile: "night", bucket: "raw" });
  expect(bucketOf("rubin:raw")).toEqual({ profile: null, bucket: "rubin:raw" });
});

describe("a bucket of another tenant or profile", () => {
  const ok: Handler = (_request, response) =>
    response.writeHead(200, { etag: '"e"', "content-length": "3" }).end("abc");

  test("tenant:bucket is asked for under that whole name", async () => {
    const { endpoint, requests } = await serve(ok);
    const result = await within(endpoint, (store) => store.readAll("rubin:raw", "a/b.fits", 10));
    expect(Result.isSuccess(result)).toBe(true);
    expect(decodeURIComponent(requests[0]?.url ?? "")).toContain("/rubin:raw/a/b.fits");
  });

  test("profile@bucket is the bucket, asked for with that profile's credentials", async () => {
    const folder = await mkdtemp(join(tmpdir(), "orrery-aws-"));
    cleanups.push(() => rm(folder, { recursive: true, force: true }));
    await writeFile(
      join(folder, "credentials"),
      "[night]\naws_access_key_id = FROMPROFILE\naws_secret_access_key = secret\n",
    );
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", join(folder, "credentials"));
    vi.stubEnv("AWS_CONFIG_FILE", join(folder, "none"));
    const { endpoint, requests } = await serve(ok);
    const both = (store: StorageDriver) =>
      Effect.andThen(store.head("night@raw", "a/b.fits"), store.head("raw", "a/b.fits"));
    expect(Result.isSuccess(await within(endpoint, both))).toBe(true);
    expect(requests.map((request) => request.url)).toEqual(["/raw/a/b.fits", "/raw/a/b.fits"]);
    expect(requests[0]?.headers.authorization).toContain("Credential=FROMPROFILE/");
    expect(requests[1]?.headers.authorization).toContain("Credential=configured/");
  });

  test("the address keeps the name as it was written", async () => {
    const result = await within("http://127.0.0.1:1", (store) =>
      Effect.succeed(store.uri("night@raw", "a/2025-04-16T07:03:14.565#1.fits")),
    );
    expect(result).toEqual(Result.succeed("s3://night@raw/a/2025-04-16T07:03:14.565#1.fits"));
  });
});

describe("errors", () => {
  const failing = async (handler: Handler, use: Parameters<typeof within>[1]): Promise<StorageError> => {
    const { endpoint } = await serve(handler);
    return Result.getOrThrow(Result.flip(await within(endpoint, use, { deadlineMs: 20_000 })));
  };

  test.each([
    [403, "AccessDenied", "AccessDenied"],
    [403, "SignatureDoesNotMatch", "AccessDenied"],
    [400, "ExpiredToken", "AccessDenied"],
    [404, "NoSuchKey", "ObjectMissing"],
    [404, "NoSuchBucket", "StorageUnavailable"],
    [500, "InternalError", "StorageUnavailable"],
    [503, "SlowDown", "StorageUnavailable"],
    [301, "PermanentRedirect", "StorageUnavailable"],
    [400, "InvalidBucketName", "StorageUnavailable"],
  ])("%i %s on reading is %s", async (status, code, tag) => {
    const error = await failing(answering(status, code), (store) => store.readAll("raw", "key", 10));
    expect(error._tag).toBe(tag);
  });

  test("403 on HEAD is AccessDenied, though it has no body", async () => {
    expect((await failing(answering(403, ""), (store) => store.head("raw", "key")))._tag).toBe(
      "AccessDenied",
    );
  });

  test("404 on HEAD asks for the bucket: there, it is the object; not there, the storage", async () => {
    const bucketThere: Handler = (request, response) =>
      response.writeHead(request.url === "/raw" || request.url === "/raw/" ? 200 : 404).end();
    expect((await failing(bucketThere, (store) => store.head("raw", "key")))._tag).toBe("ObjectMissing");
    expect((await failing(answering(404, ""), (store) => store.head("raw", "key")))._tag).toBe(
      "StorageUnavailable",
    );
  });

  test("nobody listens", async () => {
    const { endpoint } = await serve(answering(500, ""));
    const closed = endpoint.replace(/\d+$/, "1");
    const result = await within(closed, (store) => store.head("raw", "key"));
    expect(Result.getOrThrow(Result.flip(result))).toMatchObject({
      _tag: "StorageUnavailable",
      operation: "head",
    });
  });

  test("no answer within the deadline", async () => {
    const { endpoint } = await serve(() => undefined);
    const result = await within(endpoint, (store) => store.readAll("raw", "key", 1_000), { deadlineMs: 300 });
    expect(Result.getOrThrow(Result.flip(result))).toMatchObject({ _tag: "StorageUnavailable" });
  });

  test("a deadline in the middle of the body ends the connection too", async () => {
    const closed = Promise.withResolvers<void>();
    const { endpoint } = await serve((_request, response) => {
      response.on("close", () => closed.resolve());
      response.writeHead(200, { "content-length": "100", etag: '"e"' });
      response.write("some");
    });
    // Inside the scope, so that it is not the closing of the client that ends it.
    const result = await within(
      endpoint,
      (store) =>
        Effect.onExit(store.readAll("raw", "key", 1_000), () => Effect.promise(() => closed.promise)),
      { deadlineMs: 1_500 },
    );
    expect(Result.getOrThrow(Result.flip(result))).toMatchObject({ _tag: "StorageUnavailable" });
  });

  test("a body that ends too early is no object", async () => {
    const cut: Handler = (_request, response) => {
      response.writeHead(200, { "content-length": "100", etag: '"e"' });
      response.write("some", () => response.destroy());
    };
    expect((await failing(cut, (store) => store.readAll("raw", "key", 1_000)))._tag).toBe(
      "StorageUnavailable",
    );
  });
});

describe("a server that knows no ranges", () => {
  test("sends the whole object: only the range is taken from it", async () => {
    const { endpoint } = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "10", etag: '"whole"' });
      response.end("0123456789");
    });
    const result = await within(endpoint, (store) => store.readRange("raw", "key", 3, 4));
    const { info, bytes } = Result.getOrThrow(result);
    expect(Buffer.from(bytes).toString()).toBe("3456");
    expect(info).toMatchObject({ size: 10, etag: "whole" });
  });
});

describe("connections", () => {
  const content = Buffer.alloc(200_000, "0123456789");
  const whole: Handler = (request, response) => {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const body = range === null ? content : content.subarray(Number(range[1]), Number(range[2]) + 1);
    response.writeHead(range === null ? 200 : 206, {
      etag: '"e"',
      "content-length": String(body.length),
      ...(range === null ? {} : { "content-range": `bytes ${range[1]}-${range[2]}/${content.length}` }),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const rounds = 10;
  const times =
    (use: (store: StorageDriver) => Effect.Effect<unknown, StorageError>) => (store: StorageDriver) =>
      Effect.repeat(use(store), { times: rounds - 1 });

  test.each([
    ["head", (store: StorageDriver) => store.head("raw", "key")],
    ["readAll", (store: StorageDriver) => store.readAll("raw", "key", 1_000_000)],
    ["readRange", (store: StorageDriver) => store.readRange("raw", "key", 5, 100_000)],
  ] as const)("%s leaves its connection to the next request", async (_name, use) => {
    const { endpoint, requests, connections } = await serve(whole);
    Result.getOrThrow(await within(endpoint, times(use)));
    expect(requests).toHaveLength(rounds);
    // The next request may be made a moment before the first connection is free.
    expect(connections()).toBeLessThan(4);
  });

  test("what comes beyond a range is not waited for", async () => {
    const { endpoint } = await serve((_request, response) => {
      // It knows no ranges, and its object does not end.
      response.writeHead(200, { "content-length": "1000000000", etag: '"endless"' });
      response.write(content);
    });
    const read = await within(endpoint, (store) => store.readRange("raw", "key", 7, 5));
    expect(Buffer.from(Result.getOrThrow(read).bytes).toString()).toBe("78901");
  });
});
