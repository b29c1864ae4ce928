/** The stand-in processor, run as a run's command is. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "orrery-processor-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = new URL("../../../src/demo/processor.ts", import.meta.url).pathname;
const at = (name: string): string => join(folder, name);
const names = [
  "imap_mag_l1a_norm-mago_20260310_v001.0001.cdf",
  "imap_mag_l1a_burst-mago_20260310_v001.0001.cdf",
];
const told = {
  ORRERY_INPUTS: at("inputs.json"),
  ORRERY_EXPECTED: at("outputs.json"),
  ORRERY_JOB: "mag/l1a/all",
  ORRERY_JOB_VERSION: "3",
  ORRERY_PARTITION: "20260310",
  ORRERY_START: "2026-03-10T00:00:00",
  ORRERY_END: "2026-03-11T00:00:00",
  ORRERY_INCOMPLETE: "0",
};

const processor = (env: Readonly<Record<string, string>>) =>
  spawnSync(process.execPath, [program], { env: { PATH: process.env["PATH"], ...env }, encoding: "utf8" });
const product = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(at(name), "utf8")) as Record<string, unknown>;

beforeEach(() => {
  for (const name of names) rmSync(at(name), { force: true });
  writeFileSync(at("raw.pkts"), "packets of a day");
  writeFileSync(at("naif0012.tls"), "leap seconds");
  const inputs = [
    { name: "raw.pkts", key: "some/where/raw.pkts", dataset: "mag/l0/raw", path: at("raw.pkts") },
    { key: "lsk/naif0012.tls", uri: pathToFileURL(at("naif0012.tls")).href },
  ];
  writeFileSync(told.ORRERY_INPUTS, JSON.stringify(inputs));
  const outputs = names.map((name) => ({ name, dataset: "mag/l1a/norm-mago", path: at(name) }));
  writeFileSync(told.ORRERY_EXPECTED, JSON.stringify(outputs));
});

describe("the stand-in processor", () => {
  it("writes what is expected, each with the run it is of and the digests of what it was made of", () => {
    const { status, stdout } = processor(told);
    expect([status, stdout]).toEqual([0, "2 inputs, 2 outputs\n"]);
    const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
    expect(product(names[0] ?? "")).toMatchObject({
      name: names[0],
      job: "mag/l1a/all",
      jobVersion: "3",
      partition: "20260310",
      start: "2026-03-10T00:00:00",
      end: "2026-03-11T00:00:00",
      incomplete: false,
      inputs: [
        { name: "naif0012.tls", dataset: null, sha256: digest("leap seconds"), bytes: 12 },
        { name: "raw.pkts", dataset: "mag/l0/raw", sha256: digest("packets of a day"), bytes: 16 },
      ],
    });
  });

  it("makes the same bytes of the same inputs, whatever run and order they come in, and others of others", () => {
    const made = (env: Readonly<Record<string, string>> = {}): string => {
      expect(processor({ ...told, ...env }).status).toBe(0);
      return readFileSync(at(names[1] ?? ""), "utf8");
    };
    const first = made({ ORRERY_RUN: "a", ORRERY_ATTEMPT: "1" });
    const inputs = JSON.parse(readFileSync(told.ORRERY_INPUTS, "utf8")) as ReadonlyArray<unknown>;
    writeFileSync(told.ORRERY_INPUTS, JSON.stringify(inputs.toReversed()));
    expect(made({ ORRERY_RUN: "b", ORRERY_ATTEMPT: "2" })).toBe(first);
    writeFileSync(at("raw.pkts"), "packets of the day");
    expect(made()).not.toBe(first);
  });

  it.each([66, 69, 75, 1])("ends with %d where its driver says so, and has written nothing", (exit) => {
    const { status, stdout } = processor({ ...told, STAND_IN_EXIT: String(exit) });
    expect([status, stdout]).toEqual([exit, `told to end with ${exit}\n`]);
    expect(names.some((name) => existsSync(at(name)))).toBe(false);
  });

  it("leaves a file out where its driver says so, and ends as if it were there", () => {
    expect(processor({ ...told, STAND_IN_OMIT: "burst" }).status).toBe(0);
    expect(names.map((name) => existsSync(at(name)))).toEqual([true, false]);
  });

  it("waits first where its driver says so", () => {
    const began = performance.now();
    expect(processor({ ...told, STAND_IN_SLEEP_MS: "400" }).status).toBe(0);
    expect(performance.now() - began).toBeGreaterThan(400);
  });

  it("says which input is not here, and that it was started without its variables", () => {
    writeFileSync(told.ORRERY_INPUTS, JSON.stringify([{ key: "imap/a.cdf", uri: "s3://imap/a.cdf" }]));
    expect(processor(told)).toMatchObject({
      status: 65,
      stderr: "processor: a.cdf has neither a path nor a file: uri\n",
    });
    expect(processor({})).toMatchObject({ status: 2 });
  });
});
