import { parseSync, Visitor } from "oxc-parser";
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";

/** A source file by its path from the checkout's root, with forward slashes, and what it imports, as written there. */
export interface SourceFile {
  readonly file: string;
  readonly imports: ReadonlyArray<string>;
  readonly lines: number;
}

/**
 * Which folders of src/ each folder may import, besides itself. A file directly in src/ is a program or the public API
 * and may import all, and so may the command's parts and the demo, which plays a whole site. `limits.ts` is the exception: numbers that belong
 * to everybody, so it may import nothing.
 */
const MAY_IMPORT: Readonly<Record<string, ReadonlyArray<string> | "all">> = {
  protocol: [],
  jobs: ["protocol"],
  supervisor: ["protocol"],
  jetstream: ["protocol"],
  storage: ["protocol"],
  config: ["protocol", "jobs"],
  drivers: ["protocol"],
  sites: ["protocol"],
  actors: ["protocol", "jobs", "supervisor", "jetstream", "storage", "config", "drivers"],
  node: ["protocol", "jobs", "supervisor", "jetstream", "storage", "config", "drivers", "actors"],
  cli: "all",
  demo: "all",
};

const LIMITS = "src/limits.ts";
const FINDER = "scripts/nats-server/find.mjs";

export function readSources(root: string, pattern: string): ReadonlyArray<SourceFile> {
  return globSync(pattern, { cwd: root })
    .map((file) => file.split(path.sep).join("/"))
    .toSorted()
    .map((file) => parseSource(file, readFileSync(path.join(root, file), "utf8")));
}

export function parseSource(file: string, text: string): SourceFile {
  const { program, errors } = parseSync(file, text, { sourceType: "module" });
  const fatal = errors[0];
  if (fatal !== undefined) throw new Error(`${file}: ${fatal.message}`);
  const imports: string[] = [];
  const note = (source: { readonly value?: unknown } | null): void => {
    if (typeof source?.value === "string") imports.push(source.value);
  };
  new Visitor({
    ImportDeclaration: (node) => note(node.source),
    ExportNamedDeclaration: (node) => note(node.source),
    ExportAllDeclaration: (node) => note(node.source),
    ImportExpression: (node) => note("value" in node.source ? node.source : null),
    TSImportType: (node) => note(node.source),
  }).visit(program);
  return { file, imports, lines: text.trimEnd().split("\n").length };
}

/**
 * Every import that goes against the layout, as one sentence each. `exists` says whether a file of the checkout is
 * there: a relative import that leads nowhere is told, too, or a wrong resolution would make this pass.
 */
export function violations(
  { file, imports }: SourceFile,
  exists: (file: string) => boolean,
): ReadonlyArray<string> {
  const told: string[] = [];
  for (const specifier of imports) {
    if (!specifier.startsWith(".")) {
      if (specifier.startsWith("@nats-io/") && !file.startsWith("src/jetstream/")) {
        told.push(`${file} imports ${specifier}: only src/jetstream/ speaks to NATS`);
      }
      continue;
    }
    const target = path.posix.join(path.posix.dirname(file), specifier);
    if (!exists(target)) told.push(`${file} imports ${specifier}, which leads nowhere`);
    else if (!isAllowed(file, target)) told.push(`${file} may not import ${target}`);
  }
  return told;
}

function isAllowed(file: string, target: string): boolean {
  if (file === LIMITS) return false;
  const from = folderOf(file);
  if (target === FINDER) return from === undefined || from === "jetstream";
  if (!target.startsWith("src/")) return false;
  if (from === undefined || target === LIMITS) return true;
  const allowed = MAY_IMPORT[from] ?? [];
  if (allowed === "all") return true;
  const to = folderOf(target);
  return to === from || (to !== undefined && allowed.includes(to));
}

/** `jetstream` for src/jetstream/wire.ts; undefined for what lies directly in src/. */
function folderOf(file: string): string | undefined {
  return /^src\/([^/]+)\//.exec(file)?.[1];
}

export function unknownFolders(sources: ReadonlyArray<SourceFile>): ReadonlyArray<string> {
  const folders = new Set(sources.map(({ file }) => folderOf(file)).filter((folder) => folder !== undefined));
  return [...folders].filter((folder) => !(folder in MAY_IMPORT));
}

export const existsIn = (root: string) => (file: string) => existsSync(path.join(root, file));
