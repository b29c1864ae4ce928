/** The directory watcher on a whole node: what it takes and when, what it leaves alone, and what a restart changes. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSample } from "../../src/demo/fitsWriter.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { FileRecord, TestSite } from "../support/testSite.ts";
import { arrivals, ask, counted, keysOf, recordOf, settled, startSite, until } from "../support/testSite.ts";

const quietMs = 400;

const siteText = (server: string, root: string): string => `
name: watched
node: { name: watched-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
storage:
  disk: { driver: file, root: ${JSON.stringify(root)} }
lanes:
  files: { kind: object, buckets: [files], storage: disk }
  loose: { kind: object, buckets: [loose] }
  raw:
    kind: exposure
    buckets: [raw]
    storage: disk
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/'
    identity: rubin
    sidecar: .json
watch:
  - { directory: ${JSON.stringify(join(root, "files"))}, bucket: files, pollEvery: 50 ms, quiet: ${quietMs} ms }
  - { directory: ${JSON.stringify(join(root, "loose"))}, bucket: loose, pollEvery: 50 ms, quiet: 0 s }
  - { directory: ${JSON.stringify(join(root, "raw"))}, bucket: raw, pollEvery: 50 ms, quiet: ${quietMs} ms }
enqueuer: { duplicateWindow: 100 ms }
presence: { instruments: [LSSTCam] }
`;

describe("the directory watcher", () => {
  const root = mkdtempSync(join(tmpdir(), "orrery-watch-"));
  let nats: TestNats;
  let site: TestSite;

  beforeAll(async () => {
    // The others are made later: what is not there yet is looked for again.
    mkdirSync(join(root, "files"));
    nats = await startNats({ topology: null });
    site = await startSite(siteText(nats.server.url, root));
  });
  afterAll(async () => {
    await site.stop();
    await nats.stop();
    // Its own paths are too long for Node to remove.
    execFileSync("rm", ["-rf", root]);
  });

  function put(bucket: string, key: string, body: string | Uint8Array = key): void {
    const path = join(root, bucket, key);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, body);
  }
  const known = (key: string, lane = "files"): Promise<FileRecord> => settled(site, lane, "-", lane, key);
  const names = async (part: string): Promise<ReadonlyArray<string>> =>
    [...(await keysOf(site, "file.>")).keys()].filter((name) => name.includes(part));

  it("takes files below the directory by their paths, whatever their names hold", async () => {
    const keys = [
      "plain.fits",
      "a/b/c/deep.fits",
      "with space/ü😀+%20.fits",
      "*/>.$KV",
      "a.b..c",
      "__proto__/x",
    ];
    for (const key of keys) put("files", key);
    for (const key of keys) {
      const record = await known(key);
      expect([record.state, record.body.size, record.body.via]).toEqual([
        "known",
        Buffer.byteLength(key),
        `watch:${join(root, "files")}`,
      ]);
    }
  });

  it("waits for a directory that is not there, and says so once", async () => {
    const told = (): number =>
      site.log.filter(({ level, fields }) => level === "warn" && fields["path"] === join(root, "loose"))
        .length;
    await until(told, (count) => count > 0);
    // Many scans later: the other directory's file has been looked at twice at least.
    put("files", "meanwhile");
    await known("meanwhile");
    expect(told()).toBe(1);
    put("loose", "late");
    expect((await known("late", "loose")).state).toBe("known");
  });

  it("a file that grows is left alone until it is quiet", async () => {
    for (let attempt = 0; ; attempt++) {
      const key = `growing-${attempt}`;
      put("files", key, "");
      const began = performance.now();
      let last = began;
      let pause = 0;
      // Longer than a file is watched before it is taken.
      while (performance.now() - began < quietMs * 2.5) {
        appendFileSync(join(root, "files", key), "x".repeat(100));
        pause = Math.max(pause, performance.now() - last);
        last = performance.now();
        // Several looks see it unchanged, and none for long enough.
        await sleep(quietMs / 3);
      }
      // A machine that stood still made it quiet: that says nothing.
      if (pause > quietMs * 0.7 && attempt < 5) continue;
      expect(await recordOf(site, "files", "-", "files", key)).toBeNull();
      expect((await known(key)).body.size).toBe(statSync(join(root, "files", key)).size);
      return;
    }
  });

  it("what says that it is unfinished is left alone until it has its name", async () => {
    const unfinished = [
      "upload.fits.part",
      "upload.tmp",
      ".hidden",
      ".partial/inside.fits",
      "folder.part/inside.fits",
    ];
    for (const name of unfinished) put("files", `unfinished/${name}`);
    put("files", "unfinished/done.fits");
    await known("unfinished/done.fits");
    expect(await names("unfinished/")).toHaveLength(1);
    renameSync(join(root, "files/unfinished/upload.fits.part"), join(root, "files/unfinished/upload.fits"));
    renameSync(join(root, "files/unfinished/.partial"), join(root, "files/unfinished/whole"));
    await known("unfinished/upload.fits");
    await known("unfinished/whole/inside.fits");
    expect(await names("unfinished/")).toHaveLength(3);
  });

  it("a renamed file is a file of its new name; the old name stays known as it was", async () => {
    put("files", "before.fits");
    const before = await known("before.fits");
    renameSync(join(root, "files/before.fits"), join(root, "files/after.fits"));
    const after = await known("after.fits");
    expect(after.etag).toBe(before.etag);
    expect(await recordOf(site, "files", "-", "files", "before.fits")).toEqual(before);
  });

  it("a webhook for a file that was seen is a duplicate, and so the other way round", async () => {
    put("files", "both.fits");
    const first = await known("both.fits");
    const duplicates = (): number => counted(site, "duplicates.files") + counted(site, "skipped.duplicate");
    const before = duplicates();
    const object = { key: "both.fits", eTag: first.etag, size: 9 };
    const notification = {
      Records: [{ eventName: "ObjectCreated:Put", s3: { bucket: { name: "files" }, object } }],
    };
    expect((await ask(site, { body: notification })).status).toBe(200);
    await until(duplicates, (count) => count > before);
    expect(await recordOf(site, "files", "-", "files", "both.fits")).toEqual(first);
  });

  it("changed content of a known file is seen, and refused as the lane says", async () => {
    put("files", "changed.fits", "first");
    const first = await known("changed.fits");
    put("files", "changed.fits", "second content");
    const refused = await until(
      () => recordOf(site, "files", "-", "files", "changed.fits"),
      (record) => (record?.refused?.length ?? 0) > 0,
    );
    expect(refused).toMatchObject({ state: "known", etag: first.etag });
  });

  it("a directory that cannot be read hides nothing but itself", async () => {
    // Even the administrator may not read below a path that is too long.
    const step = "d".repeat(250);
    const top = join(root, "files/siblings");
    mkdirSync(top);
    const file = "f".repeat(250);
    // The last folder that can be listed has a file at which nobody can look.
    const last = Math.floor((4_095 - top.length) / (step.length + 1));
    const nest = `for (let i = 1; i <= 20; i++) {
      fs.mkdirSync("${step}"); process.chdir("${step}"); if (i === ${last}) fs.writeFileSync("${file}", "");
    }`;
    execFileSync(process.execPath, ["-e", nest], { cwd: join(root, "files/siblings") });
    for (let i = 0; i < 20; i++) put("files", `siblings/folder-${i}/file`);
    for (let i = 0; i < 20; i++) expect((await known(`siblings/folder-${i}/file`)).state).toBe("known");
    const told = site.log.filter(({ fields }) => String(fields["path"]).includes(step));
    expect(told.length).toBeGreaterThan(0);
    expect(new Set(told.map(({ fields }) => fields["path"])).size).toBe(told.length);
    expect(told.filter(({ fields }) => String(fields["path"]).endsWith(file))).toHaveLength(1);
    execFileSync("rm", ["-rf", join(root, "files/siblings", step)]);
  });

  it("a name that is no text is told, not dropped unseen", async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/files/`), Buffer.from([0x66, 0xff, 0xfe])]), "x");
    await until(
      () => site.log.filter(({ message }) => message.includes("not UTF-8")).length,
      (count) => count === 1,
    );
  });

  it("thousands of files are each known once", async () => {
    for (let i = 0; i < 3_000; i++) put("files", `many/${i % 30}/${i}`, "");
    await until(
      () => names("/many/"),
      (found) => found.length === 3_000,
      40_000,
    );
    expect(await arrivals(site, "arrive.files.>")).toBeLessThan(3_100);
  });

  it("a sidecar that says anything parks its own file and holds no other", async () => {
    const sample = (seqNum: number): ReturnType<typeof makeSample> =>
      makeSample({
        instrument: "LSSTCam",
        day: "20251121",
        seqNum,
        raftBay: "R22",
        ccdSlot: "S11",
        seed: seqNum,
      });
    const hostile: ReadonlyArray<readonly [string, unknown, string]> = [
      ["OBSID", "M".repeat(1_000_000), "IdentityUnusable"],
      ["OBSID", "lone \ud800", "IdentityUnusable"],
      ["OBSID", "é".repeat(700), "IdentityUnusable"],
      ["OBSID", "é".repeat(500), "known"],
      ["GROUPID", "G".repeat(3_000_000), "IdentityUnusable"],
      ["RAFTBAY", "R22".repeat(1_000), "IdentityUnusable"],
      ["REASON", "R".repeat(3_000_000), "known"],
      ["__proto__", { OBSID: 1 }, "known"],
    ];
    const keys = hostile.map(([name, value], i) => {
      const { key, sidecarKey, sidecar, fits } = sample(i + 1);
      const header = { ...(JSON.parse(Buffer.from(sidecar).toString()) as object), [name]: value };
      const folder = key.split("/").slice(0, 2).join("/");
      const flat = (path: string): string =>
        `${folder}/hostile-${i}/${path.slice(path.lastIndexOf("/") + 1)}`;
      put("raw", flat(sidecarKey), JSON.stringify(header));
      put("raw", flat(key), fits);
      return flat(key);
    });
    const good = sample(99);
    put("raw", good.sidecarKey, good.sidecar);
    put("raw", good.key, good.fits);
    expect((await settled(site, "raw", "20251121", "raw", good.key)).state).toBe("known");
    const outcomes = await Promise.all(keys.map((key) => settled(site, "raw", "20251121", "raw", key)));
    expect(outcomes.map(({ state, errors }) => errors.at(-1)?.reason ?? state)).toEqual(
      hostile.map(([, , end]) => end),
    );
    expect(outcomes.every(({ attempts, crashes }) => attempts === 0 && crashes === 0)).toBe(true);
  });

  it("a restart makes nothing twice, and sees what came meanwhile", async () => {
    const before = await keysOf(site, "file.>");
    await site.stop();
    put("files", "restart/one");
    put("loose", "restart/two");
    rmSync(join(root, "files/plain.fits"));
    site = await startSite(siteText(nats.server.url, root));
    await known("restart/one");
    await known("restart/two", "loose");
    // Everything is announced again, and recognised.
    await until(
      () => counted(site, "duplicates.files"),
      (count) => count >= 3_000,
      40_000,
    );
    const after = await keysOf(site, "file.>");
    expect(after.size).toBe(before.size + 2);
    for (const [key, record] of before) expect([key, after.get(key)]).toEqual([key, record]);
  });
});
