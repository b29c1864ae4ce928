/**
 * What each named group of a pattern holds by itself: `^cam_(?<level>l\d)_(?<descriptor>[a-z-]+)$` has `level` of `l\d`. So a word can be
 * asked after before any name has been seen. A group whose text refers to what stands around it (a look-around, a back-reference) says
 * nothing by itself and is left out.
 */
export function groupPatterns(pattern: RegExp): ReadonlyMap<string, RegExp> {
  const found = new Map<string, Array<string>>();
  for (const { name, body } of groupsOf(pattern)) {
    const bodies = found.get(name);
    if (bodies === undefined) found.set(name, [body]);
    else bodies.push(body);
  }
  const flags = pattern.flags.replaceAll(/[gy]/g, "");
  const patterns = new Map<string, RegExp>();
  for (const [name, bodies] of found) {
    if (bodies.some((body) => refersAround.test(body))) continue;
    // A name may stand in several alternatives: the word is of one of them.
    patterns.set(name, new RegExp(`^(?:${bodies.map((body) => `(?:${body})`).join("|")})$`, flags));
  }
  return patterns;
}

/** Also finds what is only spelled like one, in a class say: such a group is then not asked, which refuses nothing. */
const refersAround = /\(\?<?[=!]|\\[1-9]|\\k<|\\[bB]/;

function* groupsOf({
  source,
  unicodeSets,
}: RegExp): Generator<{ readonly name: string; readonly body: string }> {
  const open: Array<{ readonly name: string | null; readonly from: number }> = [];
  let classes = 0;
  for (let i = 0; i < source.length; i++) {
    const char = source[i];
    if (char === "\\") i++;
    else if (char === "[") classes = unicodeSets ? classes + 1 : 1;
    else if (classes > 0) classes -= char === "]" ? 1 : 0;
    else if (char === "(") {
      const name = /^\(\?<([^=!>][^>]*)>/.exec(source.slice(i))?.[1] ?? null;
      open.push({ name, from: name === null ? i + 1 : i + name.length + 4 });
    } else if (char === ")") {
      const group = open.pop();
      if (group !== undefined && group.name !== null)
        yield { name: group.name, body: source.slice(group.from, i) };
    }
  }
}
