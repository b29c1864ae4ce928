/** The mission's own files, kept outside the project; tests that need them are skipped where they are not. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readDocument } from "../../src/config/document.ts";
import type { CatalogueDocument } from "../../src/jobs/faults.ts";

const folder = new URL("../../../shared/data/imap/", import.meta.url);

export const haveImapData: boolean = existsSync(folder);

/** The folder of the eleven dependency files. */
export const dependencyFolder = fileURLToPath(new URL("dependencies/", folder));

export const imapText = (name: string): string => readFileSync(new URL(name, folder), "utf8");

/** Names and texts of the dependency files, in the order of their names. */
export const dependencyTexts = (): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(new URL("dependencies/", folder))
      .toSorted()
      .map((name) => [name, imapText(`dependencies/${name}`)]),
  );

export const documentOf = (file: string, text: string): CatalogueDocument => {
  const { value, findings, lineOf } = readDocument(text);
  if (findings.length > 0) throw new Error(`${file}: ${findings[0]?.message}`);
  return { file, value, lineOf };
};

export const dependencyDocuments = (): ReadonlyArray<CatalogueDocument> =>
  [...dependencyTexts()].map(([file, text]) => documentOf(file, text));
