/** The examples of docs/actors.md do what is said of them, and its table has each option that an actor takes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { textOf } from "./documents.ts";

// The whole of src/index.ts takes long to load on a slow machine; what it gives on is what is loaded here.
const root = path.resolve(import.meta.dirname, "../..");
const text = textOf("docs/actors.md");
const [actors = "", trial = ""] = [...text.matchAll(/^```js\n(.*?)^```/gms)].map(([, code = ""]) => code);

it("its examples run as they stand", async () => {
  const source = (file: string): string => JSON.stringify(pathToFileURL(path.join(root, file)).href);
  const code = `${actors}\n${trial}`
    .replace('"orrery"', source("src/actors/Actor.ts"))
    .replace('"orrery/testing"', source("src/testing.ts"))
    .replace("await ask", "export const answer = await ask");
  const folder = mkdtempSync(path.join(tmpdir(), "orrery-actors-"));
  try {
    const file = path.join(folder, "actors.mjs");
    writeFileSync(file, `${code}\nexport { context, outcome };\n`);
    const ran = (await import(pathToFileURL(file).href)) as {
      readonly default: ReadonlyArray<{ readonly behaviour: string }>;
      readonly context: { readonly sent: ReadonlyArray<unknown> };
      readonly outcome: unknown;
      readonly answer: unknown;
    };
    expect(ran.default.map(({ behaviour }) => behaviour)).toEqual([
      "claims",
      "replies",
      "follows",
      "ticks",
      "listens",
    ]);
    expect(ran.outcome).toEqual({ type: "done", result: { path: "a.fits" } });
    expect(ran.answer).toEqual({ site: "test", known: 1 });
    expect(ran.context.sent).toMatchObject([{ actor: "frames", body: { path: "sweep" } }]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("tells each option", () => {
  const options = [
    ...textOf("src/actors/Actor.ts").matchAll(/^(?:export )?interface (?:Common|\w+Options).*?^}/gms),
  ].flatMap(([part]) => [...part.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name = ""]) => name));
  expect(options.length).toBeGreaterThan(12);
  expect(options.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
