/**
 * The rules that the ledger's safety rests on, each with the change that takes it out and the test that must then fail. A rule whose
 * test stays green is not tested.
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

export interface Mutation {
  readonly rule: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly test: { readonly file: string; readonly name: string };
}

export const root = fileURLToPath(new URL("../../", import.meta.url));

export const mutations: ReadonlyArray<Mutation> = [
  {
    rule: "the compare-and-set on a file's record",
    file: "src/jetstream/claims.ts",
    find: "ledgerPut(key, encodeJson(settlement.record), expected)",
    replace: "ledgerPut(key, encodeJson(settlement.record))",
    test: {
      file: "test/chaos/duplicates.test.ts",
      name: "is one file when the stream has forgotten it each time",
    },
  },
  {
    rule: "the acknowledgement after the settle, not before",
    file: "src/actors/claims.ts",
    find: "    const worked = items.filter((item) => item.refused !== true);\n",
    replace:
      "    for (const reply of replies) done(state, reply);\n    const worked = items.filter((item) => item.refused !== true);\n",
    test: {
      file: "test/chaos/nodes.test.ts",
      name: "gives its batch back and is gone within two seconds",
    },
  },
  {
    rule: "the check of the generation",
    file: "src/protocol/lifecycle.ts",
    find: "return record.generation === delivery.generation\n      ? ",
    replace: "return record.generation >= 0\n      ? ",
    test: {
      file: "test/chaos/duplicates.test.ts",
      name: "is dropped while the file waits for its next try",
    },
  },
  {
    rule: "the rule for believing that a lease ran out",
    file: "src/jetstream/lease.ts",
    find: "mayBelieveExpiry: () => steadyMs() >= believeAfterMs,",
    replace: "mayBelieveExpiry: () => true,",
    test: { file: "test/chaos/server.test.ts", name: "is slower than another to find it again" },
  },
  {
    rule: "the empty marker instead of a removal",
    file: "src/jetstream/transaction.ts",
    find: "  data: nothing,\n  marker: true,\n",
    replace: "  data: nothing,\n  marker: true,\n  ttlSeconds: 1,\n",
    test: { file: "test/chaos/ended.test.ts", name: "stays ended in a site whose server is killed" },
  },
  {
    rule: "the wait for what a former turn at a receiver has in hand",
    file: "src/actors/notifier.ts",
    find: "    if (held > queue.size) {\n",
    replace: "    if (held > queue.size && held < 0) {\n",
    test: { file: "test/chaos/turns.test.ts", name: "lets another node go on" },
  },
  {
    rule: "the question whether a try of ours put it into the catalog",
    file: "src/actors/ingester.ts",
    find: "looksTried(item) || tried.has(item.key)",
    replace: "looksTried(item)",
    test: { file: "test/integration/notifier.test.ts", name: "is told of what another node has in hand" },
  },
];

/** The file with the rule taken out. Throws where the file has changed so that the change no longer fits. */
export function mutated(mutation: Mutation): string {
  const text = readFileSync(join(root, mutation.file), "utf8");
  const pieces = text.split(mutation.find);
  if (pieces.length !== 2) {
    throw new Error(
      `${mutation.file} holds ${pieces.length - 1} times, and not once, what takes out ${mutation.rule}: ${mutation.find}`,
    );
  }
  return pieces.join(mutation.replace);
}

const copied = ["src", "test", "scripts", "config", "package.json", "tsconfig.json", "vitest.config.ts"];

export interface Verdict {
  readonly red: boolean;
  /** What the test said. */
  readonly words: ReadonlyArray<string>;
}

/** Runs the mutation's test against a copy of the source without the rule; `null` in its place: against the source as it is. */
export async function judge(test: Mutation["test"], mutation: Mutation | null): Promise<Verdict> {
  const folder = mkdtempSync(join(tmpdir(), "orrery-mutation-"));
  try {
    for (const name of copied) {
      if (existsSync(join(root, name))) cpSync(join(root, name), join(folder, name), { recursive: true });
    }
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    if (mutation !== null) writeFileSync(join(folder, mutation.file), mutated(mutation));
    const { code, output } = await vitest(folder, test);
    const words = output
      .split("\n")
      .filter((line) => /^\s*[×✓]|^(?:[\w ]+: |AssertionError|Error)/u.test(line));
    if (code !== 0 && !/\d+ failed/u.test(output))
      throw new Error(`the tests did not run:\n${output.slice(-4_000)}`);
    if (!/[1-9]\d* (?:passed|failed)/u.test(output)) throw new Error(`no test is called ${test.name}`);
    return { red: code !== 0, words };
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

function vitest(
  folder: string,
  test: Mutation["test"],
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const program = join(root, "node_modules", "vitest", "vitest.mjs");
    const child = spawn(process.execPath, [program, "run", test.file, "-t", test.name], {
      cwd: folder,
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0", ORRERY_TEST_NATS: "native" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const keep = (data: Buffer): void => void (output += data.toString());
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? -1, output: stripVTControlCharacters(output) }));
  });
}
