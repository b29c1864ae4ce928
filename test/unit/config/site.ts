/** Site files for tests: a small right one, and ways to change a part of it. */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import { parseSite } from "../../../src/config/loadSite.ts";
import type { CheckedSite, LoadOptions } from "../../../src/config/loadSite.ts";
import type { SiteFileError } from "../../../src/config/SiteFileError.ts";
import type { Problem } from "../../../src/config/SiteFileError.ts";

/** Right, without a warning; every section in block style, so that lines can be added below any of them. */
export const rightSite = String.raw`name: test
http:
  port: 0
storage:
  disk:
    driver: file
    root: ./data
lanes:
  raw:
    kind: exposure
    buckets: [raw-bucket]
    storage: disk
    pattern: '^(?<day>\d{8})/(?<exposure>\w+)'
  products:
    kind: object
    buckets: [product-bucket]
    storage: disk
    pattern: '^(?<day>\d{8})/'
presence:
  instruments: [LSSTCam]
jobs:
  look:
    inputs:
      - lane: raw
    outputs:
      - name: out.json
        bucket: product-bucket
        key: '{day}/{exposure}.json'
    command: ['{node}', look.js]
`;

/** `rightSite` with one piece of text replaced; the piece must be there. */
export function changed(...replacements: ReadonlyArray<readonly [string, string]>): string {
  let text = rightSite;
  for (const [before, after] of replacements) {
    if (!text.includes(before)) throw new Error(`the right site has no ${JSON.stringify(before)}`);
    text = text.replace(before, () => after);
  }
  return text;
}

/** `rightSite` with lines added at its end. */
export const added = (lines: string): string => `${rightSite}${lines}\n`;

export type Outcome = Result.Result<CheckedSite, SiteFileError>;

export function outcomeOf(text: string, options: LoadOptions = {}): Outcome {
  return Effect.runSync(Effect.result(parseSite(text, "sites/test.yaml", { env: {}, ...options })));
}

/** All problems, errors and warnings alike. */
export function problemsOf(text: string, options?: LoadOptions): ReadonlyArray<Problem> {
  const outcome = outcomeOf(text, options);
  return Result.isSuccess(outcome) ? outcome.success.warnings : outcome.failure.problems;
}

export function siteOf(text: string, options?: LoadOptions): CheckedSite["site"] {
  const outcome = outcomeOf(text, options);
  if (Result.isFailure(outcome)) throw new Error(outcome.failure.render());
  return outcome.success.site;
}

export function errorOf(text: string, options?: LoadOptions): SiteFileError {
  const outcome = outcomeOf(text, options);
  if (Result.isSuccess(outcome)) throw new Error("accepted, although it should have been refused");
  return outcome.failure;
}

/** The line, from 1, on which a piece of text first stands. */
export function lineOf(text: string, piece: string): number {
  const offset = text.indexOf(piece);
  if (offset < 0) throw new Error(`no ${JSON.stringify(piece)} in the text`);
  return text.slice(0, offset).split("\n").length;
}
