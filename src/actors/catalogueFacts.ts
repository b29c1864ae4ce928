/**
 * From the ledger to the facts of the job catalogue. What a key says now replaces what it said before; nothing is remembered of how
 * it came to be.
 *
 * A run counts as done once all that it made is in the index: until then whoever takes its products would still see the old ones.
 */
import type { JobCatalogue } from "../config/JobCatalogue.ts";
import type { Site } from "../config/Site.ts";
import type { Change } from "../jetstream/follower.ts";
import type { SourceState } from "../jetstream/sitesBucket.ts";
import type { Fact, RunFact, RunState } from "../jobs/fact.ts";
import type { Place, StandingFile } from "../jobs/places.ts";
import type { IndexedFile } from "../jobs/indexed.ts";
import { indexedFile } from "../jobs/indexed.ts";
import type { Instant } from "../jobs/instant.ts";
import { parseInstant } from "../jobs/instant.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { decodeJob } from "../protocol/jobs.ts";
import { decodeKeyPart, jobKey, placeOfRecordKey } from "../protocol/keys.ts";
import type { Order, Redo } from "../protocol/orders.ts";
import { decodeOrder, decodeRedo } from "../protocol/orders.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import { decodeRecord, LedgerCorrupt } from "../protocol/records.ts";
import type { RunBody, RunInput } from "../protocol/runs.ts";
import { decodeRun } from "../protocol/runs.ts";
import { FilePlaces, placeOf } from "./filePlaces.ts";
import type { OtherFile, Over } from "./otherFiles.ts";
import { OtherFiles } from "./otherFiles.ts";

/** A table whose rows are in its content: somebody has to read it. */
export interface TableFile {
  readonly name: string;
  readonly record: string;
  /** Where this site has it not: at another. */
  readonly elsewhere?: Place;
}

/** How a job's record stands in the ledger. */
export interface Standing {
  readonly revision: number;
  /** What it says, as {@link saying} writes it; null: it says nothing (any more). */
  readonly said: string | null;
  /** Highest minor version of the partition's runs that have begun; 0: none has. */
  readonly minor: number;
}

export interface Learnt {
  readonly facts: ReadonlyArray<Fact>;
  /** Tables that came or changed. */
  readonly tables: ReadonlyArray<TableFile>;
  readonly redo: Redo | null;
  /** What is wrong with a value that nobody of us wrote; null: it could be read. */
  readonly corrupt: string | null;
  /** Of a file with different content at two sites: which is taken. */
  readonly conflict: string | null;
}

const nothing: Learnt = { facts: [], tables: [], redo: null, corrupt: null, conflict: null };
const only = (...facts: ReadonlyArray<Fact>): Learnt => ({ ...nothing, facts });

/** Everything of a job's record that others are told by: two that say the same are not written over one another. */
export const saying = (record: JobRecord): string =>
  JSON.stringify([
    record.state,
    record.inputs,
    record.run,
    record.version,
    record.blockedOn,
    record.catalogue?.incomplete ?? null,
  ]);

const noVersion = { legacy: true, major: 0, minor: 0 };

/** Where a file lies, as its record says. */
export interface Lying {
  readonly record: string;
  readonly bucket: string;
  readonly key: string;
  /** Of its content: another site's store may have another for the same. */
  readonly etag: string;
  readonly uri: string;
  /** Another site, where this one has it not. */
  readonly site?: string;
  readonly size?: number;
  readonly digest?: string;
}

interface Whereabouts extends Omit<Lying, "uri"> {
  readonly prefix: string;
  readonly ends: boolean;
}

interface Unaccounted {
  readonly run: RunFact;
  readonly missing: Set<string>;
}

export class CatalogueFacts {
  readonly #catalogue: JobCatalogue;
  readonly #lanes: ReadonlySet<string>;
  /** By file name: where the file that is known under it lies. */
  readonly #records = new Map<string, Whereabouts>();
  /** What addresses begin with: few, each shared by thousands. */
  readonly #prefixes = new Map<string, string>();
  /** Names of files that have come to an end, good or bad: a product of these is accounted for. */
  readonly #ended = new Set<string>();
  readonly #tables = new Set<string>();
  /** When files for all time came, by name: their ranges do not say how old they are. */
  readonly #came = new Map<string, Instant>();
  readonly #standings = new Map<string, Standing>();
  /** Runs that are done, with what of theirs is not in the index yet; by the key of their record. */
  readonly #unaccounted = new Map<string, Unaccounted>();
  readonly #waitsFor = new Map<string, Set<string>>();
  /** Records of jobs of which a run's record cannot be read. */
  readonly #unreadable = new Set<string>();
  #seen = 0;
  /** Null at a site that takes no other site's files: each of its own has one place. */
  readonly #places: FilePlaces | null;
  readonly #others: OtherFiles;

  constructor(site: Pick<Site, "lanes" | "filesOf">, catalogue: JobCatalogue) {
    this.#catalogue = catalogue;
    this.#places = site.filesOf === null ? null : new FilePlaces();
    this.#others = new OtherFiles(site.filesOf?.sites.keys() ?? []);
    this.#lanes = new Set(
      [...site.lanes.values()].filter((lane) => lane.names !== null).map((lane) => lane.name),
    );
  }

  /** What to follow: keys of the ledger, with wildcards. */
  get keys(): ReadonlyArray<string> {
    return [...[...this.#lanes].map((lane) => `file.${lane}.>`), "run.>", "job.>", "order.>", "redo.>"];
  }

  /** Revision of the newest change seen. */
  get seen(): number {
    return this.#seen;
  }

  /** Key of the record of a known file. */
  recordOf(name: string): string | null {
    return this.#records.get(name)?.record ?? null;
  }

  /** Where a known file lies; null for a name that is not known (any more). */
  whereabouts(name: string): Lying | null {
    if (this.#places !== null) return lyingOf(this.#places.standing(name));
    const found = this.#records.get(name);
    if (found === undefined) return null;
    const { record, bucket, key, prefix, etag, ends } = found;
    return { record, bucket, key, etag, uri: ends ? prefix + key : prefix };
  }

  /** With all of its places; null at a site that takes no other site's files, and for a name that is not known. */
  placesOf(name: string): StandingFile | null {
    return this.#places?.standing(name) ?? null;
  }

  /** When a file came that is for all time; null for all others. */
  cameAt(name: string): Instant | null {
    return this.#came.get(name) ?? null;
  }

  standing(key: string): Standing {
    return this.#standings.get(key) ?? { revision: 0, said: null, minor: 0 };
  }

  /** Whether one of the partition's runs can never be seen: its record was written over by hand. */
  isUnreadable(key: string): boolean {
    return this.#unreadable.has(key);
  }

  /** The record of a job is there no more, its day was purged: the next one is its first. */
  purged(key: string): void {
    this.#standings.set(key, { revision: 0, said: null, minor: 0 });
  }

  /** The record of a job was written, by us or as was just read: what is older is not learnt. */
  stands(key: string, revision: number, record: JobRecord | null): void {
    if (revision < this.standing(key).revision) return;
    const minor = record?.catalogue?.minor ?? 0;
    this.#standings.set(key, { revision, said: record === null ? null : saying(record), minor });
  }

  /** A value that nobody of us wrote says nothing, and stops nothing else. */
  apply(change: Pick<Change, "key" | "revision" | "data" | "ended">): Learnt {
    this.#seen = Math.max(this.#seen, change.revision);
    try {
      return this.#read(change);
    } catch (cause) {
      // A body that is none of ours may fail anywhere below.
      const corrupt =
        cause instanceof LedgerCorrupt ? cause : new LedgerCorrupt(change.key, "what it should");
      return { ...this.#withoutValue(change), corrupt: corrupt.message };
    }
  }

  /** As `apply`, of what another site has. */
  applyOther(change: Pick<Change, "key" | "data" | "ended" | "at">): Learnt {
    try {
      const found = this.#others.apply(change);
      return found === null ? nothing : this.#other(found);
    } catch (cause) {
      const corrupt =
        cause instanceof LedgerCorrupt ? cause : new LedgerCorrupt(change.key, "what it should");
      return { ...nothing, corrupt: corrupt.message };
    }
  }

  /** Whether something stands of a life before a site was rebuilt. */
  get hasFormerLives(): boolean {
    return this.#others.hasFormer;
  }

  /** What sites that were rebuilt do not have any more: see {@link OtherFiles.over}. @param now epoch ms, by the site's server */
  formerLives(
    now: number,
    sources: ReadonlyArray<SourceState>,
  ): Pick<Over, "lives" | "kept"> & { readonly learnt: ReadonlyArray<Learnt> } {
    const { files, lives, kept } = this.#others.over(now, sources);
    return { learnt: files.map((file) => this.#other(file)), lives, kept };
  }

  #other({ site, name, place, receivedAt }: OtherFile): Learnt {
    const places = this.#places;
    if (places === null) return nothing;
    if (place === null) places.drop(name, site);
    else places.put(place);
    if (place !== null && receivedAt !== null && !this.#came.has(name))
      this.#noteCame(place.file, receivedAt);
    return this.#standing(places, name);
  }

  /** A file as it stands after one of its places came, changed or went. */
  #standing(places: FilePlaces, name: string): Learnt {
    const chosen = places.standing(name)?.places[0];
    if (chosen === undefined) return only(...this.#withdrawn(name));
    const isTable = this.#catalogue.recogniser.kinds.get(chosen.file.kind)?.selection === "table";
    if (isTable) this.#tables.add(name);
    const { record, site } = chosen;
    return {
      ...only(places.factOf(name)),
      tables: isTable ? [{ name, record, ...(site === null ? {} : { elsewhere: chosen }) }] : [],
      conflict: places.conflictOf(name),
    };
  }

  #noteCame(file: IndexedFile, receivedAt: string): void {
    if (this.#catalogue.recogniser.kinds.get(file.kind)?.selection !== "timeless") return;
    const came = parseInstant(receivedAt);
    if (came !== null) this.#came.set(file.name, came);
  }

  #withoutValue({ key, revision }: Pick<Change, "key" | "revision">): Learnt {
    if (key.startsWith("job.")) {
      // What came before it has been seen: the next record may take its place.
      this.#standings.set(key, { revision, said: null, minor: 0 });
      return nothing;
    }
    const lost = key.startsWith("run.") ? this.#lostRun(key) : null;
    if (lost === null) return nothing;
    this.#unaccounted.delete(key);
    this.#unreadable.add(lost.of);
    return only({ type: "run", run: lost.run });
  }

  /** What its key alone says: that it began. Nobody begins it again unasked, so it counts as failed. */
  #lostRun(key: string): { readonly of: string; readonly run: RunFact } | null {
    const place = placeOfRecordKey(key);
    const parts = place === null ? undefined : decodeKeyPart(place.tail)?.split("/");
    const [instrument, partition, hash] = parts?.slice(-3) ?? [];
    const job = parts?.slice(0, -3).join("/") ?? "";
    if (place === null || partition === undefined || hash === undefined) return null;
    if (!this.#catalogue.jobs.has(job)) return null;
    const day = decodeKeyPart(place.day) ?? place.day;
    return {
      of: jobKey(job, day, `${instrument}/${partition}`),
      run: {
        job,
        partition,
        hash,
        state: "failed",
        minor: 0,
        inputs: [],
        incomplete: null,
        at: 0,
        again: null,
      },
    };
  }

  #read(change: Pick<Change, "key" | "revision" | "data" | "ended">): Learnt {
    switch (change.key.slice(0, change.key.indexOf("."))) {
      case "file":
        return this.#file(change);
      case "run":
        return this.#run(change);
      case "job":
        return this.#job(change);
      case "order":
        return change.ended ? nothing : only(...factsOfOrder(decodeOrder(change.key, change.data)));
      case "redo":
        return change.ended ? nothing : { ...nothing, redo: decodeRedo(change.key, change.data) };
      default:
        return nothing;
    }
  }

  #file({ key, data, ended }: Pick<Change, "key" | "data" | "ended">): Learnt {
    const place = placeOfRecordKey(key);
    if (place === null || !this.#lanes.has(place.mailbox)) return nothing;
    const record = ended ? null : decodeRecord<FileBody>(key, data);
    const file = record?.state === "known" ? indexedFile(record.body, record.etag) : null;
    if (record === null || file === null) {
      const name = decodeKeyPart(place.tail);
      if (name === null) return nothing;
      const known = this.#records.delete(name);
      // Given up on: it was made, and what became of it is for whoever looks at what is parked.
      const accounted = record?.state === "parked" ? this.#account(name) : [];
      if (known && this.#places !== null) {
        this.#places.drop(name, null);
        const learnt = this.#standing(this.#places, name);
        return { ...learnt, facts: [...learnt.facts, ...accounted] };
      }
      return only(...(known ? this.#withdrawn(name) : []), ...accounted);
    }
    this.#records.set(file.name, this.#whereabouts(key, record));
    this.#noteCame(file, record.body.receivedAt);
    if (this.#places !== null) {
      this.#places.put(placeOf(null, key, record, file));
      const learnt = this.#standing(this.#places, file.name);
      return { ...learnt, facts: [...learnt.facts, ...this.#account(file.name)] };
    }
    const isTable = this.#catalogue.recogniser.kinds.get(file.kind)?.selection === "table";
    if (isTable) this.#tables.add(file.name);
    return {
      ...only({ type: "file", file }, ...this.#account(file.name)),
      tables: isTable ? [{ name: file.name, record: key }] : [],
    };
  }

  #whereabouts(key: string, { etag, body }: LedgerRecord<FileBody>): Whereabouts {
    const { uri } = body;
    // An address that does not end with the key is kept as it is, before nothing.
    const ends = uri.endsWith(body.key);
    const prefix = ends ? uri.slice(0, uri.length - body.key.length) : uri;
    const shared = this.#prefixes.get(prefix) ?? prefix;
    if (ends) this.#prefixes.set(prefix, shared);
    return { record: key, bucket: body.bucket, key: body.key, etag, prefix: shared, ends };
  }

  #withdrawn(name: string): ReadonlyArray<Fact> {
    const facts: Array<Fact> = [{ type: "withdrawn", name }];
    if (this.#tables.delete(name))
      facts.push({ type: "table", name, start: 0, version: noVersion, repoints: null });
    return facts;
  }

  #account(name: string): ReadonlyArray<Fact> {
    this.#ended.add(name);
    const facts: Array<Fact> = [];
    for (const key of this.#waitsFor.get(name) ?? []) {
      const waits = this.#unaccounted.get(key);
      waits?.missing.delete(name);
      if (waits?.missing.size !== 0) continue;
      this.#unaccounted.delete(key);
      facts.push({ type: "run", run: waits.run });
    }
    this.#waitsFor.delete(name);
    return facts;
  }

  #run({ key, data, ended }: Pick<Change, "key" | "data" | "ended">): Learnt {
    if (ended) return nothing;
    const record = decodeRun(key, data);
    if (!this.#catalogue.jobs.has(record.body.job)) return nothing;
    const run = runFactOf(record);
    if (run === null) return nothing;
    this.#unaccounted.delete(key);
    const renamed = this.#taken(record.body.inputs);
    const missing =
      run.state === "done" ? (record.body.outputs ?? []).filter(({ name }) => !this.#ended.has(name)) : [];
    if (missing.length === 0) return only(...renamed, { type: "run", run });
    this.#unaccounted.set(key, { run, missing: new Set(missing.map(({ name }) => name)) });
    for (const { name } of missing) {
      const waiting = this.#waitsFor.get(name);
      if (waiting === undefined) this.#waitsFor.set(name, new Set([key]));
      else waiting.add(key);
    }
    return only(...renamed, { type: "run", run: { ...run, state: "running" } });
  }

  /** Files that go by another tag of theirs since: that by which the run took them. */
  #taken(inputs: ReadonlyArray<RunInput>): ReadonlyArray<Fact> {
    const places = this.#places;
    if (places === null) return [];
    return inputs.flatMap((input) =>
      input.name !== undefined && places.took(input) ? [places.factOf(input.name)] : [],
    );
  }

  #job({ key, revision, data, ended }: Pick<Change, "key" | "revision" | "data" | "ended">): Learnt {
    if (ended) {
      if (this.#standings.has(key)) this.#standings.set(key, { revision, said: null, minor: 0 });
      return nothing;
    }
    const record = decodeJob(key, data);
    if (this.#catalogue.jobs.has(record.job)) this.stands(key, revision, record);
    return nothing;
  }
}

/** The first of its places: the own site's, where it has one. */
function lyingOf(standing: StandingFile | null): Lying | null {
  const [place] = standing?.places ?? [];
  if (standing === null || place === undefined) return null;
  const { record, bucket, key, uri, site, size, digest } = place;
  return {
    record,
    bucket,
    key,
    uri,
    etag: standing.file.content,
    ...(site === null ? {} : { site }),
    ...(size === null ? {} : { size }),
    ...(digest === null ? {} : { digest }),
  };
}

/** Null for a run of an exposure. */
export function runFactOf(record: LedgerRecord<RunBody>): RunFact | null {
  const { job, partition, plan, hash, inputs, createdAt } = record.body;
  if (!("kind" in partition) || plan === undefined) return null;
  return {
    job,
    partition: partition.name,
    hash,
    state: runStateOf(record),
    minor: plan.minor,
    inputs: inputs.map(recordedInput),
    incomplete: plan.incomplete ? (plan.share ?? { have: 0, of: 0 }) : null,
    at: parseInstant(createdAt) ?? 0,
    again: plan.again ?? null,
  };
}

const recordedInput = ({ dataset, name, etag, key }: RunInput): RunFact["inputs"][number] => ({
  dataset: dataset ?? "",
  name: name ?? key,
  content: etag,
});

function runStateOf({ state, generation, body }: LedgerRecord<RunBody>): RunState {
  if (state === "parked") return "failed";
  if (state === "done" || state === "known") return body.ended?.how ?? "done";
  return body.started !== null && body.started.generation === generation ? "running" : "ready";
}

function factsOfOrder({ job, partition, hold, again }: Order): ReadonlyArray<Fact> {
  const one = partition === "" ? null : partition;
  const facts: Array<Fact> = [{ type: "hold", job, partition: one, held: hold !== null }];
  // Taken back, or never asked: what is known of it from before must not stand.
  if (one !== null && again === null) facts.push({ type: "never", job, partition: one, id: null });
  if (one !== null && again !== null) {
    const at = parseInstant(again.at);
    const order = { type: "again", job, partition: one, id: again.id, now: again.now } as const;
    facts.push(at === null ? order : { ...order, at });
  }
  return facts;
}
