import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NATS_SERVER_PINNED, NatsServerNotFound } from "../../../scripts/nats-server/find.mjs";
import { fakeServer, Machine } from "./machine.ts";

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.remove());

const notFound = async (attempt: Promise<unknown>): Promise<NatsServerNotFound> => {
  const error: unknown = await attempt.then(
    () => new Error("a server was found"),
    (reason: unknown) => reason,
  );
  if (error instanceof NatsServerNotFound) return error;
  throw error;
};

const reasonAt = (error: NatsServerNotFound, place: string): string =>
  error.tried
    .filter((tried) => tried.place === place)
    .map((tried) => tried.reason)
    .join("; ");

describe("looking", () => {
  it("takes ORRERY_NATS_SERVER before the PATH and the cache", async () => {
    const named = machine.program("../elsewhere/my-nats", fakeServer("2.16.0"));
    machine.program("nats-server", fakeServer("2.15.2"));
    machine.env["ORRERY_NATS_SERVER"] = named;
    expect(await machine.find()).toEqual({ path: named, version: "2.16.0", source: "ORRERY_NATS_SERVER" });
  });

  it("takes the PATH before the cache", async () => {
    const onPath = machine.program("nats-server", fakeServer("2.15.2"));
    machine.program(machine.cached, fakeServer("2.15.2"));
    expect(await machine.find()).toMatchObject({ path: onPath, source: "PATH" });
  });

  it("goes on along the PATH past a server that is too old, and names it", async () => {
    const old = machine.program("nats-server", fakeServer("2.10.7"));
    const recent = machine.program("../more/nats-server", fakeServer("2.15.1"));
    machine.env["PATH"] = `${machine.bin}:${path.dirname(recent)}`;
    expect(await machine.find()).toMatchObject({ path: recent, version: "2.15.1" });
    expect(machine.said).toBe(`PATH: ${old} passed over: version 2.10.7 is older than 2.15.1\n`);
  });

  it.each([
    ["2.15.1", true],
    ["2.15.0", false],
    ["2.15.1-RC.3", false],
    ["2.15.2-beta.1", true],
    ["2.9.99", false],
    ["2.100.0", true],
    ["3.0.0", true],
    ["1.99.99", false],
  ])("version %s is new enough: %s", async (version, accepted) => {
    machine.program("nats-server", fakeServer(version));
    const found = machine.find({ install: false });
    if (accepted) expect(await found).toMatchObject({ version });
    else expect(reasonAt(await notFound(found), "PATH")).toContain(`${version} is older than 2.15.1`);
  });

  it("passes over what is no nats-server, does not run, or does not answer", async () => {
    const other = machine.program("nats-server", "#!/bin/sh\necho 'nats-streaming-server version 0.25.6'\n");
    const broken = machine.program("../b/nats-server", "#!/bin/sh\necho 'cannot open libc' >&2\nexit 127\n");
    const silent = machine.program("../c/nats-server", "#!/bin/sh\nexec /bin/sleep 600\n");
    machine.env["PATH"] = [other, broken, silent].map((file) => path.dirname(file)).join(":");
    machine.env["ORRERY_NATS_SERVER"] = path.join(machine.root, "nowhere");
    const error = await notFound(machine.find({ install: false, limits: { versionMs: 1000 } }));
    expect(reasonAt(error, "ORRERY_NATS_SERVER")).toContain("ENOENT");
    const reasons = reasonAt(error, "PATH");
    expect(reasons).toContain("does not answer --version as nats-server does");
    expect(reasons).toContain("cannot open libc");
    expect(reasons).toContain("not done within 1 s");
  });

  it("does not wait for a grandchild that holds the output open", async () => {
    machine.program(
      "nats-server",
      `#!/bin/sh\n/bin/sleep 600 &\necho $! > ${machine.root}/pid\necho "nats-server: v2.15.2"\n`,
    );
    try {
      expect(await machine.find()).toMatchObject({ source: "PATH" });
    } finally {
      process.kill(Number(readFileSync(`${machine.root}/pid`, "utf8")));
    }
  });

  it("finds the cache under ORRERY_CACHE, XDG_CACHE_HOME, ~/.cache, in that order", async () => {
    const below = (folder: string) => path.join(folder, "nats-server-v2.15.2", "nats-server");
    const home = machine.program(below(`${machine.root}/home/.cache/orrery`), fakeServer("2.15.2"));
    const xdg = machine.program(below(`${machine.root}/xdg/orrery`), fakeServer("2.15.2"));
    const own = machine.program(machine.cached, fakeServer("2.15.2"));
    machine.env["XDG_CACHE_HOME"] = `${machine.root}/xdg`;
    expect((await machine.find()).path).toBe(own);
    delete machine.env["ORRERY_CACHE"];
    expect((await machine.find()).path).toBe(xdg);
    machine.env["XDG_CACHE_HOME"] = "relative";
    expect((await machine.find()).path).toBe(home);
  });

  it("installs nothing when it is told only to look", async () => {
    machine.program("go", "#!/bin/sh\nexit 1\n");
    const error = await notFound(machine.find({ install: false }));
    expect(error.tried.map(({ place }) => place)).toEqual(["ORRERY_NATS_SERVER", "PATH", "cache"]);
    expect(existsSync(machine.cache)).toBe(false);
  });
});

const FAKE_GO = `#!/bin/sh
[ "$*" = "install github.com/nats-io/nats-server/v2@v2.15.2" ] || { echo "wrong: $*" >&2; exit 2; }
[ "$GOWORK" = off ] && [ "$GOFLAGS" = "-mod=mod -trimpath" ] && [ "$CGO_ENABLED" = 0 ] || { echo "wrong: env" >&2; exit 2; }
echo "go: downloading things" >&2
printf '#!/bin/sh\\necho "nats-server: v%s"\\n' "\${FAKE_VERSION:-2.15.2}" > "$GOBIN/nats-server"
`;

describe("go install", () => {
  it("builds into the cache, where the next search finds it without Go", async () => {
    const go = machine.program("go", FAKE_GO);
    expect(await machine.find()).toEqual({ path: machine.cached, version: "2.15.2", source: "go install" });
    expect(machine.said).toMatch(
      /^nats-server 2\.15\.2 by go install \(about a minute\) \.\.\. \d+\.\d s\n$/,
    );
    machine.program(go, "#!/bin/sh\nexit 9\n");
    expect(await machine.find()).toEqual({ path: machine.cached, version: "2.15.2", source: "cache" });
    expect(readdirSync(path.dirname(machine.cached))).toEqual(["nats-server"]);
  });

  it("replaces a cached program that no longer runs, and says so", async () => {
    machine.program(machine.cached, "\u0000\u0001 half a program");
    const before = statSync(machine.cached).ino;
    machine.program("go", FAKE_GO);
    expect(await machine.find()).toMatchObject({ path: machine.cached, source: "go install" });
    expect(machine.said).toContain(`cache: ${machine.cached} passed over: it does not`);
    // A new file, moved to its place: nobody ever sees one that is half written.
    expect(statSync(machine.cached).ino).not.toBe(before);
    expect(await machine.find()).toMatchObject({ source: "cache" });
  });

  it("leaves nothing in the cache when what was built is not what was asked for", async () => {
    machine.program("go", FAKE_GO);
    machine.env["FAKE_VERSION"] = "2.14.0";
    const error = await notFound(machine.find());
    expect(reasonAt(error, "go install")).toBe("version 2.14.0 is older than 2.15.1");
    expect(readdirSync(path.dirname(machine.cached))).toEqual([]);
  });

  it("gives up at the time limit", async () => {
    machine.program("go", "#!/bin/sh\nexec /bin/sleep 600\n");
    const error = await notFound(machine.find({ limits: { goMs: 200 } }));
    expect(reasonAt(error, "go install")).toBe("not done within 0.2 s");
    expect(machine.said).toMatch(/go install .* \.\.\. failed after \d+\.\d s: not done within 0\.2 s\n/);
  });

  it("removes what an interrupted installation left, but not what may be another one at work", async () => {
    const folder = path.dirname(machine.cached);
    for (const name of [".new-1-old", ".new-2-recent"])
      mkdirSync(path.join(folder, name), { recursive: true });
    const yesterday = new Date(Date.now() - 86_400_000);
    utimesSync(path.join(folder, ".new-1-old"), yesterday, yesterday);
    machine.program("go", FAKE_GO);
    await machine.find();
    expect(readdirSync(folder).toSorted()).toEqual([".new-2-recent", "nats-server"]);
  });
});

const FAKE_DOCKER = `#!/bin/sh
echo "$*" >> "$LOG"
case "$1" in
  version) echo 29.0.0 ;;
  create) [ "$2" = nats:2.15.2 ] && echo "Unable to find image locally" >&2 && echo c0ffee ;;
  cp) [ "$2" = c0ffee:/nats-server ] && printf '#!/bin/sh\\necho "nats-server: v2.15.2"\\n' > "$3" ;;
  rm) ;;
esac
`;

describe("Docker", () => {
  beforeEach(() => {
    machine.env["LOG"] = path.join(machine.root, "docker.log");
  });

  it("takes the program out of the image and removes the container", async () => {
    machine.program("docker", FAKE_DOCKER);
    expect(await machine.find()).toEqual({ path: machine.cached, version: "2.15.2", source: "Docker" });
    const calls = readFileSync(`${machine.root}/docker.log`, "utf8").trim().split("\n");
    expect(calls.map((line) => line.split(" ")[0])).toEqual(["version", "create", "cp", "rm"]);
    expect(calls.at(-1)).toBe("rm --force c0ffee");
  });

  it("removes the container when the copy fails, too", async () => {
    machine.program("docker", FAKE_DOCKER.replace("cp)", "cp) echo 'no such file' >&2; exit 1 ;; other)"));
    expect(reasonAt(await notFound(machine.find()), "Docker")).toBe("no such file");
    expect(readFileSync(`${machine.root}/docker.log`, "utf8")).toContain("rm --force c0ffee");
  });

  it("says when no engine answers", async () => {
    machine.program("docker", "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n");
    const error = await notFound(machine.find());
    expect(reasonAt(error, "Docker")).toBe("no engine answers: Cannot connect to the Docker daemon");
  });

  it("is not asked for a Linux program on another system", async () => {
    machine.program("docker", FAKE_DOCKER);
    const error = await notFound(machine.find({ platform: "darwin" }));
    expect(reasonAt(error, "Docker")).toBe("its image holds a Linux program only");
    expect(existsSync(`${machine.root}/docker.log`)).toBe(false);
  });
});

describe("failure", () => {
  it("lists every place with its reason, and ends with one line to mend it", async () => {
    machine.program("nats-server", fakeServer("2.10.7"));
    machine.program("go", "#!/bin/sh\necho 'go: requires go >= 1.25.0 (running go 1.24.4)' >&2\nexit 1\n");
    const error = await notFound(machine.find());
    const lines = error.message.split("\n");
    expect(lines.slice(1, -1).map((line) => line.trim().split(/\s{2,}/))).toEqual([
      ["ORRERY_NATS_SERVER", "not set"],
      ["PATH", `${machine.bin}/nats-server passed over: version 2.10.7 is older than 2.15.1`],
      ["cache", `${machine.cached}: not there yet`],
      ["go install", "go: requires go >= 1.25.0 (running go 1.24.4)"],
      ["release archive", "http://127.0.0.1:9/v2.15.2/SHA256SUMS: bad port"],
      ["Docker", "no docker on the PATH"],
    ]);
    expect(lines.at(-1)).toMatch(/^Fix: install nats-server 2\.15\.2 .* set ORRERY_NATS_SERVER to its path$/);
    expect(NATS_SERVER_PINNED).toBe("2.15.2");
  });

  it("says that the cache cannot be written, where that is the reason", async () => {
    writeFileSync(machine.cache, "a file where the folder should be");
    machine.program("go", FAKE_GO);
    expect(reasonAt(await notFound(machine.find()), "go install")).toContain("ENOTDIR");
  });
});
