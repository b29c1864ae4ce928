/**
 * The names file: a mission's declaration of how its files are named, as YAML. Its keys are in docs/names-file.md; what it decodes to
 * is `NamesDeclaration`, and every fault of it is told with its line.
 */
import * as Schema from "effect/Schema";
import type { GroupRule, KindDeclaration, NamesDeclaration, Recogniser } from "../jobs/names.ts";
import { makeRecogniser } from "../jobs/names.ts";
import { compileTemplate, outlineOf, TemplateFault, wordsOf } from "../jobs/nameTemplate.ts";
import { decoderOf } from "./decode.ts";
import { readDocument } from "./document.ts";
import type { Finding } from "./document.ts";
import { optional, Pattern, required, Text } from "./fields.ts";
import { groupNames } from "./laneDefaults.ts";
import { problemOf } from "./problems.ts";
import { readSiteText } from "./readText.ts";
import type { Path, Problem } from "./SiteFileError.ts";

const Texts = Schema.Array(Text).check(
  Schema.isMinLength(1, { message: "is empty", fix: "write a list: [cdf, pkts]" }),
);

const Rule = Schema.Struct({
  oneOf: optional(Schema.NullOr(Texts), null, "The texts that are allowed."),
  match: optional(Schema.NullOr(Pattern), null, "Must be found in the text."),
  by: optional(
    Schema.NullOr(
      Schema.Struct({
        group: required(Text, "The group on whose text it depends what is allowed."),
        allow: required(Schema.Record(Schema.String, Texts), "What is allowed, by that group's text."),
        otherwise: optional(Schema.Array(Text), [], "What is allowed for texts that are not listed."),
      }),
    ),
    null,
    "What is allowed depends on another group: extension by level.",
  ),
  say: optional(Schema.NullOr(Text), null, "Added to the reason when a name is refused by this rule."),
});

const Kind = Schema.Struct({
  selection: required(
    Schema.Literals(["product", "calibration", "timeless", "covering", "timeline", "table"]),
    "How the files for an input are chosen.",
  ),
  pattern: required(Pattern, "What a name of this kind looks like; its named groups are what is read of it."),
  dataset: required(Text, "The data set: source/level/descriptor, with {group} where the name says it."),
  makesStale: optional(Schema.Boolean, true, "false: a new file never makes a done partition stale."),
  alternatives: optional(
    Schema.NullOr(Text),
    null,
    "Inputs of one job whose kinds share this word are one slot: one covering kind is enough.",
  ),
  dates: optional(Schema.Literals(["YYYYMMDD", "YYYY_DDD"]), "YYYYMMDD", "Form of the groups start and end."),
  end: optional(
    Schema.Literals(["inclusive", "exclusive"]),
    "inclusive",
    "Whether the day in the group end still belongs to the file.",
  ),
  withoutEnd: optional(
    Schema.Literals(["day", "open"]),
    "day",
    "A name with a start and no end is of that day, or of all time since.",
  ),
  rangeGiven: optional(
    Schema.Boolean,
    false,
    "The range of its content may be given with the file: the lane's sidecar and the store's metadata are asked for it.",
  ),
  rules: optional(Schema.Record(Schema.String, Rule), {}, "What the groups may hold, by their names."),
  product: optional(
    Schema.NullOr(Text),
    null,
    "Makes the name of a job's output: {group}, {start}, {end}, {pointing:5}, {version}, {number:2}; […] may be left out.",
  ),
});

const Hint = Schema.Struct({
  match: required(Pattern, "Searched in names that look like no kind."),
  say: required(Text, "Why such a name is refused."),
});

export const NamesSchema = Schema.Struct({
  kinds: required(Schema.Record(Schema.String, Kind), "The kinds of file, tried in this order."),
  hints: optional(Schema.Array(Hint), [], "Better words for names that look like no kind."),
});

type NamesFile = typeof NamesSchema.Type;
type KindFile = NamesFile["kinds"][string];

const decodeNames = decoderOf(NamesSchema, "docs/names-file.md");

export type LoadedNames =
  | { readonly ok: true; readonly recogniser: Recogniser; readonly declaration: NamesDeclaration }
  /** In the order of the file, at least one. */
  | { readonly ok: false; readonly problems: ReadonlyArray<Problem> };

/** @param path absolute, or relative to the current folder. Never throws. */
export function loadNames(path: string): LoadedNames {
  const read = readSiteText(path);
  return read.ok ? parseNames(read.text) : { ok: false, problems: [problemOf(read.finding, null)] };
}

/** As {@link loadNames}, from text. */
export function parseNames(text: string): LoadedNames {
  const document = readDocument(text);
  const failed = (findings: ReadonlyArray<Finding>): LoadedNames => ({
    ok: false,
    problems: findings
      .map((finding) => problemOf(finding, document))
      .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)),
  });
  if (document.findings.length > 0) return failed(document.findings);
  const decoded = decodeNames(document.value);
  if (!decoded.ok) return failed(decoded.findings);
  const findings = lintNames(decoded.file);
  if (findings.length > 0) return failed(findings);
  const declaration = declarationOf(decoded.file);
  return { ok: true, declaration, recogniser: makeRecogniser(declaration) };
}

function declarationOf(file: NamesFile): NamesDeclaration {
  return {
    kinds: Object.entries(file.kinds).map(([name, kind]): KindDeclaration => ({
      ...kind,
      name,
      rules: new Map(Object.entries(kind.rules).map(([group, rule]) => [group, ruleOf(rule)])),
    })),
    hints: file.hints,
  };
}

const ruleOf = (rule: KindFile["rules"][string]): GroupRule => ({
  ...rule,
  by: rule.by === null ? null : { ...rule.by, allow: new Map(Object.entries(rule.by.allow)) },
});

/** What hangs together between keys: a file that passes here makes a recogniser. */
function lintNames(file: NamesFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  if (Object.keys(file.kinds).length === 0) {
    findings.push({
      path: ["kinds"],
      value: null,
      message: "no kind of file is declared",
      fix: "declare one, as in config/imap/names.yaml",
    });
  }
  for (const [name, kind] of Object.entries(file.kinds)) findings.push(...lintKind(["kinds", name], kind));
  return findings;
}

function lintKind(at: Path, kind: KindFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const groups = groupNames(kind.pattern);
  const list = groups.join(", ");
  const pattern = [...at, "pattern"];
  if (!groups.includes("version")) {
    findings.push({
      path: pattern,
      value: kind.pattern.source,
      message: "has no group `version`: which of two files is the newer one could not be told",
      fix: String.raw`add (?<version>v\d{3})`,
    });
  }
  if (groups.includes("end") && !groups.includes("start")) {
    findings.push({
      path: pattern,
      value: kind.pattern.source,
      message: "has a group `end` and no group `start`",
      fix: "name the first date (?<start>…)",
    });
  }
  for (const [group, rule] of Object.entries(kind.rules)) {
    const unknown = [group, ...(rule.by === null ? [] : [rule.by.group])].filter((g) => !groups.includes(g));
    for (const missing of unknown) {
      findings.push({
        path: [...at, "rules", group],
        atKey: true,
        value: null,
        message: `the pattern has no group "${missing}"`,
        fix: `use one of ${list}`,
      });
    }
    if (rule.oneOf === null && rule.match === null && rule.by === null) {
      findings.push({
        path: [...at, "rules", group],
        atKey: true,
        value: null,
        message: "says nothing: every text is allowed",
        fix: "add oneOf, match or by",
      });
    }
  }
  findings.push(...lintTemplate([...at, "dataset"], kind.dataset, groups, true));
  if (kind.product !== null) {
    const own = ["start", "end", "pointing", "version", "number"];
    findings.push(...lintTemplate([...at, "product"], kind.product, [...groups, ...own], false));
  }
  return findings;
}

function lintTemplate(
  path: Path,
  template: string,
  known: ReadonlyArray<string>,
  isDataset: boolean,
): ReadonlyArray<Finding> {
  const fix = isDataset
    ? "write source/level/descriptor, with {group} for a group of the pattern"
    : "see docs/names-file.md";
  try {
    const parts = compileTemplate(template);
    const findings: Array<Finding> = [...wordsOf(parts)]
      .filter((word) => !known.includes(word))
      .map((word) => ({
        path,
        message: `{${word}} is no group of the pattern`,
        fix: `use one of ${known.join(", ")}`,
      }));
    if (isDataset) {
      outlineOf(parts);
      if (template.split("/").length !== 3) findings.push({ path, message: "must have three parts", fix });
    }
    return findings;
  } catch (error) {
    if (error instanceof TemplateFault) return [{ path, message: error.message, fix }];
    throw error;
  }
}
