/**
 * Whether two accept patterns can be seen to have no key in common. Deciding it for all patterns would take an automaton
 * that knows look-arounds; what people write to split a bucket is an ending or a beginning, and those are read here.
 * False means "not seen", never "they overlap".
 */

/** A key ends (begins) with `text`, and `not` does not stand before (after) it. */
interface Edge {
  readonly text: string;
  readonly not: string;
}

const edgesMax = 64;
const literal = String.raw`(?:\\[^a-zA-Z0-9]|[^\\^$.*+?()[\]{}|])`;
const choice = String.raw`\((?:\?:)?(?:${literal})*(?:\|(?:${literal})*)*\)`;
const endPattern = new RegExp(String.raw`(?:\(\?<!((?:${literal})+)\))?((?:${literal}|${choice})+)\$$`, "u");
const beginPattern = new RegExp(String.raw`^\^((?:${literal}|${choice})+)(?:\(\?!((?:${literal})+)\))?`, "u");

export function provenDisjoint(a: RegExp, b: RegExp): boolean {
  return (
    apart(endings(a.source), endings(b.source), (long, short) => long.endsWith(short)) ||
    apart(beginnings(a.source), beginnings(b.source), (long, short) => long.startsWith(short))
  );
}

function apart(
  a: ReadonlyArray<Edge>,
  b: ReadonlyArray<Edge>,
  covers: (long: string, short: string) => boolean,
): boolean {
  // No edge known: the pattern may match anywhere.
  if (a.length === 0 || b.length === 0) return false;
  return a.every((x) => b.every((y) => edgesApart(x, y, covers) || edgesApart(y, x, covers)));
}

/** Seen from the shorter edge `short`: the longer does not contain it, or contains it only after what `short` excludes. */
function edgesApart(short: Edge, long: Edge, covers: (long: string, short: string) => boolean): boolean {
  if (!covers(long.text, short.text)) return !covers(short.text, long.text);
  return short.not !== "" && covers(long.text, short.not);
}

/** The literal endings of a pattern, one of which each match has; none when they cannot be read. */
function endings(source: string): ReadonlyArray<Edge> {
  if (hasTopLevelChoice(source)) return [];
  const match = endPattern.exec(source);
  if (match === null || insideClassOrEscape(source, match.index)) return [];
  const not = plain(match[1] ?? "");
  return expand(match[2] ?? "").map((text) => ({ text, not: not === "" ? "" : not + text }));
}

function beginnings(source: string): ReadonlyArray<Edge> {
  if (hasTopLevelChoice(source)) return [];
  const match = beginPattern.exec(source);
  if (match === null) return [];
  // A quantifier after the last literal makes that literal optional or repeated: it is no part of the edge.
  const after = source.slice(match[0].length);
  if (/^[*+?{]/.test(after)) return [];
  const not = plain(match[2] ?? "");
  return expand(match[1] ?? "").map((text) => ({ text, not: not === "" ? "" : text + not }));
}

/** An alternation outside of any group: the edge read would belong to one branch only. */
function hasTopLevelChoice(source: string): boolean {
  let depth = 0;
  let inClass = false;
  for (let i = 0; i < source.length; i++) {
    const c = source[i];
    if (c === "\\") i++;
    else if (inClass) inClass = c !== "]";
    else if (c === "[") inClass = true;
    else if (c === "(") depth++;
    else if (c === ")") depth--;
    else if (c === "|" && depth === 0) return true;
  }
  return false;
}

/** Whether the edge at `index` begins inside a character class or an escape, where its text is not what it seems. */
function insideClassOrEscape(source: string, index: number): boolean {
  let inClass = false;
  for (let i = 0; i < index; i++) {
    const c = source[i];
    if (c === "\\") {
      i++;
      if (i >= index) return true;
    } else if (inClass) inClass = c !== "]";
    else if (c === "[") inClass = true;
  }
  return inClass;
}

/** `\.(fits|fz)` → `.fits`, `.fz`. */
function expand(source: string): ReadonlyArray<string> {
  let texts = [""];
  for (const part of source.matchAll(new RegExp(`${choice}|${literal}`, "gu"))) {
    const options = part[0].startsWith("(")
      ? splitChoice(part[0].replace(/^\((?:\?:)?/, "").slice(0, -1))
      : [part[0]];
    texts = texts.flatMap((text) => options.map((option) => text + plain(option)));
    if (texts.length > edgesMax) return [];
  }
  return texts;
}

function splitChoice(source: string): ReadonlyArray<string> {
  const options: Array<string> = [];
  let from = 0;
  for (let i = 0; i < source.length; i++) {
    if (source[i] === "\\") i++;
    else if (source[i] === "|") {
      options.push(source.slice(from, i));
      from = i + 1;
    }
  }
  return [...options, source.slice(from)];
}

function plain(source: string): string {
  return source.replaceAll(/\\(.)/gsu, "$1");
}
