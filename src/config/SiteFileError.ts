/** What is wrong with a site file: every fault at once, each with its place, its value and its fix. */
import * as Schema from "effect/Schema";

/** A path of keys and list positions into the site file. */
export type Path = ReadonlyArray<string | number>;

const Severity = Schema.Literals(["error", "warning"]);

const Problem = Schema.Struct({
  severity: Severity,
  /** `lanes.lsstcam.pattern`; "" for the file as a whole; `--node` or `ORRERY_NODE` for what came from there. */
  path: Schema.String,
  /** Counted from 1; null where no line of the file is to blame. */
  line: Schema.NullOr(Schema.Number),
  /** As text, cut short; null where there is none. A value that may be a secret is never in it. */
  value: Schema.NullOr(Schema.String),
  message: Schema.String,
  fix: Schema.String,
});
export type Problem = typeof Problem.Type;

/**
 * The site file cannot be used. Nothing has been started, written or connected to.
 * `problems` holds at least one error, and the warnings found beside it, in the order of the file.
 */
export class SiteFileError extends Schema.TaggedError<SiteFileError>()("SiteFileError", {
  file: Schema.String,
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    const first = this.problems.find((problem) => problem.severity === "error");
    const where = first === undefined ? "" : ` ${place(first)}${first.message}`;
    return `${this.file}: ${counts(this.problems)}:${where}`;
  }

  /** For the terminal, several lines, no newline at the end. */
  render(options?: RenderOptions): string {
    return renderProblems(this.file, this.problems, options);
  }

  /** For scripts: a plain object. */
  override toJSON(): {
    readonly error: string;
    readonly file: string;
    readonly problems: ReadonlyArray<Problem>;
  } {
    return { error: this._tag, file: this.file, problems: this.problems };
  }
}

export interface RenderOptions {
  /** ANSI colours; default false. */
  readonly color?: boolean;
}

/** The problems of a file, errors and warnings alike, for the terminal. */
export function renderProblems(
  file: string,
  problems: ReadonlyArray<Problem>,
  options?: RenderOptions,
): string {
  const paint = (code: string, text: string): string =>
    options?.color === true ? `\u001b[${code}m${text}\u001b[0m` : text;
  const lines = [`${file}: ${counts(problems)}`];
  for (const problem of problems) {
    const mark = problem.severity === "error" ? paint("31", "error") : paint("33", "warning");
    const where = problem.line === null ? file : `${file}:${problem.line}`;
    lines.push(
      "",
      `${mark} ${paint("1", problem.path === "" ? "(file)" : problem.path)}  ${paint("2", where)}`,
    );
    lines.push(`  ${problem.message}`);
    if (problem.value !== null) lines.push(`  value: ${problem.value}`);
    lines.push(`  fix:   ${problem.fix}`);
  }
  return lines.join("\n");
}

function counts(problems: ReadonlyArray<Problem>): string {
  const errors = problems.filter((problem) => problem.severity === "error").length;
  const warnings = problems.length - errors;
  const parts: Array<string> = [];
  if (errors > 0) parts.push(errors === 1 ? "1 error" : `${errors} errors`);
  if (warnings > 0) parts.push(warnings === 1 ? "1 warning" : `${warnings} warnings`);
  return parts.length === 0 ? "no problems" : parts.join(", ");
}

function place(problem: Problem): string {
  const line = problem.line === null ? "" : ` (line ${problem.line})`;
  return problem.path === "" && line === "" ? "" : `${problem.path}${line}: `.trimStart();
}

/** `lanes.raw.buckets[0]`; a key that is no plain word is written `["so"]`. */
export function formatPath(path: Path): string {
  let out = "";
  for (const part of path) {
    if (typeof part === "number") out += `[${part}]`;
    else if (/^[\w-]+$/.test(part)) out += out === "" ? part : `.${part}`;
    else out += `[${JSON.stringify(part)}]`;
  }
  return out;
}
