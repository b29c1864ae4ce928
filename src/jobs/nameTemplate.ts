/**
 * Templates of names: `imap_{source}_{start}[-repoint{pointing:5}]_{version}.{extension}`. `{word:5}` is padded with zeros to five
 * characters; what stands in brackets is left out when a word within them is not known.
 */
export type Part =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "word"; readonly word: string; readonly width: number }
  | { readonly type: "maybe"; readonly parts: ReadonlyArray<Part> };

/** The words of a template, each once. Throws `TemplateFault` as {@link compileTemplate} does. */
export const wordsOf = (parts: ReadonlyArray<Part>): ReadonlySet<string> =>
  new Set(
    parts.flatMap((part) =>
      part.type === "maybe" ? [...wordsOf(part.parts)] : part.type === "word" ? [part.word] : [],
    ),
  );

/** What is wrong with a template, in words. */
export class TemplateFault extends Error {
  override readonly name = "TemplateFault";
}

/** Throws {@link TemplateFault}. */
export function compileTemplate(template: string): ReadonlyArray<Part> {
  const parts: Array<Part> = [];
  const token = /\{(\w+)(?::(\d{1,2}))?\}|\[([^[\]]*)\]|([^{}[\]]+)/gy;
  while (token.lastIndex < template.length) {
    const at = token.lastIndex;
    const found = token.exec(template);
    if (found === null) throw new TemplateFault(`cannot be read from "${template.slice(at)}" on`);
    const [, word, width, inner, text] = found;
    if (word !== undefined) parts.push({ type: "word", word, width: Number(width ?? 0) });
    else if (inner !== undefined) parts.push({ type: "maybe", parts: compileTemplate(inner) });
    else parts.push({ type: "text", text: text ?? "" });
  }
  return parts;
}

/** A word that is not known outside brackets is written `{word}`, which no good name holds. */
export function fill(parts: ReadonlyArray<Part>, say: (word: string) => string | null): string {
  let out = "";
  for (const part of parts) {
    if (part.type === "text") out += part.text;
    else if (part.type === "word") out += (say(part.word) ?? `{${part.word}}`).padStart(part.width, "0");
    else if ([...wordsOf(part.parts)].every((word) => say(word) !== null)) out += fill(part.parts, say);
  }
  return out;
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);

/** Reads back what a template wrote; its words then hold no slash. */
export function outlineOf(parts: ReadonlyArray<Part>): RegExp {
  const seen = new Set<string>();
  const source = parts.map((part): string => {
    if (part.type === "text") return escaped(part.text);
    if (part.type === "maybe") throw new TemplateFault("holds brackets, which a data set's name must not");
    if (seen.has(part.word)) throw new TemplateFault(`holds {${part.word}} twice`);
    seen.add(part.word);
    return `(?<${part.word}>[^/]+?)`;
  });
  return new RegExp(`^${source.join("")}$`, "u");
}

/** The words of a text that an outline was made for; null where it does not fit. */
export function fillOutline(
  outline: RegExp,
  text: string,
): Readonly<Record<string, string | undefined>> | null {
  const found = outline.exec(text);
  return found === null ? null : (found.groups ?? {});
}
