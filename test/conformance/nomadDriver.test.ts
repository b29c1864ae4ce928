/** The nomad driver against a fake of Nomad's HTTP API, and against a real agent where there is one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { makeNomadDriver } from "../../src/drivers/nomad.ts";
import { FakeNomad } from "../support/fakeNomad.ts";
import { runDriverConformance } from "./runDriver.ts";

const folder = mkdtempSync(join(tmpdir(), "orrery-tickets-"));
const nomad = new FakeNomad({ room: 4, gcAfterMs: 300 });
nomad.register("orrery-run", {
  command: process.execPath,
  args: [join(import.meta.dirname, "../support/keeperMain.ts"), folder, "${NOMAD_TASK_DIR}/try"],
  metaRequired: ["owner"],
  payloadFile: "try",
});
beforeAll(() => nomad.start());
afterAll(async () => {
  await nomad.end();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

runDriverConformance("nomad, a server that behaves like it", () => {
  const options = {
    address: nomad.address,
    job: "orrery-run",
    folder,
    termMs: 2_000,
    interruptMs: 500,
    lostMs: 6_000,
  };
  return {
    make: () => makeNomadDriver(options),
    code: { module: "src/drivers/nomad.ts", expression: `makeNomadDriver(${JSON.stringify(options)})` },
    image: "none",
    measures: true,
  };
});
