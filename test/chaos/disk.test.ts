/** A node whose own nats-server meets a full disk. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Disk } from "../support/disk.ts";
import { ask, startSite, until } from "../support/testSite.ts";
import { bucket, notification } from "./sender.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-disk-"));
const disk = Disk.mount(join(folder, "data"));
afterAll(() => {
  disk?.unmount();
  rmSync(folder, { recursive: true, force: true });
});

const text = `
name: full
node: { name: n0 }
dataDir: ${folder}/data
http: { host: 127.0.0.1, port: 0 }
lanes:
  files: { kind: object, buckets: [${bucket}], pattern: '^(?<day>\\d{8})/', metadata: key }
`;

describe.skipIf(disk === null)("a full disk under the embedded server", () => {
  it("is over when there is room again: the server is started anew, and takes in what it refused", async () => {
    const site = await startSite(text);
    const send = async (key: string): Promise<number> => {
      const url = site.node.httpUrl();
      if (url === null) return 0;
      const body = notification([{ key: `20260101/${key}`, etag: "1" }]);
      return (await ask({ ...site, url }, { body })).status;
    };
    try {
      expect(await send("before")).toBe(200);
      const pid = site.node.serverPid();
      disk?.fill();
      // Only what is on disk is answered 200; the last page of it has room for some more.
      let sent = 0;
      await until(
        () => send(`filler-${sent++}`),
        (status) => status === 503,
      );
      await until(
        () => site.log.map(({ message }) => message),
        (messages) => messages.some((message) => message.includes("make room there")),
      );
      expect(site.node.serverPid()).toBe(pid);
      disk?.free();
      await until(
        () => send("full").catch(() => 0),
        (status) => status === 200,
      );
      expect(site.node.serverPid()).not.toBe(pid);
    } finally {
      await site.stop();
    }
  });
});
