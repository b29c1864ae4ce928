/**
 * The recogniser: from a file's name to what the file is, by a mission's own declaration. Pure.
 *
 * A kind's pattern says what a name of that kind looks like, loosely; the rules on its groups say which of those are good ones. So
 * a name that was meant is refused in words ("start 202040101 is no date") and not as one that nobody knows.
 */
import type { DatasetId, DatasetKind, Selection } from "./dataset.ts";
import { groupPatterns } from "./groupPattern.ts";
import type { Instant, Range } from "./instant.ts";
import { dayOf, dayUs, startOfDay, startOfYearDay } from "./instant.ts";
import type { Part } from "./nameTemplate.ts";
import { compileTemplate, fill, fillOutline, outlineOf } from "./nameTemplate.ts";
import type { Version } from "./version.ts";
import { formatVersion, parseVersion } from "./version.ts";

/** `20260310`, or `2026_069` (year and day of the year). */
export type DateForm = "YYYYMMDD" | "YYYY_DDD";

/** What one named group of a kind's pattern may hold. All that is said must hold. */
export interface GroupRule {
  readonly oneOf: ReadonlyArray<string> | null;
  readonly match: RegExp | null;
  /** What is allowed depends on another group: extension by level. `otherwise` where that group's text is not listed. */
  readonly by: {
    readonly group: string;
    readonly allow: ReadonlyMap<string, ReadonlyArray<string>>;
    readonly otherwise: ReadonlyArray<string>;
  } | null;
  /** Added to the reason of a refusal. */
  readonly say: string | null;
}

/**
 * One kind of file. Groups of `pattern` with a meaning: `start`, `end` (dates), `pointing` (a number), `version`; all others are
 * words for `dataset` and `name`.
 */
export interface KindDeclaration {
  readonly name: string;
  readonly selection: Selection;
  readonly makesStale: boolean;
  readonly alternatives: string | null;
  /** The range of its content may be given with the file: then the sidecar and the store's metadata are asked for it. */
  readonly rangeGiven: boolean;
  /** Anchored by whoever writes it. */
  readonly pattern: RegExp;
  /** `{source}/{level}/{descriptor}`: words of the pattern's groups, or plain text. */
  readonly dataset: string;
  readonly dates: DateForm;
  /** Whether the day in `end` still belongs to the file. */
  readonly end: "inclusive" | "exclusive";
  /** Where the name has a start and no end: that one day, or everything since. A name without a start is for all time. */
  readonly withoutEnd: "day" | "open";
  readonly rules: ReadonlyMap<string, GroupRule>;
  /** Makes the name of a product; null: nobody makes files of this kind. */
  readonly product: string | null;
}

export interface NamesDeclaration {
  /** Tried in this order. */
  readonly kinds: ReadonlyArray<KindDeclaration>;
  /** Better words for names that fit no kind: the first whose `match` is found in the name. */
  readonly hints: ReadonlyArray<{ readonly match: RegExp; readonly say: string }>;
}

/** What a name says of its file. */
export interface Recognised {
  readonly name: string;
  readonly kind: string;
  readonly dataset: DatasetId;
  /**
   * By the name alone: a fact of the content, or the partition of the run that made it, knows better. Null exactly where a pointing
   * is the time key: its range stands in the calendar. For all time it begins at -Infinity.
   */
  readonly range: Range | null;
  readonly pointing: number | null;
  readonly version: Version;
}

export type Recognition =
  | { readonly ok: true; readonly file: Recognised }
  /** `kind` is what it was taken for; null where it looks like none. */
  | { readonly ok: false; readonly kind: string | null; readonly reason: string };

/** A file that a run is about to make. */
export interface Product {
  readonly kind: string;
  readonly dataset: DatasetId;
  /** Of the partition. */
  readonly range: Range;
  readonly pointing: number | null;
  readonly version: Version;
}

export interface Recogniser {
  /** In the order of the declaration. */
  readonly kinds: ReadonlyMap<string, DatasetKind>;
  /** @param name without folders */
  readonly recognise: (name: string) => Recognition;
  /**
   * The name of a product: what `recognise` says of it agrees in kind, dataset, pointing and version; where a kind's names have one
   * number as version, that is the minor one of a version that has both. Refused where no good name can say it.
   */
  readonly nameOf: (product: Product) => Recognition;
  /**
   * The first kind whose files could be of this data set: its template fits, its rules allow the words, and so do the groups of its
   * pattern. Null for none.
   */
  readonly kindOf: (dataset: DatasetId) => DatasetKind | null;
}

interface Kind {
  readonly declared: KindDeclaration;
  readonly datasetParts: ReadonlyArray<Part>;
  readonly datasetOutline: RegExp;
  readonly product: ReadonlyArray<Part> | null;
  /** What the pattern's groups hold, each by itself. */
  readonly groups: ReadonlyMap<string, RegExp>;
}

type Groups = Readonly<Record<string, string | undefined>>;
type Refused = Extract<Recognition, { readonly ok: false }>;

/** Throws for a declaration that its schema would have refused. */
export function makeRecogniser(declaration: NamesDeclaration): Recogniser {
  const kinds = declaration.kinds.map((declared): Kind => {
    const datasetParts = compileTemplate(declared.dataset);
    return {
      declared,
      datasetParts,
      datasetOutline: outlineOf(datasetParts),
      product: declared.product === null ? null : compileTemplate(declared.product),
      groups: groupPatterns(declared.pattern),
    };
  });
  const byName = new Map(kinds.map((kind) => [kind.declared.name, kind]));
  const described = new Map(kinds.map(({ declared }) => [declared.name, datasetKind(declared)]));
  const recognise = (name: string): Recognition => {
    let first: Refused | null = null;
    for (const kind of kinds) {
      const groups = kind.declared.pattern.exec(name)?.groups;
      if (groups === undefined) continue;
      const found = understand(kind, name, groups);
      if (found.ok) return found;
      first ??= found;
    }
    return first ?? unknownName(declaration, name);
  };
  return {
    kinds: described,
    recognise,
    nameOf: (product) => nameProduct(byName.get(product.kind), product, recognise),
    kindOf: (dataset) => {
      const kind = kinds.find((candidate) => couldBe(candidate, dataset));
      return kind === undefined ? null : (described.get(kind.declared.name) ?? null);
    },
  };
}

const datasetKind = (declared: KindDeclaration): DatasetKind => ({
  name: declared.name,
  selection: declared.selection,
  makesStale: declared.makesStale,
  alternatives: declared.alternatives,
  rangeGiven: declared.rangeGiven,
});

function couldBe({ declared, datasetOutline, groups }: Kind, dataset: DatasetId): boolean {
  const words = fillOutline(datasetOutline, dataset);
  if (words === null) return false;
  // Else a job would be taken that waits for files of which no name can ever be read.
  for (const [group, text] of Object.entries(words)) {
    if (text !== undefined && groups.get(group)?.test(text) === false) return false;
  }
  return [...declared.rules].every(([group, rule]) => {
    const text = words[group];
    return text === undefined || faultOf(group, text, rule, words) === null;
  });
}

function unknownName({ hints }: NamesDeclaration, name: string): Refused {
  const hint = hints.find(({ match }) => match.test(name));
  return {
    ok: false,
    kind: null,
    reason: hint === undefined ? "no kind of file is named like this" : hint.say,
  };
}

function understand(kind: Kind, name: string, groups: Groups): Recognition {
  const { declared } = kind;
  const refused = (reason: string): Refused => ({ ok: false, kind: declared.name, reason });
  for (const [group, rule] of declared.rules) {
    const text = groups[group];
    const fault = text === undefined ? null : faultOf(group, text, rule, groups);
    if (fault !== null) return refused(fault);
  }
  const start = dateOf("start", groups["start"], declared.dates);
  if (typeof start === "string") return refused(start);
  const end = dateOf("end", groups["end"], declared.dates);
  if (typeof end === "string") return refused(end);
  const range = rangeOf(declared, start, end);
  if (range.end <= range.start) return refused(`it ends (${groups["end"]}) before it starts`);
  const version = parseVersion(groups["version"] ?? "");
  if (version === null) return refused(`version ${groups["version"] ?? ""} is none`);
  const pointing = groups["pointing"] === undefined ? null : Number(groups["pointing"]);
  return {
    ok: true,
    file: {
      name,
      kind: declared.name,
      dataset: fill(kind.datasetParts, (word) => groups[word] ?? null),
      range: pointing === null ? range : null,
      pointing,
      version,
    },
  };
}

function faultOf(group: string, text: string, rule: GroupRule, groups: Groups): string | null {
  const because = rule.say === null ? "" : `: ${rule.say}`;
  if (rule.oneOf !== null && !rule.oneOf.includes(text)) {
    return `${group} ${text} is none of ${rule.oneOf.join(", ")}${because}`;
  }
  if (rule.match !== null && !rule.match.test(text)) {
    return `${group} ${text} is not allowed${because === "" ? `: it must match ${rule.match.source}` : because}`;
  }
  if (rule.by !== null) {
    const other = groups[rule.by.group] ?? "";
    const allowed = rule.by.allow.get(other) ?? rule.by.otherwise;
    if (!allowed.includes(text)) {
      return `${group} ${text} is not allowed at ${rule.by.group} ${other}: ${allowed.join(" or ")}${because}`;
    }
  }
  return null;
}

/** The first instant of the day; null where there is no such group; a text that says why it is no date. */
function dateOf(what: string, text: string | undefined, form: DateForm): Instant | string | null {
  if (text === undefined) return null;
  // `Date.UTC` takes the years below 100 for those of the last century.
  const at = text.startsWith("00") ? null : form === "YYYYMMDD" ? startOfDay(text) : yearDay(text);
  return at ?? `${what} ${text} is no date of the form ${form}`;
}

function yearDay(text: string): Instant | null {
  const found = /^(\d{4})_(\d{3})$/.exec(text);
  return found === null ? null : startOfYearDay(Number(found[1]), Number(found[2]));
}

function rangeOf(
  { end: ends, withoutEnd }: KindDeclaration,
  start: Instant | null,
  end: Instant | null,
): Range {
  if (start === null) return { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY };
  if (end !== null) return { start, end: ends === "inclusive" ? end + dayUs : end };
  return { start, end: withoutEnd === "day" ? start + dayUs : Number.POSITIVE_INFINITY };
}

function nameProduct(
  kind: Kind | undefined,
  product: Product,
  recognise: (name: string) => Recognition,
): Recognition {
  const refused = (reason: string): Refused => ({ ok: false, kind: product.kind, reason });
  if (kind === undefined) return refused(`no kind of file is called ${product.kind}`);
  if (kind.product === null) return refused(`files of kind ${product.kind} are not made by jobs`);
  const words = fillOutline(kind.datasetOutline, product.dataset);
  if (words === null) {
    return refused(`data set ${product.dataset} is none of kind ${product.kind} (${kind.declared.dataset})`);
  }
  const name = fill(kind.product, (word) => words[word] ?? wordOf(kind.declared, product, words, word));
  const found = recognise(name);
  if (!found.ok) return refused(`its name would be ${name}, which is no good one: ${found.reason}`);
  const { file } = found;
  if (
    file.kind !== product.kind ||
    file.dataset !== product.dataset ||
    file.pointing !== product.pointing ||
    (file.version.legacy ? file.version.major : file.version.minor) !== lastNumber(product.version)
  ) {
    const pointing = file.pointing === null ? "no pointing" : `pointing ${file.pointing}`;
    return refused(
      `its name would be ${name}, which says ${file.kind} ${file.dataset}, ${pointing}, ${formatVersion(file.version)}`,
    );
  }
  return found;
}

const lastNumber = (version: Version): number => (version.legacy ? version.major : version.minor);

function wordOf(declared: KindDeclaration, product: Product, words: Groups, word: string): string | null {
  switch (word) {
    case "start":
      return dateText(product.range.start, declared.dates);
    case "end": {
      const { end } = product.range;
      // An end within a day takes that day along.
      return Number.isFinite(end)
        ? dateText(declared.end === "inclusive" ? end - 1 : end, declared.dates)
        : null;
    }
    case "pointing":
      return product.pointing === null ? null : String(product.pointing);
    case "version":
      return formatVersion(product.version);
    case "number":
      return String(lastNumber(product.version));
    default:
      return firstAllowed(declared.rules.get(word), words);
  }
}

/** A group that neither the data set nor the partition says, as the extension, is the first of what its rule allows. */
function firstAllowed(rule: GroupRule | undefined, words: Groups): string | null {
  if (rule === undefined) return null;
  if (rule.by !== null)
    return (rule.by.allow.get(words[rule.by.group] ?? "") ?? rule.by.otherwise)[0] ?? null;
  return rule.oneOf?.[0] ?? null;
}

function dateText(at: Instant, form: DateForm): string | null {
  if (!Number.isFinite(at)) return null;
  const day = dayOf(at);
  if (form === "YYYYMMDD") return day;
  const first = startOfYearDay(Number(day.slice(0, 4)), 1) ?? 0;
  return `${day.slice(0, 4)}_${String(Math.floor((at - first) / dayUs) + 1).padStart(3, "0")}`;
}
