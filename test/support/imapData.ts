/**
 * Jobs in the mission's own form: its files, which are kept outside the project, or where they are not the shipped jobs written back in
 * that form. What compares with the mission's own tables needs `haveImapData`.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readDocument } from "../../src/config/document.ts";
import type { CatalogueDocument } from "../../src/jobs/faults.ts";
import { missionForm } from "./missionForm.ts";

const folder = new URL("../../../shared/data/imap/", import.meta.url);

export const haveImapData: boolean = existsSync(folder);

export const shippedFolder = fileURLToPath(new URL("../../config/imap", import.meta.url));

function written(): string {
  const made = mkdtempSync(join(tmpdir(), "orrery-mission-form-"));
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  for (const [name, text] of missionForm(shippedFolder)) writeFileSync(join(made, name), text);
  return made;
}

/** The folder of the eleven dependency files. */
export const dependencyFolder = haveImapData ? fileURLToPath(new URL("dependencies/", folder)) : written();

/** One of the mission's own tables. */
export const imapText = (name: string): string => readFileSync(new URL(name, folder), "utf8");

export const dependencyText = (name: string): string => readFileSync(join(dependencyFolder, name), "utf8");

/** Names and texts of the dependency files, in the order of their names. */
export const dependencyTexts = (): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(dependencyFolder)
      .toSorted()
      .map((name) => [name, dependencyText(name)]),
  );

export const documentOf = (file: string, text: string): CatalogueDocument => {
  const { value, findings, lineOf } = readDocument(text);
  if (findings.length > 0) throw new Error(`${file}: ${findings[0]?.message}`);
  return { file, value, lineOf };
};

export const dependencyDocuments = (): ReadonlyArray<CatalogueDocument> =>
  [...dependencyTexts()].map(([file, text]) => documentOf(file, text));
