/**
 * Other versions of the program, made of this one: a copy of its source whose number is another and which writes what this one does not
 * know. They are real programs: a test starts them as processes.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./mutations.ts";

interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const nextVersion = "9.1.0";

/**
 * The next minor version, by the rules for one: it adds fields to arrivals, records, bodies and claim slots, a kind of record of its own
 * and a word to the ledger's metadata, and writes a higher `v`. What it adds to a record counts its own writes of it.
 */
const additions: ReadonlyArray<Edit> = [
  {
    file: "src/protocol/records.ts",
    find: "export const recordVersion = 1;",
    replace: "export const recordVersion = 2;",
  },
  {
    file: "src/protocol/arrival.ts",
    find: "? packr.pack({ v: recordVersion, ...arrival })",
    replace: "? packr.pack({ v: recordVersion, ...arrival, told: { by: 'next', of: arrival.key } })",
  },
  {
    file: "src/jetstream/claims.ts",
    find: "ledgerPut(key, encodeJson(settlement.record), expected)",
    replace:
      "ledgerPut(key, encodeJson({ ...settlement.record, sealed: { by: 'next', times: (settlement.record.sealed?.times ?? 0) + 1 }, " +
      "body: { ...settlement.record.body, weighed: { etag: settlement.record.etag } } }), expected)",
  },
  {
    file: "src/jetstream/claims.ts",
    find: "before === null ? slot : { ...beyond(before, slotFields), ...slot }",
    replace: "{ ...(before === null ? {} : beyond(before, slotFields)), ...slot, paced: { by: 'next' } }",
  },
  {
    file: "src/jetstream/format.ts",
    find: "[key]: String(ledgerFormat) }",
    replace: "[key]: String(ledgerFormat), 'orrery.minor': '1' }",
  },
  {
    file: "src/node/link.ts",
    find: "    const mailboxes = mailboxesOf(",
    replace:
      "    const { commit, ledgerPut } = yield* Effect.promise(() => import('../jetstream/transaction.ts'));\n" +
      "    yield* commit(nats, 'next', [ledgerPut(`census.${site.node}`, Buffer.from(JSON.stringify({ v: 2, by: 'next' })))]).pipe(Effect.orDie);\n" +
      "    const mailboxes = mailboxesOf(",
  },
];

/** A version whose ledger programs of now would misread. */
const misreadable: Edit = {
  file: "src/protocol/records.ts",
  find: "export const ledgerFormat = 1;",
  replace: "export const ledgerFormat = 2;",
};

const copied = ["src", "test/support", "scripts", "package.json"];

export interface OtherVersion {
  /** What a node process of it is started with. */
  readonly program: URL;
  readonly remove: () => void;
}

function make(version: string, edits: ReadonlyArray<Edit>): OtherVersion {
  const folder = mkdtempSync(join(tmpdir(), "orrery-version-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  try {
    for (const name of copied) cpSync(join(root, name), join(folder, name), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const packageFile = join(folder, "package.json");
    const packed = JSON.parse(readFileSync(packageFile, "utf8")) as object;
    writeFileSync(packageFile, JSON.stringify({ ...packed, version }));
    for (const { file, find, replace } of edits) {
      const path = join(folder, file);
      const pieces = readFileSync(path, "utf8").split(find);
      if (pieces.length !== 2)
        throw new Error(`${file} holds ${pieces.length - 1} times, and not once: ${find}`);
      writeFileSync(path, pieces.join(replace));
    }
  } catch (cause) {
    remove();
    throw cause;
  }
  return { program: pathToFileURL(join(folder, "test", "support", "nodeMain.ts")), remove };
}

export const makeNext = (): OtherVersion => make(nextVersion, additions);

export const makeMisreadable = (): OtherVersion => make("10.0.0", [...additions, misreadable]);
