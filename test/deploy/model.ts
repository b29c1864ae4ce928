/** A job file as Nomad would have it with certain files of variables: dynamic blocks written out, values resolved where they can be. */
import { evaluate, isList, Unknown } from "./expression.ts";
import type { Functions, Scope, Value } from "./expression.ts";
import type { HclBlock, HclBody } from "./hclTree.ts";
import type { Refusal } from "./refusal.ts";

export interface Setting {
  readonly line: number;
  /** Undefined where it is not to be known before Nomad runs it. */
  readonly value: Value | undefined;
}

export interface Block {
  readonly type: string;
  readonly labels: ReadonlyArray<string>;
  readonly file: string;
  readonly line: number;
  readonly settings: ReadonlyMap<string, Setting>;
  readonly blocks: ReadonlyArray<Block>;
}

type Json = Readonly<Record<string, unknown>>;

const isJson = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Of a block's occurrences under one path, in the order in which they stand in the file. */
function occurrence(json: Json, { type, labels }: HclBlock, index: number): Json {
  let here: unknown = json[type];
  for (const label of labels) here = isJson(here) ? here[label] : undefined;
  const found: unknown = Array.isArray(here) ? here[index] : undefined;
  if (!isJson(found)) throw new Error(`${type} ${labels.join(" ")}: the parsers differ`);
  return found;
}

export class Modeller {
  readonly #file: string;
  readonly #functions: Functions;
  readonly faults: Array<Refusal> = [];

  constructor(file: string, functions: Functions) {
    this.#file = file;
    this.#functions = functions;
  }

  /** The job's own block, or null where there is none. */
  async job(tree: HclBody, json: Json, variables: Scope): Promise<Block | null> {
    const locals = await this.#locals(tree, json, variables);
    const scope = { var: variables, local: locals };
    const found = tree.blocks.find(({ type }) => type === "job");
    return found === undefined ? null : this.#block(found, occurrence(json, found, 0), scope);
  }

  /** Locals may use each other, in any order. */
  async #locals(tree: HclBody, json: Json, variables: Scope): Promise<Scope> {
    const known: Record<string, Value> = {};
    const blocks = tree.blocks.filter(({ type }) => type === "locals");
    const left = new Map(
      blocks.flatMap((block, index) => {
        const values = occurrence(json, block, index);
        return [...block.body.attributes].map(
          ([name, { line }]) => [name, { value: values[name], line }] as const,
        );
      }),
    );
    for (let before = -1; left.size > 0 && left.size !== before;) {
      before = left.size;
      for (const [name, { value }] of left) {
        try {
          known[name] = await evaluate(value, { var: variables, local: known }, this.#functions);
          left.delete(name);
        } catch (cause) {
          if (!(cause instanceof Unknown)) throw cause;
        }
      }
    }
    for (const [name, { line }] of left) this.#refuse(line, `local ${name} cannot be resolved`);
    return known;
  }

  async #block(block: HclBlock, json: Json, scope: Scope): Promise<Block> {
    const { type, labels, line, body } = block;
    const settings = new Map<string, Setting>();
    for (const [name, attribute] of body.attributes) {
      settings.set(name, {
        line: attribute.line,
        value: await this.#value(json[name], attribute.line, name, scope),
      });
    }
    const blocks: Array<Block> = [];
    const counts = new Map<string, number>();
    for (const child of body.blocks) {
      const key = [child.type, ...child.labels].join(" ");
      const index = counts.get(key) ?? 0;
      counts.set(key, index + 1);
      const below = occurrence(json, child, index);
      if (child.type === "dynamic") blocks.push(...(await this.#expand(child, below, scope)));
      else blocks.push(await this.#block(child, below, scope));
    }
    return { type, labels, file: this.#file, line, settings, blocks };
  }

  async #expand(block: HclBlock, json: Json, scope: Scope): Promise<ReadonlyArray<Block>> {
    const [type = ""] = block.labels;
    const content = block.body.blocks.find((child) => child.type === "content");
    const iterator = typeof json["iterator"] === "string" ? json["iterator"] : type;
    const each = await this.#value(json["for_each"], block.line, "for_each", scope);
    if (content === undefined || typeof each !== "object" || each === null) {
      this.#refuse(block.line, `cannot tell how many ${type} blocks this makes`);
      return [];
    }
    const entries: ReadonlyArray<readonly [Value, Value]> = isList(each)
      ? [...each.entries()]
      : Object.entries(each);
    const below = occurrence(json, content, 0);
    return Promise.all(
      entries.map(async ([key, value]) => {
        const inner = { ...scope, [iterator]: { key, value } };
        const labels = (await this.#value(json["labels"] ?? [], block.line, "labels", inner)) ?? [];
        const made = await this.#block(content, below, inner);
        return { ...made, type, labels: isList(labels) ? labels.map(String) : [], line: block.line };
      }),
    );
  }

  async #value(value: unknown, line: number, name: string, scope: Scope): Promise<Value | undefined> {
    try {
      return await evaluate(value, scope, this.#functions);
    } catch (cause) {
      if (!(cause instanceof Unknown)) throw cause;
      this.#refuse(line, `${name} cannot be resolved: ${cause.message}`);
      return undefined;
    }
  }

  #refuse(line: number, message: string): void {
    this.faults.push({ file: this.#file, line, message });
  }
}

export const settingOf = (block: Block, name: string): Value | undefined => block.settings.get(name)?.value;

export const textOf = (block: Block, name: string): string => {
  const value = settingOf(block, name);
  return typeof value === "string" ? value : "";
};

export const numberOf = (block: Block, name: string): number | null => {
  const value = settingOf(block, name);
  return typeof value === "number" ? value : null;
};

export const lineOf = (block: Block, name: string): number => block.settings.get(name)?.line ?? block.line;

export const childrenOf = (block: Block, type: string): ReadonlyArray<Block> =>
  block.blocks.filter((child) => child.type === type);

/** All blocks of a type, however deep. */
export const within = (block: Block, type: string): ReadonlyArray<Block> => [
  ...childrenOf(block, type),
  ...block.blocks.flatMap((child) => within(child, type)),
];

/** Milliseconds of `1m30s`; null for what is no duration. */
export function durationOf(value: Value | undefined): number | null {
  if (typeof value !== "string") return null;
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.map(([all]) => all).join("") !== value || value === "") return null;
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ""] ?? 0), 0);
}
