/**
 * What the ledger says of the night, as it happens: a follower's picture in memory. Level-triggered like every follower:
 * it counts records, never events, so that nothing is counted twice however often it is told.
 */
import type { Change } from "../jetstream/follower.ts";
import { claimOfKey, noDay, placeOfRecordKey } from "../protocol/keys.ts";
import type { ClaimSlot, FileBody, State } from "../protocol/records.ts";
import { decodeRecord, decodeSlot } from "../protocol/records.ts";
import { decodeRun, partitionName } from "../protocol/runs.ts";

export type Tone = "plain" | "good" | "warn" | "bad" | "note";

export interface NightEvent {
  /** Milliseconds since the night began. */
  readonly at: number;
  readonly tone: Tone;
  readonly text: string;
}

export interface LaneCounts {
  known: number;
  failing: number;
  waiting: number;
  parked: number;
}

export interface ExposureState {
  /** Science detectors that will be known. */
  readonly planned: number;
  readonly known: Set<string>;
  /** Detectors that the quick-look still lacks. */
  readonly lacks: Set<string>;
  /** Null: there is no run. */
  run: RunState | null;
}

export type RunState = "ready" | "running" | "done" | "failed";

export interface Hand {
  readonly node: string;
  readonly mailbox: string;
  readonly slot: ClaimSlot;
}

const eventsKept = 500;

/** Keys of the ledger that belong to a night. Keys that name no day are told apart by what is expected. */
export const nightKeys = (day: string): ReadonlyArray<string> => [
  `file.*.${day}.>`,
  `file.*.${noDay}.>`,
  `run.*.${day}.>`,
  "claim.>",
];

interface SeenFile {
  readonly lane: string;
  readonly state: State;
  /** The node that made it known. */
  readonly by: string | null;
  /** Other contents that were refused under its name. */
  readonly refused: number;
}

interface SeenRun {
  readonly exposure: string;
  readonly state: RunState;
  /** Products of a run that is done. */
  readonly products: number;
}

const runState = (run: ReturnType<typeof decodeRun>): RunState => {
  if (run.state === "done" || run.state === "known") return "done";
  if (run.state === "parked") return "failed";
  return run.body.started !== null && run.body.started.generation === run.generation ? "running" : "ready";
};

export class NightPicture {
  readonly files = new Map<string, SeenFile>();
  readonly runs = new Map<string, SeenRun>();
  /** What each worker's slot holds, by its key. */
  readonly hands = new Map<string, Hand>();
  readonly exposures = new Map<string, ExposureState>();
  readonly events: Array<NightEvent> = [];
  readonly #day: string;
  readonly #began: number;
  /** Without a day in their key: records of other nights stand beside ours. */
  readonly #ours = new Set<string>();
  /** Told of each change of a slot. */
  onHand: (key: string, hand: Hand) => void = () => undefined;
  onEvent: (event: NightEvent) => void = () => undefined;

  readonly #products: string;

  /** @param products lane of what the runs make */
  constructor(day: string, products: string) {
    this.#day = day;
    this.#products = products;
    this.#began = performance.now();
  }

  /** Milliseconds since the night began. */
  now(): number {
    return performance.now() - this.#began;
  }

  say(tone: Tone, text: string): void {
    const event = { at: this.now(), tone, text };
    this.events.push(event);
    if (this.events.length > eventsKept) this.events.shift();
    this.onEvent(event);
  }

  /** A record is about to be made whose key names no day. */
  expect(key: string): void {
    this.#ours.add(key);
  }

  expectExposure(name: string, planned: number, needed: ReadonlyArray<string>): void {
    this.exposures.set(name, { planned, known: new Set(), lacks: new Set(needed), run: null });
  }

  state(key: string): State | null {
    return this.files.get(key)?.state ?? null;
  }

  /** Takes one change of the ledger, in order. */
  learn(change: Change): void {
    if (change.ended) return;
    if (change.key.startsWith("claim.")) this.#learnHand(change);
    else if (change.key.startsWith("run.")) this.#learnRun(change);
    else this.#learnFile(change);
  }

  #learnHand(change: Change): void {
    const owner = claimOfKey(change.key);
    if (owner === null) return;
    const hand = { node: owner.node, mailbox: owner.mailbox, slot: decodeSlot(change.key, change.data) };
    this.hands.set(change.key, hand);
    this.onHand(change.key, hand);
  }

  #learnFile(change: Change): void {
    const place = placeOfRecordKey(change.key);
    if (place === null || (place.day !== this.#day && !this.#ours.has(change.key))) return;
    const record = decodeRecord<FileBody>(change.key, change.data);
    const seen = this.files.get(change.key);
    const before = seen?.state ?? null;
    const by = record.history.findLast((entry) => entry.event === "known")?.node ?? null;
    const refused = record.refused?.length ?? 0;
    this.files.set(change.key, { lane: place.mailbox, state: record.state, by, refused });
    const name = record.body.key.slice(record.body.key.lastIndexOf("/") + 1);
    const last = record.errors.at(-1);
    if (refused > (seen?.refused ?? 0)) this.say("warn", `${name}: other content under its name was refused`);
    if (record.state === before) return;
    if (record.state === "parked") this.say("bad", `parked ${name || "a record"}: ${last?.reason ?? "?"}`);
    if (record.state === "failing" && last?.class === "transient") {
      this.say("warn", `${name}: ${last.reason}, tried again`);
    }
    if (record.state === "waiting") this.say("note", `${name} waits for its exposure`);
    if (record.state === "known") this.#known(record.body);
  }

  #known({ identity }: FileBody): void {
    const exposure = this.exposures.get(identity?.exposure ?? "");
    const detector = identity?.detector ?? null;
    if (exposure === undefined || detector === null || !/_S\d\d$/.test(detector)) return;
    exposure.known.add(detector);
    if (exposure.lacks.delete(detector) && exposure.lacks.size === 0) {
      this.say("plain", `${identity?.exposure} is complete`);
    }
  }

  #learnRun(change: Change): void {
    const run = decodeRun(change.key, change.data);
    const exposure = partitionName(run.body.partition);
    const state = runState(run);
    const before = this.runs.get(change.key)?.state ?? null;
    this.runs.set(change.key, { exposure, state, products: run.body.outputs?.length ?? 0 });
    const seen = this.exposures.get(exposure);
    if (seen !== undefined) seen.run = state;
    if (state === before) return;
    const { result } = run.body;
    if (state === "done" && result !== null) {
      const seconds = (Date.parse(result.endedAt) - Date.parse(result.startedAt)) / 1_000;
      this.say("good", `quick-look of ${exposure} made in ${seconds.toFixed(1)} s`);
    }
    if (state === "failed")
      this.say("bad", `quick-look of ${exposure} failed: ${run.errors.at(-1)?.reason ?? "?"}`);
  }

  lanes(): ReadonlyMap<string, LaneCounts> {
    const lanes = new Map<string, LaneCounts>();
    for (const { lane, state } of this.files.values()) {
      const counts = lanes.get(lane) ?? { known: 0, failing: 0, waiting: 0, parked: 0 };
      if (state === "known" || state === "failing" || state === "waiting" || state === "parked")
        counts[state]++;
      lanes.set(lane, counts);
    }
    return lanes;
  }

  /** Files made known by a node. */
  settledBy(node: string): number {
    let count = 0;
    for (const { by } of this.files.values()) if (by === node) count++;
    return count;
  }

  /** Items in the hands of a node's workers. */
  inHand(node: string): number {
    let count = 0;
    for (const hand of this.hands.values()) {
      if (hand.node === node && hand.slot.state === "claimed") count += hand.slot.items.length;
    }
    return count;
  }

  /** Products of the runs that are done, and how many products are known. */
  productsWanted(): number {
    let count = 0;
    for (const { state, products } of this.runs.values()) if (state === "done") count += products;
    return count;
  }

  productsKnown(): number {
    let count = 0;
    for (const { lane, state } of this.files.values())
      if (lane === this.#products && state === "known") count++;
    return count;
  }

  runCounts(): Readonly<Record<RunState, number>> {
    const counts = { ready: 0, running: 0, done: 0, failed: 0 };
    for (const { state } of this.runs.values()) counts[state]++;
    return counts;
  }
}
