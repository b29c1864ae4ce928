/** What differs between an asset as it is wanted and as the server has it, in words, and whether the change would lose something. */

export interface Change {
  /** `replace`: ended and made anew. `refuse`: not made, because of what would be lost. */
  readonly kind: "create" | "update" | "replace" | "remove" | "refuse";
  /** `stream KV_ledger`, `consumer ARRIVALS/ingest-raw` */
  readonly asset: string;
  /** In words: what is, what should be. */
  readonly words: string;
  /** What is lost by it, or would be; absent where nothing is. */
  readonly loses?: string;
}

/** Assets, by name without their sort (`KV_ledger`, `ARRIVALS/ingest-raw`), of which a person said that what is lost may be lost. */
export type MayLose = ReadonlySet<string>;
export const nothingMayBeLost: MayLose = new Set();

type Config = Readonly<Record<string, unknown>>;

export interface Difference {
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
}

const isRecord = (value: unknown): value is Config => typeof value === "object" && value !== null;

/** Equal whatever the order of an object's fields. */
function equal(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => equal(x, b[i]));
  if (!isRecord(a) || !isRecord(b) || Array.isArray(a) || Array.isArray(b)) return a === b;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => equal(a[key], b[key]));
}

/** The server leaves out what is off, zero or empty, and writes -1 for no limit. */
const isUnset = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === 0 ||
  value === -1 ||
  value === "" ||
  (Array.isArray(value) && value.length === 0);

export function differences(want: Config, have: Config): ReadonlyArray<Difference> {
  const out: Array<Difference> = [];
  for (const [field, to] of Object.entries(want)) {
    const from = field === "metadata" ? ofOurs(have[field], to) : have[field];
    if (equal(from, to) || (from === undefined && isUnset(to))) continue;
    out.push({ field, from, to });
  }
  return out;
}

/** The server writes into the metadata as well: only what is wanted there is compared. */
function ofOurs(have: unknown, want: unknown): unknown {
  if (!isRecord(have) || !isRecord(want)) return have;
  return Object.fromEntries(Object.keys(want).flatMap((key) => (key in have ? [[key, have[key]]] : [])));
}

/** What no stream of ours has: a limit or a way around that somebody set by hand is drift as well. */
export const unlimited = {
  max_msgs: -1,
  max_bytes: -1,
  max_msg_size: -1,
  max_msgs_per_subject: -1,
  max_age: 0,
  no_ack: false,
  sealed: false,
  deny_purge: false,
} as const;

/** Limits that somebody set on the stream, and that are not wanted. */
export function strayLimits(want: Config, have: Config): ReadonlyArray<Difference> {
  return Object.entries(unlimited).flatMap(([field, to]) =>
    field in want || isUnset(have[field]) ? [] : [{ field, from: have[field], to }],
  );
}

const words = (found: ReadonlyArray<Difference>): string =>
  found.flatMap(({ field, from, to }) => inWords(field, from, to)).join("; ");

const say = (value: unknown): string => (value === undefined ? "unset" : JSON.stringify(value));

const nanosecondFields = new Set([
  "max_age",
  "duplicate_window",
  "ack_wait",
  "subject_delete_marker_ttl",
  "priority_timeout",
  "inactive_threshold",
]);

function ofNanoseconds(value: unknown): string {
  if (isUnset(value)) return "none";
  const seconds = Number(value) / 1e9;
  return seconds >= 86_400 && seconds % 86_400 === 0 ? `${seconds / 86_400} d` : `${seconds} s`;
}

/** Of lists only what comes and goes: a source's settings, or twenty filters, are more than a line holds. */
function inWords(field: string, from: unknown, to: unknown): ReadonlyArray<string> {
  if (nanosecondFields.has(field)) return [`${field}: ${ofNanoseconds(from)} → ${ofNanoseconds(to)}`];
  if (field === "sources") return sourcesInWords(listOf(from), listOf(to));
  if (!Array.isArray(to) && !Array.isArray(from)) return [`${field}: ${say(from)} → ${say(to)}`];
  const [before, after] = [listOf(from).map(say), listOf(to).map(say)];
  const gone = before.filter((each) => !after.includes(each));
  const come = after.filter((each) => !before.includes(each));
  return [`${field}: ${[...gone.map((each) => `-${each}`), ...come.map((each) => `+${each}`)].join(" ")}`];
}

const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : []);

/** Who a source is: the domain that it comes from. */
function sourceName(source: unknown): string {
  if (!isRecord(source)) return say(source);
  const { external, name } = source;
  const api = isRecord(external) ? String(external["api"]) : "";
  return `${/^\$JS\.(.+)\.API$/.exec(api)?.[1] ?? api}/${String(name)}`;
}

const destinations = (source: unknown): string =>
  isRecord(source)
    ? listOf(source["subject_transforms"])
        .map((each) => (isRecord(each) ? String(each["dest"]) : say(each)))
        .join(" ")
    : "";

function sourcesInWords(from: ReadonlyArray<unknown>, to: ReadonlyArray<unknown>): ReadonlyArray<string> {
  const before = new Map(from.map((source) => [sourceName(source), source]));
  const after = new Map(to.map((source) => [sourceName(source), source]));
  const out: Array<string> = [];
  for (const [name, source] of after) {
    const old = before.get(name);
    if (old === undefined) out.push(`source ${name}: none → ${destinations(source)}`);
    else if (!equal(old, source)) {
      const moved = destinations(old) !== destinations(source);
      out.push(
        `source ${name}: ${moved ? `${destinations(old)} → ${destinations(source)}` : `${say(old)} → ${say(source)}`}`,
      );
    }
  }
  for (const name of before.keys()) if (!after.has(name)) out.push(`source ${name}: there → none`);
  return out.length > 0 ? out : ["sources: their order"];
}

export interface StoredNow {
  readonly messages: number;
  /** Epoch milliseconds of the oldest; null where there is none. */
  readonly oldestAt: number | null;
  /** Epoch milliseconds by the server. */
  readonly now: number;
}

/** Settings that the server does not change in place. */
const fixedStream = new Set(["retention", "storage"]);
const switchedOnce = new Set(["allow_msg_ttl", "deny_delete", "deny_purge", "sealed"]);
const fixedConsumer = new Set([
  "deliver_policy",
  "ack_policy",
  "replay_policy",
  "max_waiting",
  "opt_start_seq",
  "opt_start_time",
  "mem_storage",
]);

const messages = (n: number): string => (n === 1 ? "1 message" : `${n.toLocaleString("en-US")} messages`);

/** @param have null where there is none */
export function streamChange(
  name: string,
  want: Config,
  have: Config | null,
  stored: StoredNow,
  mayLose: MayLose,
): Change | null {
  const asset = `stream ${name}`;
  if (have === null) return { kind: "create", asset, words: `create ${asset}` };
  const found = [...differences(want, have), ...strayLimits(want, have)];
  if (found.length === 0) return null;
  const said = `${asset}: ${words(found)}`;
  const fixed = found.filter(({ field, to }) => fixedStream.has(field) || (switchedOnce.has(field) && !to));
  if (fixed.length > 0) {
    const fields = fixed.map(({ field }) => field).join(", ");
    const how = `${said} (${fields} cannot be changed: it has to be made anew)`;
    if (stored.messages === 0) return { kind: "replace", asset, words: how };
    return lossy("replace", name, asset, how, `all that is stored, ${messages(stored.messages)}`, mayLose);
  }
  const less = found.flatMap((each) => lostBy(each, stored));
  return less.length === 0
    ? { kind: "update", asset, words: said }
    : lossy("update", name, asset, said, less.join("; "), mayLose);
}

/** What a change in place makes the server drop. */
function lostBy({ field, from, to }: Difference, stored: StoredNow): ReadonlyArray<string> {
  if (stored.messages === 0) return [];
  const lowered = typeof to === "number" && to > 0 && (isUnset(from) || Number(from) > to);
  if (!lowered) return [];
  switch (field) {
    case "max_age": {
      const from0 = stored.now - to / 1e6;
      return stored.oldestAt !== null && stored.oldestAt < from0
        ? [`messages older than ${ofNanoseconds(to)}`]
        : [];
    }
    case "max_msgs_per_subject":
      return [`all but the last ${to} of each subject`];
    case "max_msgs":
    case "max_bytes":
      return [`what is beyond ${field} ${to}`];
    default:
      return [];
  }
}

export interface ConsumerNow {
  /** Not delivered yet, or delivered and not acknowledged. */
  readonly open: number;
  readonly delivered: number;
}

export function consumerChange(
  name: string,
  want: Config,
  have: Config | null,
  now: ConsumerNow,
  mayLose: MayLose,
): Change | null {
  const asset = `consumer ${name}`;
  if (have === null) return { kind: "create", asset, words: `create ${asset}` };
  const found = differences(want, have);
  if (found.length === 0) return null;
  const said = `${asset}: ${words(found)}`;
  const fixed = found.filter(({ field }) => fixedConsumer.has(field));
  if (fixed.length === 0) return { kind: "update", asset, words: said };
  const fields = fixed.map(({ field }) => field).join(", ");
  const how = `${said} (${fields} cannot be changed: it has to be made anew)`;
  if (now.delivered === 0) return { kind: "replace", asset, words: how };
  return lossy(
    "replace",
    name,
    asset,
    how,
    `how far it is: ${messages(now.delivered)} would be delivered again`,
    mayLose,
  );
}

/** As it is where a person said that it may be lost, else refused, with how to say so. */
export function lossy(
  kind: "update" | "replace" | "remove",
  name: string,
  asset: string,
  said: string,
  loses: string,
  mayLose: MayLose,
): Change {
  return mayLose.has(name)
    ? { kind, asset, words: `${said}; lost: ${loses}`, loses }
    : { kind: "refuse", asset, words: `${said}; would lose ${loses}: --lose ${name} allows it`, loses };
}
