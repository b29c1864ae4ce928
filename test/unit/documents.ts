/** Reads documents: what they link to, which files, commands and flags they name. */
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../..");

export const textsOf = (pattern: string): ReadonlyArray<string> =>
  globSync(pattern, { cwd: root, exclude: (name) => name.split(path.sep).includes("node_modules") })
    .map((file) => file.split(path.sep).join("/"))
    .toSorted();

export const textOf = (file: string): string => readFileSync(path.join(root, file), "utf8");

export const documents = textsOf("{*,{docs,deploy,bridges,samples,examples}/**/*}.md");

const withoutBlocks = (text: string): string => text.replaceAll(/^ *```.*?^ *```/gms, "");

export const linksIn = (text: string): ReadonlyArray<string> =>
  [...withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = ""]) => link)
    .filter((link) => !/^https?:/.test(link));

/** As GitHub makes them of headings. */
export const anchorsOf = (text: string): ReadonlyArray<string> =>
  [...withoutBlocks(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, "")
      .replaceAll(" ", "-"),
  );

export function deadLinks(file: string, text: string): ReadonlyArray<string> {
  return linksIn(text)
    .filter((link) => {
      const [to = "", anchor] = link.split("#");
      const target = to === "" ? file : path.posix.join(path.posix.dirname(file), to);
      if (!existsSync(path.join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(textOf(target)).includes(anchor);
    })
    .map((link) => `${file} links to ${link}`);
}

/** Paths of this project: what begins with one of its folders. Patterns (`src/*.ts`) are left out. */
export const pathsIn = (text: string): ReadonlyArray<string> =>
  [
    ...text.matchAll(
      /(?<![\w/.{}<@-])(?:src|test|docs|config|deploy|scripts|bench|nats|examples|bridges|samples)\/[\w./-]*\w(?![\w*])/g,
    ),
  ].map(([found]) => found);

/** A path is meant from the project's root, or from the document's own folder. */
export const isThere = (file: string, found: string): boolean =>
  [found, path.posix.join(path.posix.dirname(file), found)].some((one) => existsSync(path.join(root, one)));

/** The flags that a page of help tells, without those that every command has. */
export const flagsIn = (help: string): ReadonlyArray<string> =>
  [...(/^FLAGS\n(.*?)^$/ms.exec(help)?.[1] ?? "").matchAll(/^ {2}(--[a-z-]+)/gm)].map(
    ([, flag = ""]) => flag,
  );

interface CommandNode {
  readonly name: string;
  readonly subcommands: ReadonlyArray<{ readonly commands: ReadonlyArray<CommandNode> }>;
}

/** Commands that do something, by their words: `file ls`. */
export function leavesOf(command: CommandNode, before: ReadonlyArray<string> = []): ReadonlyArray<string> {
  const children = command.subcommands.flatMap(({ commands }) => commands);
  return children.length === 0
    ? [before.join(" ")]
    : children.flatMap((child) => leavesOf(child, [...before, child.name]));
}

/** The flags of each command by its words. */
export type CommandTree = ReadonlyMap<string, ReadonlyArray<string>>;

/** What stands behind `orrery`: in code spans and blocks of a document, anywhere in other files but where it is the name of the program. */
export function commandsIn(file: string, text: string): ReadonlyArray<string> {
  const parts = file.endsWith(".md")
    ? [...text.matchAll(/^ *```.*?^ *```|`[^`\n]+`/gms)].map(([part]) => part)
    : [text];
  return parts.flatMap((part) =>
    [
      ...part.matchAll(
        /(?<![\w./@=-])orrery(?! (?:command|needs)\b)((?: (?:"[^"\n]*"|'[^'\n]*'|[^\s`,;:|&<>()#"'\\$]+))+)/g,
      ),
    ].map(([, words = ""]) => words.trim().replace(/\.$/, "")),
  );
}

const everywhere = ["--site", "--help", "--version", "--completions"];

/** What is wrong with a command: words that lead to none, flags that it has not. Placeholders (`COMMAND`) stand for anything. */
export function wrongIn(command: string, tree: CommandTree): ReadonlyArray<string> {
  const words = command.split(" ");
  let at = "";
  for (const word of words) {
    if (tree.has(at) || !/^[a-z]/.test(word)) break;
    const next = `${at} ${word}`.trim();
    if (![...tree.keys()].some((leaf) => leaf === next || leaf.startsWith(`${next} `))) {
      return [`there is no ${next}`];
    }
    at = next;
  }
  const flags = tree.get(at) ?? everywhere;
  return words
    .map((word) => /^--[a-z-]+/.exec(word)?.[0])
    .filter((flag) => flag !== undefined && ![...flags, ...everywhere].includes(flag))
    .map((flag) => `has no ${flag}`);
}
