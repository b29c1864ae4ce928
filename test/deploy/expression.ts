/**
 * What an expression of a job file is worth, as far as that is known before Nomad runs it: parsed by HashiCorp's own parser. What
 * rests on things that only Nomad knows (`${NOMAD_ALLOC_ID}`, `${node.unique.name}`) stays as it is written, as there.
 */
import type { Ast } from "./hcl2json.ts";
import { getExpressionAst } from "./hcl2json.ts";

export type Value =
  | string
  | number
  | boolean
  | null
  | ReadonlyArray<Value>
  | { readonly [name: string]: Value };

/** Not to be known here: a function that this one does not know, a part that is not there. */
export class Unknown extends Error {}

export type Scope = Readonly<Record<string, Value>>;

export interface Functions {
  readonly file: (path: string) => string;
}

const isObject = (value: Value): value is Readonly<Record<string, Value>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const isList = (value: Value | undefined): value is ReadonlyArray<Value> => Array.isArray(value);

const asText = (value: Value): string => (typeof value === "object" ? JSON.stringify(value) : String(value));

export function fieldOf(value: Value, name: Value): Value {
  const found = isList(value) ? value[Number(name)] : isObject(value) ? value[asText(name)] : undefined;
  if (found === undefined) throw new Unknown(`there is no ${asText(name)}`);
  return found;
}

const asts = new Map<string, Promise<Ast | null>>();

function astOf(text: string): Promise<Ast | null> {
  const known = asts.get(text) ?? getExpressionAst("expression.hcl", text);
  asts.set(text, known);
  return known;
}

const wrapped = /^\$\{([\s\S]*)\}$/;

/** Resolves what hcl2json gives: an expression stands as `${…}` in a string, alone or among text. Throws {@link Unknown}. */
export async function evaluate(value: unknown, scope: Scope, functions: Functions): Promise<Value> {
  if (isList(value as Value)) {
    return Promise.all((value as ReadonlyArray<unknown>).map((each) => evaluate(each, scope, functions)));
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(async ([name, each]) => [
      (await evaluate(name, scope, functions)) as string,
      await evaluate(each, scope, functions),
    ]);
    return Object.fromEntries(await Promise.all(entries)) as Value;
  }
  if (typeof value !== "string") return value as Value;
  const parts = partsOf(value);
  const [only] = parts;
  if (parts.length === 1 && only !== undefined && wrapped.test(only)) return part(only, scope, functions);
  const texts = await Promise.all(
    parts.map(async (each) => (wrapped.test(each) ? asText(await part(each, scope, functions)) : each)),
  );
  return texts.join("");
}

/** Text and `${…}` in turn. */
function partsOf(text: string): ReadonlyArray<string> {
  const parts: Array<string> = [];
  let from = 0;
  for (let at = text.indexOf("${"); at !== -1; at = text.indexOf("${", from)) {
    if (text[at - 1] === "$") {
      parts.push(text.slice(from, at - 1), "${");
      from = at + 2;
      continue;
    }
    let depth = 0;
    let end = at + 1;
    do {
      if (text[end] === "{") depth++;
      else if (text[end] === "}") depth--;
      end++;
    } while (depth > 0 && end < text.length);
    parts.push(text.slice(from, at), text.slice(at, end));
    from = end;
  }
  parts.push(text.slice(from));
  return parts.filter((each) => each !== "");
}

async function part(text: string, scope: Scope, functions: Functions): Promise<Value> {
  const inner = wrapped.exec(text)?.[1] ?? "";
  const root = /^\s*([A-Za-z_]\w*)/.exec(inner)?.[1] ?? "";
  // What Nomad's parser leaves to the agent, in the same way.
  if (/^\s*[A-Za-z_][\w.]*\s*$/.test(inner) && !(root in scope) && !/^(?:true|false|null)$/.test(root))
    return text;
  const ast = await astOf(inner);
  if (ast === null) throw new Unknown(`no expression: ${inner}`);
  return worth(ast, scope, functions);
}

async function worth(ast: Ast, scope: Scope, functions: Functions): Promise<Value> {
  const { type, meta, children } = ast;
  const child = async (index: number): Promise<Value> => {
    const found = children[index];
    if (found === undefined) throw new Unknown(`${type} without its part ${index}`);
    return worth(found, scope, functions);
  };
  const all = (): Promise<ReadonlyArray<Value>> =>
    Promise.all(children.map((each) => worth(each, scope, functions)));
  switch (type) {
    case "scopeTraversal": {
      const names = (meta.traversal ?? []).map(({ segment }) => segment);
      // As in Nomad's parser: what it does not know it leaves to the agent.
      if (!Object.hasOwn(scope, names[0] ?? "")) return `\${${names.join(".")}}`;
      return names.reduce<Value>((value, name) => fieldOf(value, name), scope);
    }
    case "literalValue": {
      const text = meta.value;
      if (meta.type === "number") return Number(text);
      return meta.type === "bool" ? text === "true" : text;
    }
    case "template": {
      const texts = await all();
      return texts.map(asText).join("");
    }
    case "templateWrap":
    case "parentheses":
      return child(0);
    case "tuple":
      return all();
    case "index":
      return fieldOf(await child(0), await child(1));
    case "conditional":
      return (await child(0)) === true ? child(1) : child(2);
    case "binaryOp":
      return binary(meta.operator ?? "", await child(0), await child(1));
    case "for":
      return forEach(await child(0), meta.valVar ?? "", children[1], scope, functions);
    case "function":
      return call(meta.name ?? "", await all(), functions);
    default:
      throw new Unknown(`an expression of kind ${type}`);
  }
}

/** `[for name in collection : value]`; other forms of it are not known here. */
async function forEach(
  collection: Value,
  name: string,
  value: Ast | undefined,
  scope: Scope,
  functions: Functions,
): Promise<Value> {
  if (value === undefined || !isList(collection)) throw new Unknown("a for expression");
  return Promise.all(collection.map((each) => worth(value, { ...scope, [name]: each }, functions)));
}

function binary(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case "equal":
      return left === right;
    case "notEqual":
      return left !== right;
    case "logicalAnd":
      return left === true && right === true;
    case "logicalOr":
      return left === true || right === true;
    case "greaterThan":
      return Number(left) > Number(right);
    case "lessThan":
      return Number(left) < Number(right);
    default:
      throw new Unknown(`the operator ${operator}`);
  }
}

function call(name: string, given: ReadonlyArray<Value>, functions: Functions): Value {
  const [first = "", second = "", third = ""] = given;
  switch (name) {
    case "file":
      return functions.file(asText(first));
    case "replace":
      return asText(first).replaceAll(asText(second), asText(third));
    case "join":
      return isList(second) ? second.map(asText).join(asText(first)) : "";
    case "merge":
      return Object.assign({}, ...given.filter(isObject)) as Value;
    case "keys":
      return isObject(first) ? Object.keys(first) : [];
    case "values":
      return isObject(first) ? Object.values(first) : [];
    default:
      throw new Unknown(`the function ${name}`);
  }
}
