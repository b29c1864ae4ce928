/** A short night, played for real: embedded server, two processes, one of them killed. What the check checks is account.test.ts's. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runDemo } from "../../src/demo/demo.ts";
import type { Output } from "../../src/demo/screen.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-demo-"));
const site = join(folder, "config", "demo.yaml");
mkdirSync(join(folder, "config"));
copyFileSync(new URL("../../config/demo.yaml", import.meta.url), site);
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

interface Ear extends Output {
  readonly text: () => string;
}

/** @param heard called with everything that was written so far */
function ear(heard: (all: string) => void = () => undefined): Ear {
  let all = "";
  return {
    write: (text) => {
      all += text;
      heard(all);
    },
    size: () => null,
    color: false,
    unicode: true,
    text: () => all,
  };
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // No such process.
    return false;
  }
};

const serverPid = (): number => Number(readFileSync(join(folder, ".orrery/nats/nats-server.pid"), "utf8"));
const short = { site, once: true, plain: true, exposures: 8, everyMs: 100 } as const;
const dayOf = (text: string): string => /the night of (\d{8}) begins/.exec(text)?.[1] ?? "";

describe("the demonstration", () => {
  it("accounts for every item of a night in which a node is killed, and plays another on the same data", async () => {
    const first = ear();
    expect([await runDemo({ ...short, output: first }), first.text()]).toEqual([0, expect.anything()]);
    const lines = first.text().trimEnd().split("\n");
    expect(lines.at(-1)).toMatch(/every item is accounted for: \d+ objects, each in exactly one state$/);
    expect(first.text()).toMatch(/demo-2 killed -9 with \d+ files in hand/);
    expect(first.text()).toMatch(/demo-1 took demo-2's \d+ files back/);
    expect(first.text()).toMatch(/demo-2 runs again/);
    expect(existsSync(join(folder, ".orrery/log/demo-2.log"))).toBe(true);

    // Somebody else has its port by now.
    const squatter = createServer();
    await new Promise<void>((resolve) =>
      squatter.listen(8_686, "127.0.0.1", resolve).once("error", () => resolve()),
    );
    const port = (squatter.address() as AddressInfo | null)?.port ?? 8_686;
    const second = ear();
    const code = await runDemo({ ...short, output: second });
    squatter.close();
    expect([code, second.text()]).toEqual([0, expect.anything()]);
    expect(Number(/up at http:\/\/127\.0\.0\.1:(\d+)/.exec(second.text())?.[1])).toBeGreaterThan(port);
    expect(Number(dayOf(second.text()))).toBeGreaterThan(Number(dayOf(first.text())));
    expect(isAlive(serverPid())).toBe(false);
  });

  it("stops cleanly in the middle of the night", async () => {
    const stop = new AbortController();
    const pids: Array<number> = [];
    const heard = ear((all) => {
      if (!all.includes("is complete") || stop.signal.aborted) return;
      pids.push(serverPid());
      stop.abort();
    });
    expect(await runDemo({ ...short, output: heard, signal: stop.signal })).toBe(130);
    expect(pids).toHaveLength(1);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(heard.text()).not.toContain("accounted for");
  });

  it("stays up after the night until it is stopped, and says what to try", async () => {
    const stop = new AbortController();
    const heard = ear((all) => {
      if (all.includes("It stays up") && all.includes("demo-2.log")) stop.abort();
    });
    expect(await runDemo({ ...short, once: false, output: heard, signal: stop.signal })).toBe(0);
    expect(heard.text()).toContain(`export ORRERY_SITE=${site}`);
    expect(heard.text()).toContain("orrery status");
    expect(heard.text()).toMatch(/nats -s nats:\/\/127\.0\.0\.1:\d+ service list/);
  });

  it("says what a site lacks that has no such night", async () => {
    const heard = ear();
    const other = join(folder, "config", "other.yaml");
    writeFileSync(other, readFileSync(site, "utf8").replace("  quicklook:\n", "  look:\n"));
    expect(await runDemo({ ...short, site: other, output: heard })).toBe(1);
    expect(heard.text()).toContain("the demonstration needs a site with lanes demo");
  });
});
