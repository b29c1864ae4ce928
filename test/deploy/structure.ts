/** Blocks and attributes of a file against the levels of jobspec.ts: what stands where it may not, and what is missing. */
import { didYouMean } from "../../src/config/nearMiss.ts";
import type { HclBlock, HclBody } from "./hclTree.ts";
import type { Value } from "./expression.ts";
import type { Level } from "./jobspec.ts";
import { dynamicLevel, levels } from "./jobspec.ts";
import type { Refusal } from "./refusal.ts";

export function levelOf(name: string): Level {
  const found = levels[name];
  if (found === undefined) throw new Error(`no level ${name}`);
  return found;
}

/** `at` is the line of the block that the body is of. */
export function structureFaults(
  file: string,
  body: HclBody,
  level: Level,
  at: number,
): ReadonlyArray<Refusal> {
  if (level.open) return [];
  const faults: Array<Refusal> = [];
  const refuse = (line: number, message: string): void => void faults.push({ file, line, message });
  const known = [...Object.keys(level.attributes), ...Object.keys(level.blocks)];
  for (const [name, { line }] of body.attributes) {
    if (Object.hasOwn(level.attributes, name)) continue;
    const how = Object.hasOwn(level.blocks, name) ? "is a block, not an attribute" : "is no attribute here";
    refuse(line, `${name} ${how}${didYouMean(name, known)}`);
  }
  const seen = new Map<string, number>();
  for (const block of body.blocks) {
    const type = block.type === "dynamic" ? (block.labels[0] ?? "") : block.type;
    const below = Object.hasOwn(level.blocks, type) ? level.blocks[type] : undefined;
    if (below === undefined) {
      const how = Object.hasOwn(level.attributes, type) ? "is an attribute, not a block" : "is no block here";
      refuse(block.line, `${type} ${how}${didYouMean(type, known)}`);
      continue;
    }
    const count = (seen.get(type) ?? 0) + (block.type === "dynamic" ? 0 : 1);
    seen.set(type, count);
    if (below.once && count > 1) refuse(block.line, `a second ${type} block`);
    faults.push(...blockFaults(file, block, levelOf(below.level)));
  }
  for (const name of level.required) {
    if (body.attributes.has(name) || body.blocks.some((block) => isOf(block, name))) continue;
    refuse(at, `has no ${name}`);
  }
  return faults;
}

const isOf = ({ type, labels }: HclBlock, name: string): boolean =>
  type === name || (type === "dynamic" && labels[0] === name);

function blockFaults(file: string, block: HclBlock, level: Level): ReadonlyArray<Refusal> {
  if (block.type !== "dynamic") {
    const { labels, line, type } = block;
    const wrong = labels.length !== level.labels;
    return [
      ...(wrong ? [{ file, line, message: `${type} has ${level.labels} labels, not ${labels.length}` }] : []),
      ...structureFaults(file, block.body, level, line),
    ];
  }
  const labelled = block.body.attributes.get("labels");
  const wrong = (labelled !== undefined) !== level.labels > 0;
  return [
    ...structureFaults(file, block.body, dynamicLevel, block.line),
    ...(wrong
      ? [
          {
            file,
            line: labelled?.line ?? block.line,
            message: `a dynamic ${block.labels[0] ?? ""} has ${level.labels} labels`,
          },
        ]
      : []),
    ...block.body.blocks
      .filter(({ type }) => type === "content")
      .flatMap(({ body, line }) => structureFaults(file, body, level, line)),
  ];
}

const duration = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/;

/** What is wrong with a value of this kind; null for nothing. */
export function kindFault(kind: string, value: Value): string | null {
  const isWrong = (is: boolean, words: string): string | null =>
    is ? null : `must be ${words}, not ${JSON.stringify(value)}`;
  switch (kind) {
    case "any":
      return null;
    case "text":
      return isWrong(typeof value === "string", "text");
    case "number":
      return isWrong(typeof value === "number", "a number");
    case "flag":
      return isWrong(typeof value === "boolean", "true or false");
    case "duration":
      return isWrong(typeof value === "string" && duration.test(value), "a duration as 30s");
    case "texts":
      return isWrong(
        Array.isArray(value) && value.every((each) => typeof each === "string"),
        "a list of texts",
      );
    case "map":
      return isWrong(typeof value === "object" && value !== null, "an object");
    default:
      return isWrong(
        typeof value === "string" && kind.split("|").includes(value),
        `one of ${kind.replaceAll("|", ", ")}${didYouMean(typeof value === "string" ? value : "", kind.split("|"))}`,
      );
  }
}
