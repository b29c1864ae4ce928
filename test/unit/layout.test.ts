import path from "node:path";
import { describe, expect, it } from "vitest";
import { existsIn, parseSource, readSources, unknownFolders, violations } from "./imports.ts";

const root = path.resolve(import.meta.dirname, "../..");
const sources = readSources(root, "src/**/*.ts");

/** A file longer than this holds more than one noun. */
const LINES_MAX = 600;

describe("the source", () => {
  it("is read: this test sees files and their imports", () => {
    expect(sources.length).toBeGreaterThan(10);
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(50);
  });

  it("imports only in the direction that CONTRIBUTING.md draws", () => {
    expect(sources.flatMap((source) => violations(source, existsIn(root)))).toEqual([]);
  });

  it("has no folder whose imports nobody has decided on", () => {
    expect(unknownFolders(sources)).toEqual([]);
  });

  it(`has no file of more than ${LINES_MAX} lines`, () => {
    const long = sources
      .filter(({ lines }) => lines > LINES_MAX)
      .map(({ file, lines }) => `${file}: ${lines}`);
    expect(long).toEqual([]);
  });
});

describe("the rule", () => {
  const judge = (file: string, text: string) => violations(parseSource(file, text), () => true);

  it.each([
    ["protocol reaching out", "src/protocol/keys.ts", `import { a } from "../storage/s3.ts"`],
    ["a layer below importing one above", "src/jetstream/x.ts", `import { a } from "../actors/presence.ts"`],
    ["two neighbours", "src/storage/s3.ts", `import type { A } from "../config/Site.ts"`],
    ["a folder importing a program", "src/actors/x.ts", `import { main } from "../cli.ts"`],
    ["anybody importing the demo", "src/actors/x.ts", `import { a } from "../demo/look.ts"`],
    ["limits importing anything", "src/limits.ts", `import { a } from "./protocol/keys.ts"`],
    ["a re-export", "src/supervisor/x.ts", `export { a } from "../jetstream/wire.ts"`],
    ["a re-export of everything", "src/supervisor/x.ts", `export * from "../jetstream/wire.ts"`],
    ["an import at run time", "src/config/x.ts", `const a = await import("../storage/s3.ts")`],
    ["an import of a type in place", "src/config/x.ts", `type A = import("../storage/s3.ts").A`],
    ["a test helper in the source", "src/actors/x.ts", `import { a } from "../../test/unit/imports.ts"`],
    [
      "the set-up outside its user",
      "src/actors/x.ts",
      `import { a } from "../../scripts/nats-server/find.mjs"`,
    ],
    ["NATS outside its folder", "src/actors/x.ts", `import { connect } from "@nats-io/transport-node"`],
    ["NATS' types outside their folder", "src/node.ts", `import type { Msg } from "@nats-io/transport-node"`],
  ])("refuses %s", (_, file, text) => {
    expect(judge(file, text)).toHaveLength(1);
  });

  it.each([
    ["src/actors/x.ts", `import { a } from "../jetstream/ledger.ts"`],
    ["src/config/rules/x.ts", `import { a } from "../Site.ts"; import { b } from "../../limits.ts"`],
    ["src/jetstream/embedded.ts", `import { findNatsServer } from "../../scripts/nats-server/find.mjs"`],
    ["src/protocol/lifecycle.ts", `import { a } from "../limits.ts"`],
    ["src/jetstream/Nats.ts", `import { connect } from "@nats-io/transport-node"`],
    ["src/cli.ts", `import { a } from "./actors/presence.ts"; import { b } from "./node.ts"`],
  ])("allows %s %s", (file, text) => {
    expect(judge(file, text)).toEqual([]);
  });

  it("tells an import that leads nowhere", () => {
    const source = parseSource("src/actors/x.ts", `import { a } from "../jetstream/gone.ts"`);
    expect(violations(source, existsIn(root))).toEqual([
      "src/actors/x.ts imports ../jetstream/gone.ts, which leads nowhere",
    ]);
  });
});
