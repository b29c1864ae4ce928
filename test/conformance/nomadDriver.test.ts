/** The nomad driver against a fake of Nomad's HTTP API, and against a real agent where there is one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { makeNomadDriver } from "../../src/drivers/nomad.ts";
import { FakeNomad } from "../support/fakeNomad.ts";
import { isOnPath } from "../support/onPath.ts";
import { RealNomad } from "../support/realNomad.ts";
import type { RunDriverUnderTest } from "./runDriver.ts";
import { runDriverConformance } from "./runDriver.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-tickets-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
const args = [join(import.meta.dirname, "../support/keeperMain.ts"), folder, "${NOMAD_TASK_DIR}/try"];

function at(address: string): RunDriverUnderTest {
  const grace = { termMs: 2_000, interruptMs: 500, lostMs: 6_000 };
  const options = { address, job: "orrery-run", folder, ...grace };
  return {
    make: () => makeNomadDriver(options),
    code: { module: "src/drivers/nomad.ts", expression: `makeNomadDriver(${JSON.stringify(options)})` },
    image: "none",
    measures: true,
  };
}

describe("a server that behaves like it", () => {
  const nomad = new FakeNomad({ room: 4, gcAfterMs: 300 });
  nomad.register("orrery-run", {
    command: process.execPath,
    args,
    metaRequired: ["owner"],
    payloadFile: "try",
  });
  beforeAll(() => nomad.start());
  afterAll(() => nomad.end());
  runDriverConformance("nomad", () => at(nomad.address));
});

describe.skipIf(!isOnPath("nomad"))("a real agent, where there is one", () => {
  let nomad: RealNomad | undefined;
  beforeAll(async () => {
    nomad = await RealNomad.start();
    await nomad.register("orrery-run", process.execPath, args);
  });
  afterAll(() => nomad?.end());
  runDriverConformance("nomad", () => at(nomad?.address ?? ""));
});
