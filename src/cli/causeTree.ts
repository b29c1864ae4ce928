/** The tree of causes of one partition, as lines. What was told already is not told again. */
import type { CauseTree, LackTree, Stretch } from "../protocol/operatorQuestions.ts";
import { rootWords } from "./rootWords.ts";

const linesMax = 60;

export function causeLines(cause: CauseTree, of: Stretch | null): ReadonlyArray<string> {
  const lines: Array<string> = [];
  const told = new Set<string>();
  const put = (text: string, before: string, isLast: boolean): string => {
    lines.push(`${before}${isLast ? "└ " : "├ "}${text}`);
    return `${before}${isLast ? "  " : "│ "}`;
  };
  const walk = (lacks: ReadonlyArray<LackTree>, before: string): void => {
    lacks.forEach((lack, i) => {
      const inner = put(lack.words, before, i === lacks.length - 1);
      if (lack.root !== null) {
        const words = rootWords(lack.root, of);
        if (words !== lack.words) put(words, inner, true);
      }
      lack.by.forEach((one, j) => {
        const key = `${one.job} ${one.partition}`;
        const again = told.has(key) && one.lacks.length > 0;
        told.add(key);
        const state = one.state === "none" ? "does not exist yet" : `is ${one.state}`;
        const below = put(`${key} ${state}${again ? " (as above)" : ""}`, inner, j === lack.by.length - 1);
        if (!again) walk(one.lacks, below);
      });
    });
  };
  walk(cause.lacks, "");
  return lines.length <= linesMax
    ? lines
    : [...lines.slice(0, linesMax), `… and ${lines.length - linesMax} more lines: --json has all of it`];
}
