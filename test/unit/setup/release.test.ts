import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import path from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FindNatsServerOptions } from "../../../scripts/nats-server/find.mjs";
import { NatsServerNotFound } from "../../../scripts/nats-server/find.mjs";
import { assetName } from "../../../scripts/nats-server/release.mjs";
import { fakeServer, Machine } from "./machine.ts";

const PROGRAM = Buffer.from(fakeServer("2.15.2"));

const tarEntry = (name: string, content: Buffer, type = "0"): Buffer => {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(content.length.toString(8).padStart(11, "0"), 124);
  header.write(type, 156);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
};

const tarGz = (...entries: ReadonlyArray<Buffer>): Buffer =>
  gzipSync(Buffer.concat([...entries, Buffer.alloc(1024)]));

/** One file, as an archiver that writes to a stream packs it: sizes only after the data and in the directory. */
const zip = (name: string, content: Buffer, method: number): Buffer => {
  const data = method === 8 ? deflateRawSync(content) : content;
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(name.length, 26);
  const directory = Buffer.alloc(46);
  directory.writeUInt32LE(0x02014b50, 0);
  directory.writeUInt16LE(method, 10);
  directory.writeUInt32LE(data.length, 20);
  directory.writeUInt32LE(content.length, 24);
  directory.writeUInt16LE(name.length, 28);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(local.length + name.length + data.length, 16);
  return Buffer.concat([local, Buffer.from(name), data, directory, Buffer.from(name), end]);
};

const TAR = tarGz(
  tarEntry("nats-server-v2.15.2-linux-amd64/README.md", Buffer.from("# nats-server")),
  tarEntry("nats-server-v2.15.2-linux-amd64/nats-server", Buffer.alloc(0), "5"),
  tarEntry("nats-server-v2.15.2-linux-amd64/nats-server", PROGRAM),
);
const TAR_NAME = "nats-server-v2.15.2-linux-amd64.tar.gz";

const sumLine = (name: string, content: Buffer): string =>
  `${createHash("sha256").update(content).digest("hex")}  ${name}\n`;

type Answer = Buffer | string | ((request: IncomingMessage, response: ServerResponse) => void);

let machine: Machine;
let releases: Server;
let answers: Map<string, Answer>;

beforeEach(async () => {
  machine = new Machine();
  answers = new Map();
  releases = createServer((request, response) => {
    const answer = answers.get(request.url ?? "");
    if (answer === undefined) response.writeHead(404).end();
    else if (typeof answer === "function") answer(request, response);
    else response.end(answer);
  });
  await new Promise<void>((resolve) => releases.listen(0, "127.0.0.1", resolve));
  const address = releases.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  machine.env["ORRERY_NATS_RELEASES"] = `http://127.0.0.1:${address.port}/download/`;
});

afterEach(async () => {
  releases.closeAllConnections();
  await new Promise((resolve) => releases.close(resolve));
  machine.remove();
});

const publish = (name: string, content: Answer): void => {
  answers.set(`/download/v2.15.2/${name}`, content);
};

/** Why the release gave no server; and checks that nothing of it was kept. */
const refusal = async (options?: FindNatsServerOptions): Promise<string> => {
  const error: unknown = await machine.find(options).then(
    (found) => found,
    (reason: unknown) => reason,
  );
  if (!(error instanceof NatsServerNotFound))
    throw new Error(`expected a refusal, got ${JSON.stringify(error)}`);
  expect(readdirSync(path.dirname(machine.cached))).toEqual([]);
  return error.tried.find(({ place }) => place === "release archive")?.reason ?? "";
};

describe("the release archive", () => {
  it("is downloaded, checked, unpacked into the cache and found there again", async () => {
    publish(
      "SHA256SUMS",
      sumLine("nats-server-v2.15.2-darwin-arm64.tar.gz", PROGRAM) + sumLine(TAR_NAME, TAR),
    );
    publish(TAR_NAME, TAR);
    expect(await machine.find()).toEqual({
      path: machine.cached,
      version: "2.15.2",
      source: "release archive",
    });
    expect(machine.said).toMatch(/^nats-server 2\.15\.2 from http:.* \(about 8 MB\) \.\.\. \d+\.\d s\n$/);
    answers.clear();
    expect(await machine.find()).toMatchObject({ source: "cache" });
  });

  it.each([
    ["stored", 0],
    ["deflated", 8],
  ])("is a zip for Windows (%s)", async (_, method) => {
    const name = "nats-server-v2.15.2-windows-amd64";
    const archive = zip(`${name}/nats-server.exe`, PROGRAM, method);
    publish("SHA256SUMS", sumLine(`${name}.zip`, archive));
    publish(`${name}.zip`, archive);
    const found = await machine.find({ platform: "win32" });
    expect(found).toMatchObject({ path: `${machine.cached}.exe`, source: "release archive" });
  });

  it("follows a redirect, as GitHub answers with one", async () => {
    publish("SHA256SUMS", sumLine(TAR_NAME, TAR));
    publish(TAR_NAME, (_, response) => response.writeHead(302, { location: "/objects/1" }).end());
    answers.set("/objects/1", TAR);
    expect(await machine.find()).toMatchObject({ source: "release archive" });
  });

  it("is not used when its checksum is another", async () => {
    publish("SHA256SUMS", sumLine(TAR_NAME, TAR));
    publish(TAR_NAME, tarGz(tarEntry("x/nats-server", Buffer.from(fakeServer("2.15.3")))));
    expect(await refusal()).toMatch(/has SHA-256 [0-9a-f]{64}, but SHA256SUMS says [0-9a-f]{64}: not used$/);
  });

  it("is not used when the checksums do not name it", async () => {
    publish("SHA256SUMS", sumLine("nats-server-v2.15.2-linux-arm64.tar.gz", TAR));
    publish(TAR_NAME, TAR);
    expect(await refusal()).toContain(`does not name ${TAR_NAME}`);
  });

  it("is not there", async () => {
    publish("SHA256SUMS", sumLine(TAR_NAME, TAR));
    expect(await refusal()).toMatch(/linux-amd64\.tar\.gz: 404 Not Found$/);
    answers.clear();
    expect(await refusal()).toMatch(/SHA256SUMS: 404 Not Found$/);
  });

  it("breaks off before its end", async () => {
    publish("SHA256SUMS", sumLine(TAR_NAME, TAR));
    publish(TAR_NAME, (_, response) => {
      response.writeHead(200, { "content-length": TAR.length });
      response.write(TAR.subarray(0, 100), () => response.destroy());
    });
    expect(await refusal()).toContain(`${TAR_NAME}: `);
  });

  it("never answers", async () => {
    publish("SHA256SUMS", () => {});
    expect(await refusal({ limits: { idleMs: 500 } })).toMatch(/SHA256SUMS: no answer within 0\.5 s$/);
  });

  it("stops in the middle", async () => {
    publish("SHA256SUMS", sumLine(TAR_NAME, TAR));
    publish(TAR_NAME, (_, response) => response.write(TAR.subarray(0, 100)));
    expect(await refusal({ limits: { idleMs: 2_000 } })).toMatch(/the download stood still for 2 s$/);
  });

  it("comes so slowly that the whole time runs out", async () => {
    let drip: NodeJS.Timeout | undefined;
    publish("SHA256SUMS", (_, response) => {
      drip = setInterval(() => response.write("\n"), 10);
    });
    try {
      expect(await refusal({ limits: { downloadMs: 300 } })).toMatch(/not downloaded within 0\.3 s$/);
    } finally {
      clearInterval(drip);
    }
  });

  it("does not end", async () => {
    const block = Buffer.alloc(64 * 1024, "\n");
    publish("SHA256SUMS", (_, response) => {
      const more = (): void => {
        while (response.write(block));
      };
      response.on("drain", more);
      more();
    });
    expect(await refusal()).toContain("larger than 1048576 bytes");
  });

  it.each([
    [
      "holds no server",
      tarGz(tarEntry("x/README.md", PROGRAM)),
      "the archive holds no file named nats-server",
    ],
    ["is damaged", Buffer.from("not gzip"), "incorrect header check"],
    [
      "ends inside the file",
      gzipSync(tarEntry("x/nats-server", Buffer.alloc(4096)).subarray(0, 1024)),
      "ends inside",
    ],
    [
      "holds another program",
      tarGz(tarEntry("x/nats-server", Buffer.from("#!/bin/sh\n"))),
      "does not answer --version",
    ],
  ])("%s", async (_, archive, reason) => {
    publish("SHA256SUMS", sumLine(TAR_NAME, archive));
    publish(TAR_NAME, archive);
    expect(await refusal()).toContain(reason);
  });

  it("does not exist for this machine", async () => {
    expect(await refusal({ platform: "sunos" })).toBe("nats-server is not released for sunos on x64");
  });

  it("has no address that can be used", async () => {
    machine.env["ORRERY_NATS_RELEASES"] = "mirror";
    expect(await refusal()).toContain("mirror/v2.15.2/SHA256SUMS: ");
  });
});

it.each([
  ["linux", "x64", "linux-amd64"],
  ["darwin", "arm64", "darwin-arm64"],
  ["win32", "x64", "windows-amd64"],
  ["freebsd", "x64", "freebsd-amd64"],
  ["linux", "arm", "linux-arm6"],
  ["linux", "ppc64", "linux-ppc64le"],
])("the archive for %s on %s is called %s", (platform, arch, ending) => {
  expect(assetName("2.15.2", platform, arch)).toBe(`nats-server-v2.15.2-${ending}`);
});
