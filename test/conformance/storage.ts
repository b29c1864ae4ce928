/** What every store must do. Run it against a layer; the layer's store has these two buckets, one of them not. */
import { createHash, randomBytes } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Result from "effect/Result";
import * as Stream from "effect/Stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readBytesMax, streamChunkBytes } from "../../src/storage/limits.ts";
import type { StorageDriver } from "../../src/storage/Storage.ts";
import { Storage } from "../../src/storage/Storage.ts";

/** Must exist, empty, before the suite begins. */
export const conformanceBucket = "orrery-conformance";
/** Must not exist. */
export const absentBucket = "orrery-absent";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytesOf = (value: string): Uint8Array => Buffer.from(value);

async function* pieces(...values: ReadonlyArray<string>) {
  for (const value of values) yield bytesOf(value);
}

/** Keys that some store somewhere has mangled. */
const awkward = [
  "plain.fits",
  "a b.fits",
  "a+b.fits",
  "a%20b.fits",
  "a%2Fb.fits",
  "2025-04-16T07:03:14.565#1/R22_S11.fits",
  "question?mark&and=equals",
  "quote'double\"quote",
  "back\\slash",
  "star*[bracket]{brace}",
  "~tilde^caret|pipe`tick",
  "semi;colon,comma@at!$",
  "ümlaut/日本語/🔭.fits",
  "dots..in...names",
  ".hidden",
  "trailing.",
  "__proto__",
];

const invalid = {
  empty: "",
  "parent part": "a/../b",
  "leading parent": "../b",
  "trailing parent": "a/..",
  "dot part": "a/./b",
  NUL: "a\0b",
  "too long": "x/".repeat(513),
  "lone surrogate": "a\uD800b",
};

/** Registers the suite. `makeLayer` is called once; its layer's resources are released at the end. */
export function storageConformance(
  name: string,
  makeLayer: () => Promise<Layer.Layer<Storage, unknown>>,
): void {
  describe(`${name}: a store of objects`, () => {
    let runtime: ManagedRuntime.ManagedRuntime<Storage, unknown>;
    let store: StorageDriver;
    const bucket = conformanceBucket;

    beforeAll(async () => {
      runtime = ManagedRuntime.make(await makeLayer());
      store = await runtime.runPromise(Storage);
    });
    afterAll(async () => {
      await runtime?.dispose();
    });

    const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromise(effect);
    const failure = async <A, E extends { readonly _tag: string }>(
      effect: Effect.Effect<A, E>,
    ): Promise<E> => {
      const result = await Effect.runPromise(Effect.result(effect));
      if (Result.isFailure(result)) return result.failure;
      throw new Error(`succeeded with ${JSON.stringify(result.success)}`);
    };
    const put = (key: string, value: string) => run(store.write(bucket, key, bytesOf(value)));
    const get = async (key: string) => text((await run(store.readAll(bucket, key, 1_000_000))).bytes);

    test("what is written is read, by the same etag everywhere", async () => {
      const written = await put("first/object", "hello");
      expect(written).toMatchObject({ size: 5 });
      expect(written.etag).not.toBe("");
      expect(written.etag).not.toContain('"');
      const info = await run(store.head(bucket, "first/object"));
      expect(info).toMatchObject({ key: "first/object", size: 5, etag: written.etag });
      expect(info.lastModified).toBeGreaterThan(Date.UTC(2020, 0));
      const all = await run(store.readAll(bucket, "first/object", 5));
      expect(text(all.bytes)).toBe("hello");
      expect(all.info).toEqual(info);
      const range = await run(store.readRange(bucket, "first/object", 0, 5));
      expect(range.info).toEqual(info);
      const { objects } = await run(store.list(bucket, "first/"));
      expect(objects).toEqual([info]);
    });

    test("other content has another etag", async () => {
      const before = await put("changing", "one");
      const after = await put("changing", "two");
      expect(after.etag).not.toBe(before.etag);
      expect((await run(store.head(bucket, "changing"))).etag).toBe(after.etag);
      expect(await get("changing")).toBe("two");
    });

    test("an object that is not there is ObjectMissing, with its address", async () => {
      const uri = store.uri(bucket, "nowhere/at.all");
      const asked = [
        store.head(bucket, "nowhere/at.all"),
        store.readRange(bucket, "nowhere/at.all", 0, 10),
        store.readAll(bucket, "nowhere/at.all", 10),
        Stream.runCollect(store.stream(bucket, "nowhere/at.all")),
      ];
      for (const effect of asked) {
        expect(await failure<unknown, { readonly _tag: string }>(effect)).toMatchObject({
          _tag: "ObjectMissing",
          uri,
        });
      }
    });

    test("a bucket that is not there is StorageUnavailable: none of its objects is to blame", async () => {
      const asked = [
        store.head(absentBucket, "object"),
        store.readRange(absentBucket, "object", 0, 10),
        store.readAll(absentBucket, "object", 10),
        store.list(absentBucket, ""),
        store.write(absentBucket, "object", bytesOf("x")),
      ];
      for (const effect of asked) {
        expect((await failure<unknown, { readonly _tag: string }>(effect))._tag).toBe("StorageUnavailable");
      }
    });

    test("ranges: within, over the end, at the end, beyond, of nothing", async () => {
      await put("ranged", "0123456789");
      const range = async (offset: number, length: number) => {
        const { info, bytes } = await run(store.readRange(bucket, "ranged", offset, length));
        expect(info.size).toBe(10);
        return text(bytes);
      };
      expect(await range(0, 10)).toBe("0123456789");
      expect(await range(3, 4)).toBe("3456");
      expect(await range(9, 1)).toBe("9");
      expect(await range(8, 100)).toBe("89");
      expect(await range(10, 5)).toBe("");
      expect(await range(1_000, 5)).toBe("");
      expect(await range(4, 0)).toBe("");
    });

    test("an object may be empty", async () => {
      await put("empty", "");
      expect((await run(store.head(bucket, "empty"))).size).toBe(0);
      const range = await run(store.readRange(bucket, "empty", 0, 2_880));
      expect(range).toMatchObject({ info: { size: 0 }, bytes: { length: 0 } });
      expect((await run(store.readAll(bucket, "empty", 0))).bytes.length).toBe(0);
      expect(await run(Stream.runCollect(store.stream(bucket, "empty")))).toEqual([]);
    });

    test("more bytes than allowed are refused, not read", async () => {
      await put("large", "x".repeat(1_000));
      expect(await failure(store.readAll(bucket, "large", 999))).toMatchObject({
        _tag: "ObjectTooLarge",
        bytes: 1_000,
        bytesMax: 999,
      });
      expect((await run(store.readAll(bucket, "large", 1_000))).bytes.length).toBe(1_000);
      const unbounded = store.readRange(bucket, "large", 0, readBytesMax + 1);
      expect((await failure(unbounded))._tag).toBe("ObjectTooLarge");
    });

    test("a negative or fractional range is a defect of the caller", async () => {
      for (const [offset, length] of [
        [-1, 5],
        [0, -5],
        [0.5, 1],
        [0, Number.NaN],
      ] as const) {
        const exit = await Effect.runPromiseExit(store.readRange(bucket, "ranged", offset, length));
        expect(Exit.hasDies(exit), `${offset}, ${length}`).toBe(true);
      }
    });

    test("a stream brings the whole object, in pieces", async () => {
      const content = randomBytes(2 * streamChunkBytes + 12_345);
      await run(store.write(bucket, "streamed", content));
      const hash = createHash("sha256");
      await run(
        Stream.runForEach(store.stream(bucket, "streamed"), (piece) => Effect.sync(() => hash.update(piece))),
      );
      expect(hash.digest("hex")).toBe(createHash("sha256").update(content).digest("hex"));
    });

    test("a body in pieces is written whole, or not at all", async () => {
      const written = await run(store.write(bucket, "pieces", { size: 6, chunks: pieces("abc", "", "def") }));
      expect(written.size).toBe(6);
      expect(await get("pieces")).toBe("abcdef");
      for (const values of [["ab"], ["abc", "defghi"], []]) {
        const short = store.write(bucket, "pieces", { size: 7, chunks: pieces(...values) });
        expect((await failure(short))._tag).toBe("StorageUnavailable");
      }
      expect(await get("pieces")).toBe("abcdef");
      expect((await run(store.list(bucket, "pieces"))).objects).toHaveLength(1);
    });

    test("until a write is complete, readers have what was there before", async () => {
      await put("slow", "before");
      const half = Promise.withResolvers<void>();
      const rest = Promise.withResolvers<void>();
      const chunks = async function* () {
        yield bytesOf("af");
        half.resolve();
        await rest.promise;
        yield bytesOf("ter");
      };
      const writing = run(store.write(bucket, "slow", { size: 5, chunks: chunks() }));
      await half.promise;
      expect(await get("slow")).toBe("before");
      expect((await run(store.list(bucket, "slow"))).objects).toMatchObject([{ size: 6 }]);
      rest.resolve();
      await writing;
      expect(await get("slow")).toBe("after");
    });

    test("a reader sees one content or the other, never a part", async () => {
      const contents = ["a", "b"].map((letter) => bytesOf(letter.repeat(200_000)));
      const write = (n: number) => store.write(bucket, "contended", contents[n % 2] ?? bytesOf(""));
      await run(write(0));
      const reads = Effect.replicateEffect(store.readAll(bucket, "contended", 1_000_000), 20);
      const writes = Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], write);
      const [read] = await run(Effect.all([reads, writes, writes], { concurrency: 3 }));
      for (const { bytes, info } of read) {
        expect([bytes.length, info.size]).toEqual([200_000, 200_000]);
        expect(new Set(bytes).size).toBe(1);
      }
    });

    test.each(awkward)("key %j keeps its name", async (key) => {
      await put(key, key);
      expect(await get(key)).toBe(key);
      expect((await run(store.head(bucket, key))).key).toBe(key);
      expect((await run(store.list(bucket, key))).objects.map((object) => object.key)).toContain(key);
      await run(store.delete(bucket, key));
      expect((await failure(store.head(bucket, key)))._tag).toBe("ObjectMissing");
    });

    test.each(Object.entries(invalid))(
      "a key with %s is refused before anything is asked",
      async (_what, key) => {
        const asked = [
          store.head(bucket, key),
          store.readRange(bucket, key, 0, 1),
          store.readAll(bucket, key, 1),
          Stream.runCollect(store.stream(bucket, key)),
          store.write(bucket, key, bytesOf("x")),
          store.delete(bucket, key),
        ];
        for (const effect of asked) {
          expect((await failure<unknown, { readonly _tag: string }>(effect))._tag).toBe("InvalidKey");
        }
      },
    );

    test.each(["", "../etc", "a/b", "-x", ".x"])("bucket %j is refused", async (name) => {
      expect((await failure(store.head(name, "key")))._tag).toBe("InvalidKey");
      expect((await failure(store.list(name, "")))._tag).toBe("InvalidKey");
    });

    test("listing: by prefix, in order, page by page", async () => {
      // Not "l/a" beside "l/a/b": a directory tree cannot hold both.
      const keys = ["l/a-b", "l/a.b", "l/a/b", "l/a/c", "l/a0", "l/b/1", "l/b/2/x", "l/ｚ", "l/🔭"];
      for (const key of keys.toReversed()) await put(key, "");
      await put("m/other", "");
      const list = (prefix: string, page?: { readonly after?: string | null; readonly max?: number }) =>
        run(store.list(bucket, prefix, page));
      const names = (page: { readonly objects: ReadonlyArray<{ readonly key: string }> }) =>
        page.objects.map((object) => object.key);
      const sorted = keys.toSorted((a, b) => Buffer.compare(bytesOf(a), bytesOf(b)));
      const whole = await list("l/");
      expect(names(whole)).toEqual(sorted);
      expect(whole.next).toBeNull();
      expect(names(await list("l/a/"))).toEqual(["l/a/b", "l/a/c"]);
      expect(names(await list("l/a"))).toEqual(sorted.slice(0, 5));
      expect(names(await list("l/b/2"))).toEqual(["l/b/2/x"]);
      expect(names(await list("l/none"))).toEqual([]);
      expect(names(await list("l/", { after: "l/a/b" }))).toEqual(sorted.slice(sorted.indexOf("l/a/b") + 1));
      const collected: Array<string> = [];
      let after: string | null = null;
      let pages = 0;
      do {
        const page: Effect.Success<ReturnType<StorageDriver["list"]>> = await list("l/", { after, max: 3 });
        expect(page.objects.length).toBeLessThanOrEqual(3);
        collected.push(...names(page));
        after = page.next;
        pages++;
      } while (after !== null && pages < 20);
      expect(collected).toEqual(sorted);
      expect(pages).toBe(3);
    });

    test("deleting twice is deleting once", async () => {
      await put("deleted", "x");
      await run(store.delete(bucket, "deleted"));
      await run(store.delete(bucket, "deleted"));
      await run(store.delete(bucket, "never/was"));
      expect((await failure(store.readAll(bucket, "deleted", 10)))._tag).toBe("ObjectMissing");
    });

    test("each key has its own address", () => {
      const uris = awkward.map((key) => store.uri(bucket, key));
      expect(new Set(uris).size).toBe(awkward.length);
      for (const uri of uris) expect(uri).toMatch(/^[a-z0-9]+:\/\//);
    });
  });
}
