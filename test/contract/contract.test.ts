/**
 * The contract with today's callers, as scripts that anybody can run: real curl (or the little one beside it) against a site made of
 * `config/rubin.yaml` itself. A deployment of the service in use today gives the same answers, by the meaning of their JSON.
 */
import { execFile, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MiniStore } from "../support/miniStore.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import { canary } from "../support/canaries.ts";
import { haveRubinData, rubinFiles } from "../support/rubinData.ts";
import type { TestSite } from "../support/testSite.ts";
import { startSite, until } from "../support/testSite.ts";

const secret = canary("contract-notification");
const haveCurl = spawnSync("curl", ["--version"]).status === 0;
const littleCurl = `curl() { "${process.execPath}" "${join(import.meta.dirname, "curl.mjs")}" "$@"; };`;

interface Block {
  readonly title: string;
  readonly command: string;
  readonly status: number;
  /** Undefined: nothing is said of the body. */
  readonly body: unknown;
  readonly again: boolean;
}

/** Blocks are divided by empty lines; the first, of comments alone, is the script's own. */
function blocksOf(script: string): ReadonlyArray<Block> {
  const text = readFileSync(join(import.meta.dirname, script), "utf8");
  return text.split("\n\n").flatMap((block): ReadonlyArray<Block> => {
    const lines = block.trimEnd().split("\n");
    const said = lines.filter((line) => /^#[>~]/.test(line));
    const status = /^#([>~]) (\d+)$/.exec(said[0] ?? "");
    if (status === null) return [];
    const json = said
      .slice(1)
      .map((line) => line.slice(2))
      .join("\n");
    return [
      {
        title: lines[0]?.slice(2) ?? "",
        command: lines.filter((line) => !line.startsWith("#")).join("\n"),
        status: Number(status[2]),
        body: json === "" ? undefined : (JSON.parse(json) as unknown),
        again: status[1] === "~",
      },
    ];
  });
}

function run(site: TestSite, block: Block, curl: string): Promise<string> {
  // The status comes behind the body, on a line of its own.
  const command = block.command.replace(/^curl /m, String.raw`curl -w '\n%{http_code} %{content_type}' `);
  return new Promise((resolve, reject) => {
    execFile(
      "bash",
      ["-euc", `${curl}\n${command}`],
      { env: { PATH: process.env["PATH"] ?? "", ORRERY: site.url, SECRET: secret } },
      (cause, stdout, stderr) => (cause === null ? resolve(stdout) : reject(new Error(stderr, { cause }))),
    );
  });
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function answerOf(site: TestSite, block: Block, curl: string): Promise<Answer> {
  const out = await run(site, block, curl);
  const at = out.lastIndexOf("\n");
  const [status = "", type = ""] = out.slice(at + 1).split(" ");
  return { status: Number(status), type, text: out.slice(0, at) };
}

const same = (answer: Answer, block: Block): boolean =>
  answer.status === block.status && JSON.stringify(JSON.parse(answer.text)) === JSON.stringify(block.body);

async function check(site: TestSite, block: Block, curl: string): Promise<void> {
  const answer = block.again
    ? await until(
        () => answerOf(site, block, curl),
        (found) => same(found, block),
      )
    : await answerOf(site, block, curl);
  expect([answer.status, answer.text], block.title).toEqual([block.status, expect.any(String)]);
  if (block.body === undefined) return;
  expect(JSON.parse(answer.text), block.title).toEqual(block.body);
  expect(answer.type).toBe("application/json");
}

/** The site file for the observatory, on this machine: its lanes, its webhook and its presence are what they are. */
function siteText(
  server: string,
  store: string,
  more: ReadonlyArray<readonly [string | RegExp, string]>,
): string {
  const changes: ReadonlyArray<readonly [string | RegExp, string]> = [
    [/servers:\n(?: +- tls:.*\n)+/, `servers: ["${server}"]\n`],
    [/^ {2}user: orrery\n {2}password: .*\n/m, ""],
    [/^ {2}domain: .*\n/m, ""],
    ["replicas: 3", "replicas: 1"],
    ["host: 0.0.0.0", "host: 127.0.0.1"],
    ["port: 8080", "port: 0"],
    ["endpoint: https://s3.example.org", `endpoint: ${store}`],
    ["buckets: [rubinobs-raw-lsstcomcam]", "buckets: [rubinobs-raw-lsstcomcam], profile: embargo"],
    ...more,
  ];
  let text = readFileSync(join(import.meta.dirname, "../../config/rubin.yaml"), "utf8");
  for (const [from, to] of changes) {
    const changed = text.replace(from, to);
    if (changed === text) throw new Error(`config/rubin.yaml has no ${String(from)}`);
    text = changed;
  }
  return text;
}

describe.skipIf(!haveRubinData)("today's callers", () => {
  let nats: TestNats;
  let store: MiniStore;
  const sites: Array<TestSite> = [];

  const start = async (more: ReadonlyArray<readonly [string | RegExp, string]> = []): Promise<TestSite> => {
    const site = await startSite(siteText(nats.server.url, store.url, more), {
      env: {
        NOTIFICATION_SECRET: secret,
        S3_ACCESS_KEY_ID: "key",
        S3_SECRET_ACCESS_KEY: canary("contract-store"),
      },
    });
    sites.push(site);
    return site;
  };

  beforeAll(async () => {
    nats = await startNats({ topology: null });
    store = await MiniStore.start();
    const put = (name: string, to: string): void => {
      const sidecar = rubinFiles("sidecars").find(([file]) => file === name)?.[1];
      if (sidecar === undefined) throw new Error(`there is no ${name}`);
      store.objects.set(`${to}.json`, sidecar);
      store.objects.set(`${to}.fits`, Buffer.alloc(2_880, " "));
    };
    put(
      "lsstCam-MC_O_20250415_000228_R10_S20.json",
      "rubinobs-raw-lsstcam/LSSTCam/20250415/MC_O_20250415_000228/MC_O_20250415_000228_R10_S20",
    );
    put(
      "comCamSim-CC_S_20240321_000093_R22_S22.json",
      "rubinobs-raw-lsstcomcam/LSSTComCamSim/20240321/CC_S_20240321_000093/CC_S_20240321_000093_R22_S22",
    );
  });
  afterAll(async () => {
    for (const site of sites) await site.stop();
    await store.stop();
    await nats.stop();
  });

  describe.each([["curl", haveCurl ? "" : null] as const, ["the little one", littleCurl] as const])(
    "by %s",
    (_name, curl) => {
      describe.skipIf(curl === null).each(["notify.sh", "presence.sh"])("%s", (script) => {
        let site: TestSite;
        beforeAll(async () => {
          site = sites[0] ?? (await start());
        });
        const blocks = blocksOf(script);
        it("is read", () => expect(blocks.length).toBeGreaterThan(10));
        it.each(blocks.map((block) => [block.title, block] as const))("%s", (_title, block) =>
          check(site, block, curl ?? ""),
        );
      });
    },
  );

  it("seen.sh", async () => {
    await sites.pop()?.stop();
    const site = await start([["deleteWhenSeen: false", "deleteWhenSeen: true"]]);
    const blocks = blocksOf("seen.sh");
    expect(blocks).toHaveLength(3);
    // The file is known since the other scripts, and its group present: announced again it is a duplicate, and no new group.
    for (const block of blocks) await check(site, block, haveCurl ? "" : littleCurl);
  });
});
