import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as YAML from "yaml";
import { nearMiss } from "../../../src/config/nearMiss.ts";
import { parseSite } from "../../../src/config/loadSite.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../../src/config/quantity.ts";
import { provenDisjoint } from "../../../src/config/rules/disjoint.ts";
import { SiteFileError } from "../../../src/config/SiteFileError.ts";
import { lineOf, rightSite } from "./site.ts";

/** What `text` leads to; throws for anything but a site or a well-made `SiteFileError`. */
function checked(text: string): SiteFileError | null {
  const exit = Effect.runSyncExit(parseSite(text, "sites/test.yaml", { env: {} }));
  if (Exit.isSuccess(exit)) return null;
  const [reason] = exit.cause.reasons;
  if (reason?._tag !== "Fail" || !(reason.error instanceof SiteFileError))
    throw new Error(String(exit.cause));
  const error = reason.error;
  if (!error.problems.some((problem) => problem.severity === "error"))
    throw new Error("refused without an error");
  for (const problem of error.problems) {
    if (problem.message === "" || problem.fix === "") throw new Error("a problem without words");
    if (problem.line !== null && problem.line > text.split("\n").length)
      throw new Error("a line beyond the file");
  }
  if (error.render() === "" || JSON.stringify(error) === "") throw new Error("nothing to show");
  return error;
}

/** Paths of every scalar, list and section of the right site. */
function pathsOf(value: unknown, path: ReadonlyArray<string> = []): ReadonlyArray<ReadonlyArray<string>> {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...path, key]))];
}
const right: unknown = YAML.parse(rightSite);
const rightPaths = pathsOf(right).filter((path) => path.length > 0);

describe("garbage leads to a SiteFileError or a site, never to anything else", () => {
  it("any text", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.string({ maxLength: 200 })),
        (text) => {
          checked(text);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("text of YAML's own characters", () => {
    const piece = fc.constantFrom(
      ..."a b : - ? & * ! | > ' \" % @ ` { } [ ] , # ~ \n \t".split(" "),
      " ",
      "\n  ",
      "<<: ",
      "*a",
      "&a ",
      "---\n",
      "...\n",
      "name: ",
      "lanes: ",
      "!!binary ",
      "%YAML 1.1\n",
      ".nan",
      "0x1f",
      "null",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        checked(pieces.join(""));
      }),
      { numRuns: 1_000 },
    );
  });

  it("any value as a whole site", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        checked(YAML.stringify(value));
      }),
      { numRuns: 300 },
    );
  });

  it("the right site with any value anywhere", () => {
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom(Number.NaN, Infinity, -1, 1e300, "", "\0", "env:", "(", "5 s"),
    );
    fc.assert(
      fc.property(fc.constantFrom(...rightPaths), value, (path, replacement) => {
        const document = new YAML.Document(YAML.parse(rightSite));
        document.setIn(path, document.createNode(replacement));
        checked(String(document));
      }),
      { numRuns: 500 },
    );
  });

  it("the right site with a piece cut out or put in", () => {
    fc.assert(
      fc.property(fc.nat(rightSite.length), fc.nat(20), fc.string({ maxLength: 5 }), (at, length, insert) => {
        checked(rightSite.slice(0, at) + insert + rightSite.slice(at + length));
      }),
      { numRuns: 500 },
    );
  });
});

describe("secrets are in no error", () => {
  const secret = "hunter2-Xq9";
  // Every key that may hold one, misspelt and misplaced forms, and what people write by mistake.
  const sections = [
    `enqueuer:\n  secret: §`,
    `enqueuer:\n  secert: §`,
    `enqueuer:\n  secret: [§]`,
    `enqueuer:\n  secret: { value: § }`,
    `enqueuer: §`,
    `enqueuer:\n  secret: '§`,
    `enqueuer:\n  secret: !§`,
    `enqueuer:\n  secret: *§`,
    `enqueuer:\n  secret: "\\q §"`,
    `enqueuer:\n  secret: |§\n    x`,
    `enqueuer:\n  secret: §: x`,
    `enqueuer:\n  secret: §\n §`,
    `secret: §`,
    `nats: { password: §, user: u }`,
    `nats: { token: § }`,
    `nats: { passwd: § }`,
    `nats: { mode: external, servers: ['nats://u:§@far.example.org'] }`,
    `nats: { mode: external, servers: ['http://§@far.example.org'] }`,
    `nats:\n  - §`,
    `storage2: { s: { driver: s3, secretAccessKey: § } }`,
    `watch: { password: § }`,
    `log: { level: info, password: § }`,
  ];

  it.each(sections)("%s", (section) => {
    const error = checked(`${rightSite}${section.replaceAll("§", secret)}\n`);
    expect(error).not.toBeNull();
    expect(
      `${error?.render() ?? ""} ${JSON.stringify(error)} ${String(error)} ${error?.stack ?? ""}`,
    ).not.toContain(secret);
  });

  it.each([
    ["root: ./data", "root: ./data\n    secretAccessKey: §"],
    ["driver: file\n    root: ./data", "driver: s3\n    accessKeyId: §\n    secretAccessKey: §"],
    ["driver: file\n    root: ./data", "driver: s3\n    endpoint: http://a:§@far.example.org"],
    ["command: ['{node}', look.js]", "command: psql --password=§"],
    ["command: ['{node}', look.js]", "command: ['{node}', '--password=§{oops}']"],
    ["    command:", "    env: { PASSWORD: § }\n    command:"],
    ["    command:", "    env: [§]\n    command:"],
    ["    command:", "    env: §\n    command:"],
  ])("%s → %s", (before, after) => {
    const error = checked(rightSite.replace(before, () => after.replaceAll("§", secret)));
    expect(error).not.toBeNull();
    expect(`${error?.render() ?? ""} ${JSON.stringify(error)} ${String(error)}`).not.toContain(secret);
  });
});

it("a fault put anywhere is found on its line", () => {
  const scalars = rightPaths.filter((path) => {
    const value = path.reduce<unknown>((v, key) => (v as Record<string, unknown>)[key], right);
    return typeof value !== "object";
  });
  fc.assert(
    fc.property(fc.constantFrom(...scalars), (path) => {
      const document = YAML.parseDocument(rightSite);
      // A flow list where text is wanted is wrong everywhere, and `[[` is nowhere else in the text.
      document.setIn(path, document.createNode([["x"]], { flow: true }));
      const text = document.toString({ flowCollectionPadding: false });
      const problem = checked(text)?.problems.find((one) => one.line === lineOf(text, "[[x]]"));
      expect(problem?.path.replaceAll(/\[(\d+)\]/g, ".$1")).toBe(path.join("."));
    }),
    { numRuns: 100 },
  );
});

describe("quantities", () => {
  it("are read back as they are written", () => {
    fc.assert(
      fc.property(fc.nat(1e12), (n) => {
        expect(parseDuration(formatDuration(n))).toBe(n);
        expect(parseSize(formatSize(n))).toBe(n);
      }),
    );
  });

  it.each([
    ["5 s", 5_000],
    ["5s", 5_000],
    ["250 millis", 250],
    ["1 day", 86_400_000],
    ["1.5 hours", 5_400_000],
    ["2 weeks", 1_209_600_000],
    ["86400 s", 86_400_000],
    ["5", null],
    ["-5 s", null],
    ["5 S", null],
    ["5 m", null],
    ["s", null],
    ["1e3 s", null],
    ["5 s 3 ms", null],
    ["Infinity", null],
    ["999999999999999 weeks", null],
  ])("%s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it("sizes tell kB from KiB", () => {
    expect(["1 kB", "1 KiB", "1 MB", "1.5 MiB", "7 B", "7", "7 b"].map(parseSize)).toEqual([
      1_000,
      1_024,
      1_000_000,
      1_572_864,
      7,
      null,
      null,
    ]);
  });
});

describe("near misses", () => {
  const known = ["buckets", "backoffBase", "backoffMax", "batchMax", "workers", "workDeadline", "accept"];
  it.each([
    ["bucket", "buckets"],
    ["Buckets", "buckets"],
    ["back_off_max", "backoffMax"],
    ["batchmax", "batchMax"],
    ["bacthMax", "batchMax"],
    ["workDeadlineMs", "workDeadline"],
    ["acept", "accept"],
    ["zebra", null],
    ["", null],
  ])("%s → %s", (written, meant) => {
    expect(nearMiss(written, known)).toBe(meant);
  });
});

describe("patterns seen to be disjoint", () => {
  it.each([
    [String.raw`_guider\.fits$`, String.raw`(?<!_guider)\.fits$`, true],
    [String.raw`\.fits$`, String.raw`\.json$`, true],
    [String.raw`\.(fits|fz)$`, String.raw`\.(?:json|yaml)$`, true],
    [String.raw`\.(fits|json)$`, String.raw`\.json$`, false],
    ["^raw/", "^cal/", true],
    ["^raw/", "^raw/cal/", false],
    ["^raw/(?!cal/)", "^raw/cal/", true],
    [String.raw`\.fits$`, "fits$", false],
    [String.raw`\.fits$`, ".", false],
    [String.raw`\.fits$|x`, String.raw`\.json$`, false],
    [String.raw`\.fits$`, String.raw`_guider\.fits$`, false],
    [String.raw`a\d$`, String.raw`b\d$`, false],
    ["^ab?", "^b", false],
    ["[.]fits$", "[.]json$", true],
    [String.raw`fits\$`, String.raw`json\$`, false],
  ])("%s and %s: %s", (a, b, expected) => {
    expect(provenDisjoint(new RegExp(a, "u"), new RegExp(b, "u"))).toBe(expected);
    expect(provenDisjoint(new RegExp(b, "u"), new RegExp(a, "u"))).toBe(expected);
  });

  it("never claims it of two patterns that one key matches", () => {
    const atom = fc.constantFrom(
      "a",
      "b",
      String.raw`\.`,
      ".",
      "[ab]",
      "[^a]",
      "(a|b)",
      "(?:ab|b)",
      "(?<!a)",
      "(?<!ba)",
      "(?!b)",
      "(?!ab)",
      "a?",
      "b*",
      String.raw`\w`,
      "|",
      "(?:a|b)+",
    );
    const pattern = fc
      .tuple(fc.boolean(), fc.array(atom, { maxLength: 4 }), fc.boolean())
      .map(([begin, atoms, end]) => new RegExp(`${begin ? "^" : ""}${atoms.join("")}${end ? "$" : ""}`, "u"));
    const key = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 6 });
    fc.assert(
      fc.property(pattern, pattern, fc.array(key, { minLength: 30, maxLength: 30 }), (a, b, keys) => {
        if (!provenDisjoint(a, b)) return;
        for (const one of keys)
          expect(a.test(one) && b.test(one), `${one}: ${String(a)} ${String(b)}`).toBe(false);
      }),
      { numRuns: 5_000 },
    );
  });
});
