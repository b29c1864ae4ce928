/** What is wrong with a file of a deployment, and where. */
export interface Refusal {
  /** Relative to the folder that is checked. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export const renderRefusal = ({ file, line, message }: Refusal): string => `${file}:${line}: ${message}`;

/** Each once, by file and line. */
export function inOrder(refusals: ReadonlyArray<Refusal>): ReadonlyArray<Refusal> {
  const each = new Map(refusals.map((refusal) => [renderRefusal(refusal), refusal]));
  return [...each.values()].toSorted((a, b) =>
    a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1,
  );
}
