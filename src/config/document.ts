/** The text of a site file, read as YAML, with the line of everything in it. */
import * as YAML from "yaml";
import type { Path } from "./SiteFileError.ts";

/** A fault found before it is turned into a `Problem`: `path` still in parts, the line not yet looked up. */
export interface Finding {
  readonly severity?: "warning";
  readonly path: Path;
  /** The place is the key itself, not its value. */
  readonly atKey?: boolean;
  /** Where the path does not lead to a line: YAML's own faults. */
  readonly line?: number;
  /** What the file says there, as it may be shown; absent: look it up; null: show nothing. */
  readonly value?: string | null;
  readonly message: string;
  readonly fix: string;
}

export interface SiteDocument {
  /** Plain values; undefined when the text is no YAML. */
  readonly value: unknown;
  readonly findings: ReadonlyArray<Finding>;
  /** The line, from 1, of the nearest thing on `path` that is in the file; null for an empty file. */
  readonly lineOf: (path: Path, atKey?: boolean) => number | null;
}

/** One character of a site file can stand for at most this many aliased nodes in all: a bound on "billion laughs". */
const aliasCountMax = 1_000;

/** Never throws: whatever the text is, what is wrong with it is in `findings`. `start` is what helps with an empty file. */
export function readDocument(
  text: string,
  start = "start from config/demo.yaml, or see docs/site-file.md",
): SiteDocument {
  const lines = new YAML.LineCounter();
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const failed = (finding: Finding): SiteDocument => ({
    value: undefined,
    findings: [finding],
    lineOf: () => null,
  });
  try {
    const documents = YAML.parseAllDocuments(text, {
      lineCounter: lines,
      merge: true,
      prettyErrors: false,
      stringKeys: true,
      logLevel: "silent",
    });
    const [first, second] = Array.isArray(documents) ? documents : [];
    if (first === undefined || first.contents === null) {
      return failed({
        path: [],
        message: "the file is empty",
        fix: start,
      });
    }
    const root = first.contents;
    const findings: Array<Finding> = [...first.errors, ...first.warnings].map((error) =>
      syntaxFinding(error, lineAt(error.pos[0]), pathAt(root, error.pos[0])),
    );
    if (second !== undefined) {
      findings.push({
        path: [],
        line: lineAt(second.range[0]),
        message: "a second YAML document begins here; a site file holds one",
        fix: "remove the line `---` and what follows, or put it in a file of its own",
      });
    }
    const lineOf = (path: Path, atKey = false): number => lineAt(offsetOf(root, path, atKey));
    return {
      value: findings.length > 0 ? undefined : first.toJS({ maxAliasCount: aliasCountMax }),
      findings,
      lineOf,
    };
  } catch (error) {
    // The parser's own limits: aliases of aliases, nesting deeper than the stack. Its messages may quote the file.
    return failed({
      path: [],
      message:
        error instanceof ReferenceError
          ? "an alias (*name) has no anchor (&name) before it, or aliases multiply beyond measure"
          : "nested too deeply to be read",
      fix: "write it out plainly",
    });
  }
}

const fixes: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "keep one of the two, or give them different names",
  TAB_AS_INDENT: "indent with spaces",
  BAD_INDENT: "line it up with its neighbours, with spaces",
  TAG_RESOLVE_FAILED: "put text that begins with ! in quotes; tags are not used in a site file",
  BAD_SCALAR_START: "put the text in single quotes",
  BAD_DQ_ESCAPE: "use single quotes, in which a backslash is just a backslash",
  NON_STRING_KEY: "use a plain word as key",
};
/** Parser messages that quote the file, and with it perhaps a secret, after the first colon. */
const quoting = new Set([
  "TAG_RESOLVE_FAILED",
  "UNEXPECTED_TOKEN",
  "BAD_ALIAS",
  "BAD_DIRECTIVE",
  "RESOURCE_EXHAUSTION",
]);

function syntaxFinding(error: YAML.YAMLParseError | YAML.YAMLWarning, line: number, path: Path): Finding {
  if (error.code === "DUPLICATE_KEY") {
    return { path, line, value: null, message: "this key is here twice", fix: fixes["DUPLICATE_KEY"] ?? "" };
  }
  const said = quoting.has(error.code) ? (error.message.split(":")[0] ?? "") : error.message;
  const message = error.code === "BAD_DQ_ESCAPE" ? "this backslash escape does not exist" : said;
  return {
    path: [],
    line,
    value: null,
    message: `not YAML: ${message}`,
    fix:
      fixes[error.code] ??
      "put text that holds any of : # { } [ ] , & * ! | > ' \" % @ ` in single quotes, and check the line above",
  };
}

function inner(node: unknown, root: YAML.ParsedNode): unknown {
  return YAML.isAlias(node) ? anchored(root, node.source) : node;
}

function anchored(root: YAML.ParsedNode, anchor: string): unknown {
  let found: unknown = null;
  YAML.visit(root, {
    Value(_key, node) {
      if (node.anchor !== anchor) return undefined;
      found = node;
      return YAML.visit.BREAK;
    },
  });
  return found;
}

function pairOf(map: YAML.YAMLMap, name: string, root: YAML.ParsedNode, depth: number): YAML.Pair | null {
  for (const pair of map.items) if (YAML.isScalar(pair.key) && String(pair.key.value) === name) return pair;
  // Keys merged in by `<<: *anchor` stand where the anchor is.
  for (const pair of map.items) {
    if (depth === 0 || !YAML.isScalar(pair.key) || pair.key.source !== "<<") continue;
    const sources = YAML.isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const source of sources) {
      const merged = inner(source, root);
      const found = YAML.isMap(merged) ? pairOf(merged, name, root, depth - 1) : null;
      if (found !== null) return found;
    }
  }
  return null;
}

function offsetOf(root: YAML.ParsedNode, path: Path, atKey: boolean): number {
  let node: unknown = root;
  let offset = root.range[0];
  for (const [index, part] of path.entries()) {
    const here = inner(node, root);
    const last = index === path.length - 1;
    if (YAML.isMap(here)) {
      const pair = pairOf(here, String(part), root, 4);
      if (pair === null) return offset;
      const start = last && !atKey ? (startOf(pair.value) ?? startOf(pair.key)) : startOf(pair.key);
      offset = start ?? offset;
      node = pair.value;
    } else if (YAML.isSeq(here) && typeof part === "number") {
      node = here.items[part];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function startOf(node: unknown): number | null {
  return YAML.isNode(node) && node.range ? node.range[0] : null;
}

/** The path of the key or value that begins at `offset`; [] when none does. */
function pathAt(root: YAML.ParsedNode, offset: number): Path {
  let found: Path = [];
  const walk = (node: unknown, path: Path): boolean => {
    const items = YAML.isCollection(node) ? node.items : [];
    for (const [index, item] of items.entries()) {
      const key: unknown = YAML.isPair(item) ? item.key : null;
      const value: unknown = YAML.isPair(item) ? item.value : item;
      const here: Path = [...path, YAML.isScalar(key) ? String(key.value) : index];
      if (startOf(key) === offset || startOf(value) === offset) {
        found = here;
        return true;
      }
      if (walk(value, here)) return true;
    }
    return false;
  };
  walk(root, []);
  return found;
}
