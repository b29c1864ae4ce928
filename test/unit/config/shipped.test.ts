/** The site files that Orrery ships, and what is written about them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Redacted from "effect/Redacted";
import { describe, expect, it } from "vitest";
import { checkSite, loadSite, parseSite } from "../../../src/config/loadSite.ts";
import { siteJsonSchema } from "../../../src/config/SiteSchema.ts";
import { missionParts } from "../../../src/demo/missionParts.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const file = (path: string): string => join(root, path);
const rubinEnv = {
  NOTIFICATION_SECRET: "secret-1",
  NATS_PASSWORD: "secret-2",
  S3_ACCESS_KEY_ID: "secret-3",
  S3_SECRET_ACCESS_KEY: "secret-4",
};

describe("config/demo.yaml", () => {
  const site = Effect.runSync(loadSite(file("config/demo.yaml"), { env: {} }));

  it("has nothing to warn of", () => {
    expect(Effect.runSync(checkSite(file("config/demo.yaml"), { env: {} })).warnings).toEqual([]);
  });

  it("keeps everything in the folder that version control leaves out", () => {
    expect(site.dataDir).toBe(file(".orrery"));
    expect(site.storage.get("night")).toEqual({ driver: "file", root: file(".orrery/night") });
    expect(site.nats).toMatchObject({ mode: "embedded", syncAlways: true });
  });

  it.each([
    ["LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R22_S11.fits", "R22_S11", false, true],
    ["LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R44_SW0.fits", "R44_SW0", false, false],
    [
      "LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R00_SG0_guider.fits",
      "R00_SG0",
      true,
      false,
    ],
  ])("reads %s", (key, detector, waits, isInput) => {
    const lane = site.lanes.get("demo");
    expect(lane?.accept.test(key)).toBe(true);
    expect(lane?.pattern?.exec(key)?.groups).toEqual({
      instrument: "LSSTCam",
      day: "20251121",
      exposure: "MC_O_20251121_000156",
      detector,
    });
    expect(lane?.needs.some((need) => need.match.test(key))).toBe(waits);
    expect(site.jobs.get("quicklook")?.inputs[0]?.match?.test(key)).toBe(isInput);
  });

  it("the quick-look is Orrery's own program", () => {
    expect(site.jobs.get("quicklook")?.driver.command).toEqual([
      process.execPath,
      file("src/demo/quicklook.ts"),
    ]);
  });
});

describe("config/imap.yaml", () => {
  const site = Effect.runSync(loadSite(file("config/imap.yaml"), { env: {} }));

  it("has nothing to warn of", () => {
    expect(Effect.runSync(checkSite(file("config/imap.yaml"), { env: {} })).warnings).toEqual([]);
  });

  it("keeps everything in the folder that version control leaves out, apart from the demonstration's", () => {
    expect(site.dataDir).toBe(file(".orrery/imap"));
    expect(site.storage.get("files")).toEqual({ driver: "file", root: file(".orrery/imap/files") });
    expect(site.watch.map(({ directory }) => directory)).toEqual([file(".orrery/imap/files/delivered")]);
  });

  it("has what days of a mission are played on, and takes in what its jobs make", () => {
    const parts = missionParts(site);
    expect(parts?.catalogue.jobs.size).toBe(289);
    expect(parts?.lane.buckets).toContain(site.catalogue?.products?.bucket);
    for (const name of ["config/demo.yaml", "config/rubin.yaml"]) {
      expect(missionParts(Effect.runSync(loadSite(file(name), { env: rubinEnv }))), name).toBeNull();
    }
  });

  it("reads a sidecar with its file, and not as a file", () => {
    const accept = site.lanes.get("mission")?.accept;
    expect(accept?.test("imap_2026_069_2026_069_01.spin.csv")).toBe(true);
    expect(accept?.test("imap_2026_069_2026_069_01.spin.range.json")).toBe(false);
  });

  it("its processor is Orrery's own program", () => {
    expect(site.catalogue?.drivers.get("process")).toMatchObject({
      command: [process.execPath, file("src/demo/processor.ts")],
    });
  });
});

describe("config/rubin.yaml", () => {
  const text = readFileSync(file("config/rubin.yaml"), "utf8");
  const site = Effect.runSync(loadSite(file("config/rubin.yaml"), { env: rubinEnv }));
  const everything = text
    .replaceAll(/^(?:watch: \[\]|jobs: \{\}|webhooks: \{\}|actors: \[\])\n/gm, "")
    .replace("    driver:\n      type: native\n", "")
    .replaceAll(/^( *)#: ?/gm, "$1");

  it("has nothing to warn of", () => {
    expect(Effect.runSync(checkSite(file("config/rubin.yaml"), { env: rubinEnv })).warnings).toEqual([]);
  });

  it("names each variable that is not set", () => {
    const error = Effect.runSync(Effect.flip(loadSite(file("config/rubin.yaml"), { env: {} })));
    expect(error.problems.map((problem) => [problem.path, problem.value])).toEqual([
      ["nats.password", "env:NATS_PASSWORD"],
      ["storage.embargo.accessKeyId", "env:S3_ACCESS_KEY_ID"],
      ["storage.embargo.secretAccessKey", "env:S3_SECRET_ACCESS_KEY"],
      ["enqueuer.secret", "env:NOTIFICATION_SECRET"],
    ]);
  });

  it("keeps the contract of today's callers", () => {
    expect(site.enqueuer.secret === null ? null : Redacted.value(site.enqueuer.secret)).toBe("secret-1");
    expect(site.enqueuer).toMatchObject({ path: "/notify", secretIn: ["opaqueData"] });
    expect(site.presence.instruments).toEqual([
      "LATISS",
      "LSSTComCam",
      "LSSTComCamSim",
      "LSSTCam",
      "LSST-TS8",
    ]);
    expect(
      ["R22_S11", "R22_S11junk", "R00_SG0", "R44_SW0", "xR22_S11"].map((d) => site.presence.detector.test(d)),
    ).toEqual([true, true, false, false, false]);
    expect(site.presence.lifetimeMs).toBe(86_400_000);
    for (const name of ["lsstcam", "latiss", "lsstcomcam", "lsstcomcamsim", "ts8"]) {
      expect(site.lanes.get(name)).toMatchObject({
        kind: "exposure",
        identity: "rubin",
        attemptsMax: 3,
        retentionDays: 7,
      });
      expect(site.lanes.get(name)?.needs).toMatchObject([{ needs: "exposure", waitMaxMs: 5_000 }]);
    }
  });

  it.each([
    ["LATISS/20210210/AT_O_20210210_000011/AT_O_20210210_000011.fits", "AT_O_20210210_000011", undefined],
    [
      "LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R44_SW0.fits",
      "MC_O_20251121_000156",
      "R44_SW0",
    ],
    [
      "LSSTCam/20240918/MC_C_20240918_000013/MC_C_20240918_000013_R00_SG0_guider.fits",
      "MC_C_20240918_000013",
      "R00_SG0",
    ],
  ])("reads %s", (key, exposure, detector) => {
    const groups = site.lanes.get("lsstcam")?.pattern?.exec(key)?.groups;
    expect([groups?.["exposure"], groups?.["detector"]]).toEqual([exposure, detector]);
  });

  it.each([
    ["ATCamera/2025/11/21/a.yaml", "ATCamera", "2025/11/21"],
    ["GenericCamera:101/fits/2025/11/21/a.fits", "GenericCamera:101/fits", "2025/11/21"],
    ["MTMount/1/2025/11/21/folder/a.bin", "MTMount/1", "2025/11/21"],
  ])("reads the annex's %s", (key, instrument, day) => {
    expect({ ...site.lanes.get("lfa")?.pattern?.exec(key)?.groups }).toEqual({ instrument, day });
  });

  it("its further examples are right, too, but for the files they name", () => {
    const path = file("config/rubin.yaml");
    const error = Effect.runSync(
      Effect.flip(parseSite(everything, path, { env: { ...rubinEnv, PGPASSWORD: "x", SUMMIT_TOKEN: "x" } })),
    );
    expect(error.problems.map((problem) => `${problem.path} ${problem.severity}`)).toEqual([
      "nats.tls.caFile error",
      "nats.tls.certFile error",
      "nats.tls.keyFile error",
      "storage.scratch warning",
      // No lane here takes what the jobs of that catalogue make.
      "catalogue warning",
      "actors[0] error",
    ]);
  });

  it("shows every key that there is", () => {
    for (const key of keysOf(siteJsonSchema())) expect(text, key).toMatch(new RegExp(`\\b${key}\\b`));
  });
});

describe("the JSON Schema for editors", () => {
  const schema = siteJsonSchema();

  it("refuses unknown keys and says what each key is for", () => {
    expect(schema).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      additionalProperties: false,
      required: ["name"],
    });
    const undescribed = propertiesOf(schema).filter(([, property]) => !("description" in property));
    expect(undescribed.map(([name]) => name)).toEqual([]);
  });

  it.each([
    ["a site with lanes", { name: "a", lanes: {} }, []],
    ["a site that says it is no supernode", { name: "a", supernode: false, lanes: {} }, []],
    ["a site without lanes", { name: "a" }, ["lanes is missing"]],
    ["a site without lanes that says so", { name: "a", supernode: false }, ["lanes is missing"]],
    ["a supernode", { name: "hub", supernode: true, nats: {} }, []],
    ["a supernode without a name", { supernode: true }, ["name is missing"]],
    [
      "a supernode with lanes",
      { name: "hub", supernode: true, lanes: {}, jobs: {} },
      ["lanes is refused", "jobs is refused"],
    ],
    ["an unknown key", { name: "hub", supernode: true, lane: {} }, ["lane is refused"]],
  ])("of the keys it wants and refuses: %s", (_what, value, faults) => {
    expect(keyFaults(schema, value)).toEqual(faults);
  });

  it("is JSON, with the defaults as the file would write them", () => {
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
    const defaults = new Map(propertiesOf(schema).map(([name, property]) => [name, property["default"]]));
    expect([defaults.get("backoffBase"), defaults.get("bodyMax"), defaults.get("batchMax")]).toEqual([
      "1 s",
      "8 MiB",
      300,
    ]);
  });
});

it("docs/site-file.md has a row for every key, with its default and what it is for, and for no other", () => {
  const docs = readFileSync(file("docs/site-file.md"), "utf8").replaceAll(/ +/g, " ");
  const rows = rowsOf(siteJsonSchema());
  for (const row of rows) expect(docs).toContain(row);
  const told = docs
    .split("\n")
    .filter((line) => /^\| `[^`]+` \| (?:required|none|empty|`.*?`) \| /.test(line));
  expect(told.filter((row) => !rows.includes(row))).toEqual([]);
});

type Json = Readonly<Record<string, unknown>>;

/** What is wrong with the keys of the value itself: the part of JSON Schema that is about these, and no more. */
function keyFaults(schema: Json, value: Json): ReadonlyArray<string> {
  const { required, properties, additionalProperties, propertyNames } = schema as {
    readonly required?: ReadonlyArray<string>;
    readonly properties?: Readonly<Record<string, Json>>;
    readonly additionalProperties?: boolean;
    readonly propertyNames?: { readonly not: { readonly enum: ReadonlyArray<string> } };
  };
  const known = Object.keys(properties ?? {});
  const branch = !("if" in schema)
    ? undefined
    : keyFaults(schema["if"] as Json, value).length === 0
      ? schema["then"]
      : schema["else"];
  return [
    ...(required ?? []).filter((key) => !(key in value)).map((key) => `${key} is missing`),
    ...Object.keys(value).flatMap((key) => {
      const property = properties?.[key];
      if (property !== undefined && "const" in property && property["const"] !== value[key])
        return [`${key} is another`];
      const unknown = additionalProperties === false && !known.includes(key);
      return unknown || propertyNames?.not.enum.includes(key) === true ? [`${key} is refused`] : [];
    }),
    ...(branch === undefined ? [] : keyFaults(branch as Json, value)),
  ];
}

/** Every property of every object in a JSON Schema. */
function propertiesOf(schema: unknown): ReadonlyArray<readonly [string, Json]> {
  if (Array.isArray(schema)) return schema.flatMap(propertiesOf);
  if (typeof schema !== "object" || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]: [string, unknown]) =>
    key === "properties" && typeof value === "object" && value !== null
      ? [...Object.entries(value as Readonly<Record<string, Json>>), ...propertiesOf(Object.values(value))]
      : // A condition describes no key.
        key === "default" || key === "if"
        ? []
        : propertiesOf(value),
  );
}

const keysOf = (schema: unknown): ReadonlySet<string> => new Set(propertiesOf(schema).map(([name]) => name));

/** A table row for each property: `| `key` | default | description |`. */
function rowsOf(schema: unknown): ReadonlyArray<string> {
  return propertiesOf(schema).map(([name, property]) => {
    const standard = property["default"];
    const shown = standard === undefined ? "required" : plain(standard);
    return `| \`${name}\` | ${shown} | ${String(property["description"])} |`;
  });
}

function plain(value: unknown): string {
  if (value === null) return "none";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (text === "{}" || text === "[]") return "empty";
  return typeof value === "object"
    ? `\`${text.replaceAll(/["{}]/g, "").replaceAll(/([,:])/g, "$1 ")}\``
    : `\`${text}\``;
}
