import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeFileStorage, unfinishedDirectory } from "../../../src/storage/file.ts";
import { leftoverMs } from "../../../src/storage/limits.ts";
import type { StorageDriver } from "../../../src/storage/Storage.ts";

let base: string;
let root: string;
let store: StorageDriver;
const bucket = "bucket";
const bytes = Buffer.from("content");

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "orrery-tree-"));
  root = join(base, "root");
  await mkdir(join(root, bucket), { recursive: true });
  await mkdir(join(base, "outside"));
  await writeFile(join(base, "outside", "secret"), "secret");
  store = makeFileStorage({ root });
});
afterEach(() => rm(base, { recursive: true, force: true }));

const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromise(effect);
const tag = async <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>): Promise<string> => {
  const result = await Effect.runPromise(Effect.result(effect));
  return Result.isFailure(result) ? result.failure._tag : "no failure";
};
const keys = async () => (await run(store.list(bucket, ""))).objects.map((object) => object.key);

describe("no key leaves its bucket", () => {
  test("not through a link to a directory outside", async () => {
    await symlink(join(base, "outside"), join(root, bucket, "link"));
    expect(await tag(store.readAll(bucket, "link/secret", 100))).toBe("InvalidKey");
    expect(await tag(store.head(bucket, "link/secret"))).toBe("InvalidKey");
    expect(await tag(store.write(bucket, "link/new", bytes))).toBe("InvalidKey");
    expect(await tag(store.write(bucket, "link/deep/new", bytes))).toBe("InvalidKey");
    expect(await tag(store.delete(bucket, "link/secret"))).toBe("InvalidKey");
    expect(await readdir(join(base, "outside"))).toEqual(["secret"]);
  });

  test("not through a link to a file outside; writing replaces the link, not the file", async () => {
    await symlink(join(base, "outside", "secret"), join(root, bucket, "link"));
    expect(await tag(store.readAll(bucket, "link", 100))).toBe("InvalidKey");
    expect(await tag(store.head(bucket, "link"))).toBe("InvalidKey");
    await run(store.write(bucket, "link", bytes));
    expect(Buffer.from((await run(store.readAll(bucket, "link", 100))).bytes).toString()).toBe(
      bytes.toString(),
    );
    expect(await readFile(join(base, "outside", "secret"), "utf8")).toBe("secret");
  });

  test("not into another bucket, nor one whose name begins the same", async () => {
    await mkdir(join(root, "bucket-2"));
    await writeFile(join(root, "bucket-2", "file"), "x");
    await symlink(join(root, "bucket-2"), join(root, bucket, "link"));
    expect(await tag(store.readAll(bucket, "link/file", 100))).toBe("InvalidKey");
  });

  test("a link that stays inside is followed, and deleting it leaves what it points to", async () => {
    await run(store.write(bucket, "real/file", bytes));
    await symlink("real", join(root, bucket, "alias"));
    await symlink(join("real", "file"), join(root, bucket, "shortcut"));
    expect((await run(store.readAll(bucket, "alias/file", 100))).info.size).toBe(bytes.length);
    expect((await run(store.head(bucket, "shortcut"))).size).toBe(bytes.length);
    expect((await run(store.readAll(bucket, "shortcut", 100))).info.size).toBe(bytes.length);
    await run(store.delete(bucket, "shortcut"));
    expect(await tag(store.head(bucket, "shortcut"))).toBe("ObjectMissing");
    expect(await tag(store.head(bucket, "real/file"))).toBe("no failure");
  });

  test.each(["/absolute", "a//b", "a/", `${unfinishedDirectory}/x`, `long/${"x".repeat(256)}`])(
    "key %j is refused",
    async (key) => {
      expect(await tag(store.head(bucket, key))).toBe("InvalidKey");
      expect(await tag(store.write(bucket, key, bytes))).toBe("InvalidKey");
    },
  );

  test("the root itself may be a link", async () => {
    await symlink(root, join(base, "mount"));
    const through = makeFileStorage({ root: join(base, "mount") });
    await run(through.write(bucket, "a/b", bytes));
    expect((await run(through.readAll(bucket, "a/b", 100))).info.size).toBe(bytes.length);
  });
});

describe("what is there and is no object", () => {
  test("a directory, and what would lie below a file, are missing", async () => {
    await run(store.write(bucket, "a/b", bytes));
    expect(await tag(store.head(bucket, "a"))).toBe("ObjectMissing");
    expect(await tag(store.readAll(bucket, "a", 10))).toBe("ObjectMissing");
    expect(await tag(store.head(bucket, "a/b/c"))).toBe("ObjectMissing");
    expect(await tag(store.delete(bucket, "a/b/c"))).toBe("no failure");
  });

  test("a tree cannot hold an object and others below it: the second is refused, the first stays", async () => {
    await run(store.write(bucket, "a/b", bytes));
    expect(await tag(store.write(bucket, "a", bytes))).toBe("InvalidKey");
    expect(await tag(store.write(bucket, "a/b/c", bytes))).toBe("InvalidKey");
    expect(await keys()).toEqual(["a/b"]);
  });

  test("a FIFO holds nobody up", async () => {
    execFileSync("mkfifo", [join(root, bucket, "pipe")]);
    expect(await tag(store.readAll(bucket, "pipe", 10))).toBe("ObjectMissing");
    expect(await keys()).toEqual([]);
  });

  test("an unmounted disk is StorageUnavailable, and its objects are there when it is back", async () => {
    await run(store.write(bucket, "a/b", bytes));
    await rename(root, join(base, "unmounted"));
    expect(await tag(store.head(bucket, "a/b"))).toBe("StorageUnavailable");
    expect(await tag(store.list(bucket, ""))).toBe("StorageUnavailable");
    await rename(join(base, "unmounted"), root);
    expect(await tag(store.head(bucket, "a/b"))).toBe("no failure");
  });
});

describe("writing", () => {
  test("leaves nothing but the object", async () => {
    await run(store.write(bucket, "x/y/z", bytes));
    expect(await keys()).toEqual(["x/y/z"]);
    expect(await readdir(join(root, bucket, unfinishedDirectory))).toEqual([]);
  });

  test("that fails leaves nothing at all", async () => {
    const chunks = async function* () {
      yield bytes;
      throw new Error("sender gone");
    };
    const failing = store.write(bucket, "x", { size: 100, chunks: chunks() });
    expect(await tag(failing)).toBe("StorageUnavailable");
    expect(await keys()).toEqual([]);
    expect(await readdir(join(root, bucket, unfinishedDirectory))).toEqual([]);
  });

  test("what killed writers left is removed when it is old, and only then", async () => {
    const unfinished = join(root, bucket, unfinishedDirectory);
    await mkdir(unfinished);
    await writeFile(join(unfinished, "old"), "");
    await writeFile(join(unfinished, "young"), "");
    const before = (Date.now() - leftoverMs - 60_000) / 1_000;
    await utimes(join(unfinished, "old"), before, before);
    await run(store.write(bucket, "x", bytes));
    expect(await readdir(unfinished)).toEqual(["young"]);
  });

  test("gives the same content another etag, as it is another file", async () => {
    const first = await run(store.write(bucket, "x", bytes));
    const second = await run(store.write(bucket, "x", bytes));
    expect(second.etag).not.toBe(first.etag);
    expect((await run(store.head(bucket, "x"))).etag).toBe(second.etag);
  });
});

test("addresses escape what a URL may not hold", () => {
  expect(store.uri(bucket, "a b/c#1.fits")).toBe(`file://${root}/bucket/a%20b/c%231.fits`);
});

test("an address is the one that the system gives to the path, whatever a key holds", () => {
  const is = (key: string): void => {
    expect(store.uri(bucket, key)).toBe(pathToFileURL(join(root, bucket, key)).href);
  };
  for (const part of [
    ".",
    "..",
    ".a",
    "-",
    "a~b",
    "%41",
    "a b",
    "#1",
    "?",
    "ü",
    "a\\b",
    "a\n",
    "",
    "_a-1.fits",
  ]) {
    for (const key of [part, `x/${part}`, `${part}/x`, `x/${part}/x`]) is(key);
  }
  fc.assert(fc.property(fc.string(), is));
  expect(makeFileStorage({ root: "/" }).uri("data", "a/b.fits")).toBe("file:///data/a/b.fits");
});

test.runIf(process.platform === "linux")(
  "no read leaves a descriptor open, whatever comes of it",
  async () => {
    await run(store.write(bucket, "folder/file", bytes));
    const open = async () => (await readdir("/proc/self/fd")).length;
    const before = await open();
    for (let n = 0; n < 20; n++) {
      await run(store.readAll(bucket, "folder/file", 100));
      expect(await tag(store.readAll(bucket, "folder/file", 1))).toBe("ObjectTooLarge");
      expect(await tag(store.readAll(bucket, "folder", 100))).toBe("ObjectMissing");
      expect(await tag(store.readAll(bucket, "absent", 100))).toBe("ObjectMissing");
    }
    expect(await open()).toBeLessThan(before + 10);
  },
);
