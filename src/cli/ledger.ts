/** `orrery ledger save|compare`: whether a site knows the same as before, or as in another life. */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { ledgerComparedMax, ledgerDifferencesMax } from "../limits.ts";
import { progress } from "./backup.ts";
import type { Comparable } from "./comparable.ts";
import { groupOf, judge } from "./comparable.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, limitFault, no, ofCause, ofJetStream } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import type { Saved } from "./savedLedger.ts";
import { readSaved, saveLedger } from "./savedLedger.ts";
import { openOwnSite } from "./site.ts";
import { paint, table } from "./table.ts";
import { count, harmless, plural } from "./words.ts";

export interface SaveOptions {
  readonly site: string | null;
  readonly file: string;
  readonly json: boolean;
}

export interface CompareOptions {
  readonly site: string | null;
  readonly before: string;
  /** Null: the site as it is now. */
  readonly after: string | null;
  readonly limit: number | null;
  readonly json: boolean;
}

const saveNow = (io: IoService, site: string | null, file: string) =>
  Effect.gen(function* () {
    const link = yield* openOwnSite(io, site);
    yield* link.nats.setClock.pipe(Effect.mapError(ofJetStream));
    return yield* Effect.tryPromise({
      try: () =>
        saveLedger(
          link.nats,
          link.site.name,
          file,
          progress(io, (done) => `${plural(done, "record")} read`),
        ),
      catch: ofCause,
    });
  });

export const save = (
  io: IoService,
  { site, file, json }: SaveOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const saved = yield* saveNow(io, site, resolve(io.cwd, file));
    if (json) return sayJson(io, { file, ...saved });
    say(
      io,
      `${plural(saved.records, "record")} of site ${saved.head.site} as of ${saved.head.at}, in ${file}`,
    );
    return undefined;
  });

/** What is told of one kind, lane and day. */
interface Group {
  readonly group: string;
  before: number;
  after: number;
  same: number;
  bySize: number;
  readonly sums: [bigint, bigint];
}

export interface Difference {
  readonly key: string;
  readonly words: string;
}

const newGroup = (group: string): Group => ({
  group,
  before: 0,
  after: 0,
  same: 0,
  bySize: 0,
  sums: [0n, 0n],
});

/** Of all records of a group, in whatever order they stand. */
function sumOf({ key, state, tag, size, facts }: Comparable): bigint {
  const text = JSON.stringify([key, state, tag, size, facts]);
  return createHash("sha256").update(text).digest().readBigUInt64LE(0);
}

const only = (where: string, { state }: Comparable): string =>
  state === "" ? `only ${where}` : `only ${where}: ${state}`;

const mask = (1n << 64n) - 1n;

interface Compared {
  readonly before: Saved;
  readonly after: Saved;
  readonly groups: ReadonlyArray<Group>;
  readonly differences: ReadonlyArray<Difference>;
  readonly different: number;
}

/**
 * Reads both twice: first a sum for each group, then the records of those groups whose sums are not equal. So what is held at once is
 * what differs, and no more than {@link ledgerComparedMax} records of it.
 */
async function compareFiles(beforeFile: string, afterFile: string, limit: number): Promise<Compared> {
  const groups = new Map<string, Group>();
  const of = (record: Comparable): Group => {
    const name = groupOf(record.key);
    const group = groups.get(name) ?? newGroup(name);
    groups.set(name, group);
    return group;
  };
  const before = await readSaved(beforeFile, (record) => {
    const group = of(record);
    group.before++;
    group.sums[0] = (group.sums[0] + sumOf(record)) & mask;
  });
  const after = await readSaved(afterFile, (record) => {
    const group = of(record);
    group.after++;
    group.sums[1] = (group.sums[1] + sumOf(record)) & mask;
  });
  const open = new Set<string>();
  let held = 0;
  for (const group of groups.values()) {
    if (group.sums[0] === group.sums[1] && group.before === group.after) group.same = group.before;
    else {
      open.add(group.group);
      held += group.before;
    }
  }
  if (held > ledgerComparedMax) {
    throw failed(
      `${count(held)} records stand in groups that differ: more than ${count(ledgerComparedMax)} are not held against each other at once`,
    );
  }
  const differences: Array<Difference> = [];
  let different = 0;
  const tell = (key: string, words: string): void => {
    different++;
    if (differences.length < limit) differences.push({ key, words });
  };
  const waiting = new Map<string, Comparable>();
  if (open.size > 0) {
    await readSaved(beforeFile, (record) => {
      if (open.has(groupOf(record.key))) waiting.set(record.key, record);
    });
    await readSaved(afterFile, (record) => {
      const group = of(record);
      if (!open.has(group.group)) return;
      const other = waiting.get(record.key);
      if (other === undefined) return tell(record.key, only("after", record));
      waiting.delete(record.key);
      const verdict = judge(other, record);
      if (!verdict.same) return tell(record.key, verdict.words);
      group.same++;
      if (verdict.bySize) group.bySize++;
      return undefined;
    });
    for (const record of waiting.values()) tell(record.key, only("before", record));
  }
  const sorted = [...groups.values()].toSorted((a, b) => (a.group < b.group ? -1 : 1));
  return { before, after, groups: sorted, differences, different };
}

const columns = [
  { title: "KIND" },
  { title: "LANE", give: 12 },
  { title: "DAY" },
  { title: "BEFORE", right: true },
  { title: "AFTER", right: true },
  { title: "SAME", right: true },
  { title: "DIFFERENT", right: true },
];

/** Rows beyond this are told together: a year of a lane has its 365. */
const rowsMax = 40;

function show(io: IoService, { groups, differences, different, before, after }: Compared): void {
  const differing = (group: Group): boolean => group.before !== group.same || group.after !== group.same;
  const shown = groups.length <= rowsMax ? groups : groups.filter(differing).slice(0, rowsMax);
  const rows = shown.map((group) => {
    const [kind = "", lane = "", day = ""] = group.group.split(" ");
    const others = Math.max(group.before, group.after) - group.same;
    return [
      kind,
      lane,
      day,
      count(group.before),
      count(group.after),
      count(group.same),
      others === 0 ? "" : { text: count(others), style: "red" as const },
    ];
  });
  io.out.write(table(columns, rows, { color: io.out.color, columns: io.out.columns() }));
  if (shown.length < groups.length) say(io, plural(groups.length - shown.length, "more row"));
  for (const { key, words } of differences)
    say(io, `${paint(io.out.color, "red", "!")} ${harmless(key)}: ${harmless(words)}`);
  if (different > differences.length) say(io, `and ${count(different - differences.length)} more`);
  const bySize = groups.reduce((sum, group) => sum + group.bySize, 0);
  if (bySize > 0) say(io, `${plural(bySize, "file")} compared by size only: their tags are of a file store`);
  const kinds = [...new Set([...Object.keys(before.counted), ...Object.keys(after.counted)])].toSorted();
  const besides = kinds.map(
    (kind) => `${kind} ${count(before.counted[kind] ?? 0)}/${count(after.counted[kind] ?? 0)}`,
  );
  if (besides.length > 0) say(io, `not compared (before/after): ${besides.join(", ")}`);
}

export const compare = (
  io: IoService,
  options: CompareOptions,
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const fault = options.limit === null ? null : limitFault(options.limit);
    if (fault !== null) return yield* fault;
    const before = resolve(io.cwd, options.before);
    const after = options.after === null ? yield* savedNow(io, options.site) : resolve(io.cwd, options.after);
    const limit = options.limit ?? ledgerDifferencesMax;
    const compared = yield* Effect.tryPromise({
      try: () => compareFiles(before, after, limit),
      catch: ofCause,
    });
    const same = compared.groups.reduce((sum, group) => sum + group.same, 0);
    const { site } = compared.before.head;
    if (options.json) {
      const groups = compared.groups.map(({ sums: _sums, ...group }) => group);
      sayJson(io, { ...compared, groups, same });
    } else show(io, compared);
    if (compared.different === 0) {
      if (!options.json) say(io, `the ledgers of site ${site} agree in all ${plural(same, "record")}`);
      return undefined;
    }
    return yield* no(
      options.json
        ? ""
        : `${plural(compared.different, "record")} of ${site} differ, ${count(same)} are the same`,
    );
  });

/** In a folder of its own, which ends with the command. */
const savedNow = (io: IoService, site: string | null): Effect.Effect<string, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "orrery-ledger-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
    );
    const file = join(folder, "now");
    yield* saveNow(io, site, file);
    return file;
  });
