/**
 * Where things stand in an HCL file: HashiCorp's parser, as npm has it, gives values without positions. This one knows the structure
 * (blocks, attributes, the keys of object constructors) with lines, and leaves expressions alone; a file must have passed the
 * other first, so what cannot be read here is a fault of this parser and thrown.
 */

export interface HclAttribute {
  readonly line: number;
  /** Its expression's text. */
  readonly text: string;
  /** Of an object constructor its keys, each with its own line. */
  readonly fields: ReadonlyMap<string, HclAttribute>;
}

export interface HclBlock {
  readonly type: string;
  readonly labels: ReadonlyArray<string>;
  readonly line: number;
  readonly body: HclBody;
}

export interface HclBody {
  readonly attributes: ReadonlyMap<string, HclAttribute>;
  readonly blocks: ReadonlyArray<HclBlock>;
}

const word = /[A-Za-z_][\w-]*/y;
const opening = "([{";
const closing = ")]}";

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Up to the closing brace, or to the end of the file. */
  body(): HclBody {
    const attributes = new Map<string, HclAttribute>();
    const blocks: Array<HclBlock> = [];
    for (;;) {
      this.#blank(true);
      if (this.#at >= this.#text.length || this.#text[this.#at] === "}") return { attributes, blocks };
      const line = this.#line();
      const name = this.#word();
      this.#blank(false);
      if (this.#text[this.#at] === "=") {
        this.#at++;
        attributes.set(name, this.#expression(line, false));
        continue;
      }
      const labels: Array<string> = [];
      while (this.#text[this.#at] !== "{") {
        labels.push(this.#text[this.#at] === '"' ? this.#string().slice(1, -1) : this.#word());
        this.#blank(false);
      }
      this.#at++;
      const body = this.body();
      this.#expect("}");
      blocks.push({ type: name, labels, line, body });
    }
  }

  /** To the end of the line, where no bracket is open; in an object also to a comma or its end. */
  #expression(line: number, inObject: boolean): HclAttribute {
    this.#blank(false);
    const from = this.#at;
    const fields = this.#text[from] === "{" ? this.#object() : new Map<string, HclAttribute>();
    let depth = 0;
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] ?? "";
      if (depth === 0 && (char === "\n" || this.#comment())) break;
      if (depth === 0 && inObject && (char === "," || char === "}")) break;
      // A body on one line: `port "x" { static = 1 }`.
      if (depth === 0 && char === "}") break;
      if (char === '"') this.#string();
      else if (this.#comment()) this.#blank(true);
      else if (char === "<" && this.#heredoc()) break;
      else {
        if (opening.includes(char)) depth++;
        else if (closing.includes(char)) depth--;
        this.#at++;
      }
    }
    return { line, text: this.#text.slice(from, this.#at).trim(), fields };
  }

  /** An object constructor's keys; empty for a `for` expression. */
  #object(): Map<string, HclAttribute> {
    const fields = new Map<string, HclAttribute>();
    const start = this.#at;
    this.#expect("{");
    this.#blank(true);
    while (this.#text[this.#at] !== "}") {
      const line = this.#line();
      const key = this.#text[this.#at] === '"' ? this.#string().slice(1, -1) : this.#word();
      this.#blank(false);
      const sign = this.#text[this.#at];
      if (sign !== "=" && sign !== ":") {
        this.#at = start;
        return new Map();
      }
      this.#at++;
      fields.set(key, this.#expression(line, true));
      this.#blank(true);
      if (this.#text[this.#at] === ",") this.#at++;
      this.#blank(true);
    }
    this.#at++;
    return fields;
  }

  /** A quoted template, with its quotes; what stands in `${…}` may hold quotes of its own. */
  #string(): string {
    const from = this.#at++;
    while (this.#text[this.#at] !== '"') {
      if (this.#at >= this.#text.length) throw new Error(`line ${this.#line()}: a string without an end`);
      if (this.#text[this.#at] === "\\") this.#at += 2;
      else if (/^(?:\$\$|%%)\{/.test(this.#text.slice(this.#at, this.#at + 3))) this.#at += 3;
      else if (/^[$%]\{/.test(this.#text.slice(this.#at, this.#at + 2))) this.#template();
      else this.#at++;
    }
    this.#at++;
    return this.#text.slice(from, this.#at);
  }

  #template(): void {
    let depth = 0;
    do {
      const char = this.#text[this.#at] ?? "";
      if (char === "") throw new Error(`line ${this.#line()}: a template without an end`);
      if (char === '"') {
        this.#string();
        continue;
      }
      if (char === "{") depth++;
      else if (char === "}") depth--;
      this.#at++;
    } while (depth > 0 || this.#text[this.#at - 1] !== "}");
  }

  #heredoc(): boolean {
    const found = /^<<-?([A-Za-z_]\w*)[ \t]*\n/.exec(this.#text.slice(this.#at, this.#at + 200));
    if (found === null) return false;
    const end = new RegExp(`^[ \\t]*${found[1] ?? ""}[ \\t]*$`, "m");
    const rest = this.#text.slice(this.#at + found[0].length);
    const last = end.exec(rest);
    if (last === null) throw new Error(`line ${this.#line()}: a heredoc without an end`);
    this.#at += found[0].length + last.index + last[0].length;
    return true;
  }

  #comment(): boolean {
    const next = this.#text.slice(this.#at, this.#at + 2);
    return next.startsWith("#") || next === "//" || next === "/*";
  }

  /** Goes on to what is neither space nor comment. */
  #blank(acrossLines: boolean): void {
    for (;;) {
      const char = this.#text[this.#at];
      if (char === " " || char === "\t" || char === "\r" || (acrossLines && char === "\n")) this.#at++;
      else if (acrossLines && this.#comment()) {
        const end = this.#text.startsWith("/*", this.#at) ? "*/" : "\n";
        const at = this.#text.indexOf(end, this.#at);
        this.#at = at === -1 ? this.#text.length : at + end.length;
      } else return;
    }
  }

  #word(): string {
    word.lastIndex = this.#at;
    const found = word.exec(this.#text)?.[0];
    if (found === undefined) throw new Error(`line ${this.#line()}: expected a name`);
    this.#at += found.length;
    return found;
  }

  #expect(char: string): void {
    if (this.#text[this.#at] !== char) throw new Error(`line ${this.#line()}: expected ${char}`);
    this.#at++;
  }

  #line(): number {
    let line = 1;
    for (let at = this.#text.indexOf("\n"); at !== -1 && at < this.#at; at = this.#text.indexOf("\n", at + 1))
      line++;
    return line;
  }
}

/** Throws where the text is no HCL. */
export function readTree(text: string): HclBody {
  const reader = new Reader(text);
  return reader.body();
}
