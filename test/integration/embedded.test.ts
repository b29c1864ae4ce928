/** The embedded server where somebody else is given its port in the moment before it takes it. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import { afterAll, expect, it } from "vitest";
import { findNatsServer } from "../../scripts/nats-server/find.mjs";
import { freePorts } from "../../src/demo/ports.ts";
import { startEmbedded } from "../../src/jetstream/embedded.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-embedded-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

/** A nats-server before which, when it is first started, another program listens where that line of its configuration says. */
async function forestalled(name: string, line: RegExp): Promise<string> {
  const squatter = join(folder, `${name}.mjs`);
  writeFileSync(
    squatter,
    `import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
const [, port] = ${String(line)}.exec(readFileSync(process.argv[2], "utf8"));
createServer().listen(Number(port), "127.0.0.1", () => writeFileSync(process.argv[3], port));
setInterval(() => existsSync(process.argv[3]) || process.exit(), 50);
`,
  );
  const binary = join(folder, name);
  const taken = join(folder, `${name}.port`);
  writeFileSync(
    binary,
    `#!/bin/sh
if ! test -e '${taken}'; then
  '${process.execPath}' '${squatter}' "$2" '${taken}' >/dev/null 2>&1 &
  while ! test -s '${taken}'; do sleep 0.05; done
fi
exec '${(await findNatsServer()).path}' "$@"
`,
  );
  chmodSync(binary, 0o755);
  return binary;
}

it.each([
  ["its clients'", "client", /^port: (\d+)/m],
  ["its monitoring's", "monitor", /^http: "127\.0\.0\.1:(\d+)"/m],
])("starts on another port than %s that was chosen, and was taken before it came", async (_, name, line) => {
  const binary = await forestalled(name, line);
  const settings = { dataDir: join(folder, `${name}-data`), syncAlways: false, port: 0, binary };
  await Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* startEmbedded(settings);
        const taken = readFileSync(join(folder, `${name}.port`), "utf8");
        expect([String(server.port), new URL(server.monitor).port]).not.toContain(taken);
      }),
    ),
  );
});

it("says that it ended where the port that it was asked to take is another's", async () => {
  const port = await freePorts(1);
  const binary = await forestalled("asked", /^port: (\d+)/m);
  const settings = { dataDir: join(folder, "asked-data"), syncAlways: false, port, binary };
  const failed = Effect.runPromise(Effect.scoped(startEmbedded(settings)));
  await expect(failed).rejects.toThrow(/ended while starting \(exited with 1\)/);
});
