import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { loadCatalogue } from "../../../src/config/catalogue.ts";

const shipped = resolve(import.meta.dirname, "../../../config/imap");
const day = 86_400_000;
let folder: string | null = null;

afterEach(() => {
  if (folder !== null) rmSync(folder, { recursive: true, force: true });
  folder = null;
});

function load(ages: string): ReturnType<typeof loadCatalogue> {
  folder = mkdtempSync(join(tmpdir(), "orrery-ages-"));
  cpSync(shipped, folder, { recursive: true });
  const path = join(folder, "catalogue.yaml");
  const text = readFileSync(path, "utf8").replace(/^ages:\n(?: .*\n)+/m, ages);
  writeFileSync(path, text);
  return loadCatalogue(path, { env: {} });
}

describe("ages of the catalogue", () => {
  it("are 7 days of whatever covers a time, and of nothing else, where nothing is said", () => {
    const ages = load("").catalogue?.ages;
    expect(ages?.get("spin")).toBe(7 * day);
    expect(ages?.get("repoint")).toBe(7 * day);
    expect(ages?.get("attitude_history")).toBe(7 * day);
    expect(
      ["leapseconds", "spacecraft_clock", "science", "ancillary"].map((kind) => ages?.has(kind)),
    ).toEqual([false, false, false, false]);
  });

  it("are what is said, and null is never", () => {
    const ages = load("ages:\n  spacecraft_clock: 30 days\n  spin: 36 h\n  repoint: null\n").catalogue?.ages;
    expect(ages?.get("spacecraft_clock")).toBe(30 * day);
    expect(ages?.get("spin")).toBe(1.5 * day);
    expect(ages?.has("repoint")).toBe(false);
    expect(
      loadCatalogue(join(shipped, "catalogue.yaml"), { env: {} }).catalogue?.ages.get("spacecraft_clock"),
    ).toBe(7 * day);
  });

  it("of a kind that the names file does not have are refused, with their line", () => {
    const { catalogue, faults } = load("ages:\n  spin: 7 days\n  spins: 7 days\n");
    expect(catalogue).toBeNull();
    const [fault] = faults.filter((one) => one.severity === "error");
    const text = readFileSync(join(folder ?? "", "catalogue.yaml"), "utf8").split("\n");
    expect(fault?.message).toContain("spins is no kind of file");
    expect(text[(fault?.at.line ?? 0) - 1]).toContain("spins");
  });
});
