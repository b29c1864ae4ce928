/** Variables and locals: what is used is declared and the other way round, and files of variables give exactly what jobs declare. */
import { didYouMean } from "../../src/config/nearMiss.ts";
import type { Value } from "./expression.ts";
import { isList } from "./expression.ts";
import type { HclAttribute, HclBody } from "./hclTree.ts";
import { readTree } from "./hclTree.ts";
import type { Refusal } from "./refusal.ts";

export interface Type {
  readonly name: string;
  readonly line: number;
  /** Of an object. */
  readonly fields: ReadonlyMap<string, Type>;
  /** Of a list or a map. */
  readonly of: Type | null;
}

export interface Declared {
  readonly line: number;
  readonly type: Type;
  readonly hasDefault: boolean;
}

/** From the text of `type = …`, which begins on this line. */
function typeOf(text: string, line: number): Type {
  const [, name = text, inner = ""] = /^(\w+)(?:\(([\s\S]*)\))?$/.exec(text.trim()) ?? [];
  if (name !== "object") {
    const of = inner === "" ? null : typeOf(inner, line);
    return { name, line, fields: new Map(), of };
  }
  const fields =
    readTree(`type = ${inner.trim()}`).attributes.get("type")?.fields ?? new Map<string, HclAttribute>();
  const typed = [...fields].map(
    ([field, { text: of, line: below }]) => [field, typeOf(of, line + below - 1)] as const,
  );
  return { name, line, fields: new Map(typed), of: null };
}

export function declaredIn(tree: HclBody): ReadonlyMap<string, Declared> {
  return new Map(
    tree.blocks
      .filter(({ type }) => type === "variable")
      .map(({ labels, line, body }) => {
        const type = body.attributes.get("type");
        return [
          labels[0] ?? "",
          {
            line,
            type: typeOf(type?.text ?? "any", type?.line ?? line),
            hasDefault: body.attributes.has("default"),
          },
        ] as const;
      }),
  );
}

interface Use {
  readonly path: ReadonlyArray<string>;
  readonly line: number;
}

function usesIn(body: HclBody, isDeclaration: boolean): ReadonlyArray<Use> {
  const own = [...body.attributes.values()].flatMap(({ text, line }) =>
    [...text.matchAll(/(?<![\w."/-])(var|local)((?:\.[A-Za-z_]\w*)+)/g)].map((found) => ({
      path: [found[1] ?? "", ...(found[2] ?? "").slice(1).split(".")],
      line: line + text.slice(0, found.index).split("\n").length - 1,
    })),
  );
  return [
    ...(isDeclaration ? [] : own),
    ...body.blocks.flatMap((block) => usesIn(block.body, block.type === "variable")),
  ];
}

export function variableFaults(file: string, tree: HclBody): ReadonlyArray<Refusal> {
  const faults: Array<Refusal> = [];
  const refuse = (line: number, message: string): void => void faults.push({ file, line, message });
  const declared = declaredIn(tree);
  const locals = new Map(
    tree.blocks.filter(({ type }) => type === "locals").flatMap(({ body }) => [...body.attributes]),
  );
  const uses = usesIn(tree, false);
  for (const { path, line } of uses) {
    const [kind, name = "", field] = path;
    const known = kind === "var" ? declared : locals;
    if (!known.has(name)) {
      refuse(line, `${kind ?? ""}.${name} is not declared${didYouMean(name, known.keys())}`);
      continue;
    }
    const fields = kind === "var" ? declared.get(name)?.type.fields : undefined;
    if (fields === undefined || field === undefined || fields.size === 0 || fields.has(field)) continue;
    refuse(line, `var.${name} has no field ${field}${didYouMean(field, fields.keys())}`);
  }
  const isUsed = (...path: ReadonlyArray<string>): boolean =>
    uses.some((use) => path.every((part, index) => use.path[index] === part));
  for (const [name, { line }] of locals)
    if (!isUsed("local", name)) refuse(line, `local ${name} is not used`);
  for (const [name, { line, type }] of declared) {
    if (!isUsed("var", name)) refuse(line, `variable ${name} is not used`);
    else
      for (const [field, below] of type.fields) {
        if (!isUsed("var", name, field)) refuse(below.line, `field ${field} of variable ${name} is not used`);
      }
  }
  return faults;
}

/** What is wrong with a value where this type is declared; null for nothing. */
export function typeFault(type: Type, value: Value | undefined): string | null {
  switch (type.name) {
    case "string":
    case "number":
      return typeof value === type.name ? null : `must be a ${type.name}`;
    case "bool":
      return typeof value === "boolean" ? null : "must be true or false";
    case "list":
      return isList(value) ? firstFault(type.of, value) : "must be a list";
    case "map":
      return typeof value === "object" && value !== null && !isList(value)
        ? firstFault(type.of, Object.values(value))
        : "must be an object";
    case "object": {
      if (typeof value !== "object" || value === null || isList(value)) return "must be an object";
      const given = value as Readonly<Record<string, Value>>;
      for (const [name, below] of type.fields) {
        const fault = name in given ? typeFault(below, given[name]) : "is missing";
        if (fault !== null) return `${name} ${fault}`;
      }
      return null;
    }
    default:
      return null;
  }
}

function firstFault(type: Type | null, values: ReadonlyArray<Value>): string | null {
  return type === null
    ? null
    : (values.map((value) => typeFault(type, value)).find((fault) => fault !== null) ?? null);
}
