/** Decodes the plain value of a site file by its schema and says, for each thing refused, where, what and how to mend it. */
import * as Exit from "effect/Exit";
import * as Schema from "effect/Schema";
import type * as SchemaAST from "effect/SchemaAST";
import type * as SchemaIssue from "effect/SchemaIssue";
import { didYouMean, nearMiss } from "./nearMiss.ts";
import type { Finding } from "./document.ts";
import type { Path } from "./SiteFileError.ts";
import { SiteSchema, supernodeRoles } from "./SiteSchema.ts";
import type { SiteFile } from "./SiteSchema.ts";

export type Decoded<A> =
  | { readonly ok: true; readonly file: A }
  | { readonly ok: false; readonly findings: ReadonlyArray<Finding> };

const seeSiteFile = "see docs/site-file.md";

/** A decoder of one form of YAML file. `docs` is where its keys are described: the fix of what has no better one. */
export function decoderOf<S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  docs: string,
): (value: unknown) => Decoded<S["Type"]> {
  const decode = Schema.decodeUnknownExit(schema, {
    errors: "all",
    onExcessProperty: "error",
    reportInput: true,
  });
  return (value) => {
    const exit = decode(value);
    if (Exit.isSuccess(exit)) return { ok: true, file: exit.value };
    const findings = exit.cause.reasons.flatMap((reason) =>
      reason._tag === "Fail" ? findingsOf(reason.error.issue, []) : [],
    );
    if (findings.length === 0)
      throw new Error("a file was refused without a reason: a defect of its schema", { cause: exit.cause });
    const fixed = findings.map((finding) =>
      finding.fix === seeSiteFile ? { ...finding, fix: `see ${docs}` } : finding,
    );
    return { ok: false, findings: distinct(fixed) };
  };
}

const decodeFilled = decoderOf(SiteSchema, "docs/site-file.md");

export const decodeSiteFile = (value: unknown): Decoded<SiteFile> => decodeFilled(asSiteFile(value));

/** A supernode has other roles, and no lanes to write down. What it may not have `rules/supernode.ts` says. */
function asSiteFile(value: unknown): unknown {
  if (!isRecord(value) || value["supernode"] !== true) return value;
  const { node = {}, lanes = {} } = value;
  return { ...value, lanes, node: isRecord(node) ? { roles: [...supernodeRoles], ...node } : node };
}

/** 0.5 is neither whole nor within bounds, and both checks say the same of it. */
function distinct(findings: ReadonlyArray<Finding>): ReadonlyArray<Finding> {
  const byText = new Map(
    findings.map((finding) => [JSON.stringify([finding.path, finding.message]), finding]),
  );
  return [...byText.values()];
}

function findingsOf(issue: SchemaIssue.Issue, path: Path): ReadonlyArray<Finding> {
  switch (issue._tag) {
    case "Pointer":
      return findingsOf(issue.issue, [...path, ...issue.path.map(pathPart)]);
    case "Composite":
      return issue.issues.flatMap((inner) => findingsOf(inner, path));
    case "Filter": {
      const message = text(issue.filter.annotations, "message");
      if (message === null) return findingsOf(issue.issue, path);
      return [{ path, message, fix: text(issue.filter.annotations, "fix") ?? seeSiteFile }];
    }
    case "Encoding":
      return findingsOf(issue.issue, path);
    case "UnexpectedKey":
      return [unexpectedKey(issue, path)];
    case "MissingKey":
      return [{ path, value: null, message: "is missing", fix: `add it: ${String(path.at(-1))}: …` }];
    case "InvalidType":
      return [mismatch(issue.ast, issue.input, path)];
    case "InvalidValue":
      return [
        {
          path,
          message: text(issue.annotations, "message") ?? "is not allowed here",
          fix: text(issue.annotations, "fix") ?? seeSiteFile,
        },
      ];
    case "AnyOf":
      return anyOf(issue, path);
    default:
      return [{ path, message: "is not allowed here", fix: seeSiteFile }];
  }
}

/** A union with a member that came near (told by its literal `driver`, `type`) reports that member's faults. */
function anyOf(issue: SchemaIssue.AnyOf, path: Path): ReadonlyArray<Finding> {
  const [near] = issue.issues;
  if (near !== undefined) return findingsOf(near, path);
  const tag = discriminator(issue.ast);
  if (tag === null || !isRecord(issue.input)) return [mismatch(issue.ast, issue.input, path)];
  const given = issue.input[tag.name];
  const known = tag.values.join(", ");
  if (given === undefined) {
    return [
      { path, value: null, message: `${tag.name} is missing`, fix: `add it: ${tag.name}: one of ${known}` },
    ];
  }
  return [
    {
      path: [...path, tag.name],
      message: `must be one of ${known}${typeof given === "string" ? didYouMean(given, tag.values) : ""}`,
      fix: `write one of ${known}`,
    },
  ];
}

function unexpectedKey(issue: SchemaIssue.UnexpectedKey, path: Path): Finding {
  const key = String(path.at(-1));
  const known = issue.ast._tag === "Objects" ? issue.ast.propertySignatures.map((p) => String(p.name)) : [];
  const near = nearMiss(key, known);
  return {
    path,
    atKey: true,
    // What was meant is unknown, so it may be a secret.
    value: null,
    message: near === null ? "unknown key" : `unknown key: did you mean "${near}"?`,
    fix: near === null ? `remove it; known here: ${known.join(", ")}` : `rename it to ${near}`,
  };
}

function mismatch(ast: SchemaAST.AST, input: unknown, path: Path): Finding {
  const expected = expectation(ast);
  const literals = ast._tag === "Union" ? ast.types.flatMap(literalOf) : literalOf(ast);
  const hint = typeof input === "string" ? didYouMean(input, literals) : "";
  if (input === null) {
    return {
      path,
      value: null,
      message: `is empty; expected ${expected}`,
      fix: "write a value or remove the key",
    };
  }
  return {
    path,
    message: `expected ${expected}, got ${kindOf(input)}${hint}`,
    fix: hintOf(ast) ?? (literals.length > 0 ? `write one of ${literals.join(", ")}` : `write ${expected}`),
    // Where a section was wanted a lone text may be anything, a secret too.
    ...(ast._tag === "Objects" ? { value: null } : {}),
  };
}

function expectation(ast: SchemaAST.AST): string {
  const said = text(ast.annotations, "expected");
  if (said !== null) return said;
  switch (ast._tag) {
    case "String":
      return "text";
    case "Number":
      return text(ast.checks?.[0]?.annotations, "expected") ?? "a number";
    case "Boolean":
      return "true or false";
    case "Arrays":
      return "a list";
    case "Objects":
      return "a section (key: value lines)";
    case "Null":
      return "nothing (null)";
    case "Literal":
      return String(ast.literal);
    case "Union": {
      const literals = ast.types.flatMap(literalOf);
      if (literals.length === ast.types.length) return `one of ${literals.join(", ")}`;
      return [...new Set(ast.types.map(expectation))].join(" or ");
    }
    default:
      return "another value";
  }
}

/** The fix that the schema gives for a value of the wrong type, be it on the union or on the one member that says one. */
function hintOf(ast: SchemaAST.AST): string | null {
  const own = text(ast.annotations, "fix") ?? text(ast.checks?.at(-1)?.annotations, "fix");
  if (own !== null || ast._tag !== "Union") return own;
  for (const member of ast.types) {
    const hint = hintOf(encodedOf(member));
    if (hint !== null) return hint;
  }
  return null;
}

function encodedOf(ast: SchemaAST.AST): SchemaAST.AST {
  return ast.encoding?.[0]?.to ?? ast;
}

function literalOf(ast: SchemaAST.AST): ReadonlyArray<string> {
  return ast._tag === "Literal" ? [String(ast.literal)] : [];
}

/** The key whose literal values tell the members of a union apart; null when there is none. */
function discriminator(
  ast: SchemaAST.Union,
): { readonly name: string; readonly values: ReadonlyArray<string> } | null {
  const tags = ast.types.flatMap((member) => {
    const property = member._tag === "Objects" ? member.propertySignatures[0] : undefined;
    return property !== undefined && property.type._tag === "Literal"
      ? [{ name: String(property.name), value: String(property.type.literal) }]
      : [];
  });
  const [first] = tags;
  if (first === undefined || tags.some((tag) => tag.name !== first.name)) return null;
  return { name: first.name, values: tags.map((tag) => tag.value) };
}

function pathPart(part: PropertyKey): string | number {
  return typeof part === "symbol" ? String(part) : part;
}

function text(annotations: Readonly<Record<string, unknown>> | undefined, key: string): string | null {
  const value = annotations?.[key];
  return typeof value === "string" ? value : null;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (isRecord(value)) return "a section";
  if (typeof value === "string") return "text";
  if (typeof value === "number") return "a number";
  return typeof value === "boolean" ? "true or false" : "something else";
}
