import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LedgerChange } from "../../../src/actors/jobFacts.ts";
import { JobFacts } from "../../../src/actors/jobFacts.ts";
import type { FileFact, JobRecord, JobRule } from "../../../src/protocol/jobs.ts";
import { decodeJob, evaluate, partitionKey, partitionOf } from "../../../src/protocol/jobs.ts";
import { objectTail, placeOfRecordKey, readyKey, recordKey } from "../../../src/protocol/keys.ts";
import type { State } from "../../../src/protocol/records.ts";
import { encodeJson } from "../../../src/protocol/records.ts";
import { decodeRun, fillKey, hashOfRun, readyOfSubject, verdictOf } from "../../../src/protocol/runs.ts";
import { plainRecord } from "../../support/records.ts";

const partition = { instrument: "LSSTCam", day: "20251121", exposure: "MC_O_20251121_000156#1" };

const job = (
  inputs: ReadonlyArray<Partial<JobRule["inputs"][number]>>,
  more: Partial<JobRule> = {},
): JobRule => ({
  name: "quicklook",
  version: "1",
  lane: "quick",
  inputs: inputs.map((input) => ({
    lane: "raw",
    match: null,
    required: true,
    count: null,
    detectors: [],
    ...input,
  })),
  ...more,
});

const file = (detector: string | null, etag = "e", lane = "raw"): FileFact => {
  const key = `night/${detector ?? "whole"}.fits`;
  const place = { mailbox: lane, day: partition.day, tail: objectTail("bucket", key) };
  return { record: recordKey(place), lane, bucket: "bucket", key, etag, uri: `s3://bucket/${key}`, detector };
};

describe("a job's partition", () => {
  it("waits for every detector that is named, and says which are not there", () => {
    const rule = job([{ detectors: ["A", "B", "C"] }]);
    expect(evaluate(rule, partition, [file("B"), file("X")])).toEqual({ type: "blocked", on: ["raw: A, C"] });
    const ready = evaluate(rule, partition, [file("C"), file("A"), file("X"), file("B")]);
    expect(ready.type === "ready" && ready.inputs.map((input) => input.detector)).toEqual(["A", "B", "C"]);
  });

  it("waits for as many files as are asked for, of those that match", () => {
    const rule = job([{ count: 2, match: /[AB]\.fits$/ }]);
    expect(evaluate(rule, partition, [file("A"), file("C")])).toEqual({
      type: "blocked",
      on: ["raw: 1 of 2 files like [AB]\\.fits$"],
    });
    expect(evaluate(rule, partition, [file("A"), file("B"), file("C")]).type).toBe("ready");
  });

  it("takes what is not required when it is there, and does not wait for it", () => {
    const rule = job([{ count: 1 }, { lane: "guiders", required: false, detectors: ["G"] }]);
    const without = evaluate(rule, partition, [file("A")]);
    const guided = evaluate(rule, partition, [file("A"), file("G", "e", "guiders")]);
    expect(without.type === "ready" && without.inputs.length).toBe(1);
    expect(guided.type === "ready" && guided.inputs.length).toBe(2);
  });

  it("names a long list shortly", () => {
    const detectors = Array.from({ length: 189 }, (_, i) => `D${i}`);
    const blocked = evaluate(job([{ detectors }]), partition, []);
    expect(blocked.type === "blocked" && blocked.on[0]).toMatch(/D11 and 177 more$/);
  });

  it("has inputs whose hash follows content and version, not order", () => {
    const rule = job([{ count: 2 }]);
    const hash = (of: JobRule, files: ReadonlyArray<FileFact>): string => {
      const ready = evaluate(of, partition, files);
      return ready.type === "ready" ? ready.hash : "";
    };
    const base = hash(rule, [file("A"), file("B")]);
    expect(base).toMatch(/^[0-9a-f]{16}$/);
    expect(hash(rule, [file("B"), file("A")])).toBe(base);
    expect(hash(rule, [file("A"), file("B", "other")])).not.toBe(base);
    expect(hash({ ...rule, version: "2" }, [file("A"), file("B")])).not.toBe(base);
  });

  it("is told by a file's identity", () => {
    const identity = {
      instrument: "LATISS",
      day: "20250415",
      exposure: "228",
      group: null,
      snap: null,
      detector: null,
      seq: null,
    };
    expect(partitionOf(identity)).toEqual({ instrument: "LATISS", day: "20250415", exposure: "228" });
    expect(partitionOf({ ...identity, day: null, instrument: null })).toMatchObject({
      day: "-",
      instrument: "-",
    });
    expect(partitionOf(null)).toBeNull();
    expect(partitionOf({ ...identity, exposure: null })).toBeNull();
    expect(partitionOf({ ...identity, exposure: "\ud800" })).toBeNull();
    expect(partitionOf({ ...identity, exposure: "é".repeat(2_000) })).toBeNull();
  });
});

describe("a ready key", () => {
  it("comes back from its subject, whatever the exposure is called", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", minLength: 1, maxLength: 40 }).filter((text) => text.isWellFormed()),
        fc.nat(1_000),
        (exposure, generation) => {
          const rule = job([{ count: 1 }]);
          const facts = new JobFacts(new Map([[rule.name, rule]]));
          const [of] = facts.apply(fileChange(1, "A", "known", { ...partition, exposure }));
          if (of === undefined) throw new Error("not taken in");
          const decision = facts.decide(of, { now: 0, node: "n" });
          if (decision.type !== "start") throw new Error(decision.type);
          const subject = `$KV.ledger.${readyKey(decision.place, generation)}`;
          expect(readyOfSubject("quick", subject)).toEqual({ place: decision.place, generation });
          expect(hashOfRun(decision.place.tail)).toBe(decision.run.etag);
          expect(placeOfRecordKey(recordKey(decision.place))).toEqual(decision.place);
        },
      ),
    );
  });

  it("is told from other subjects", () => {
    for (const subject of [
      "$KV.ledger.ready.other.day.tail.0",
      "$KV.ledger.ready.quick.day",
      "$KV.ledger.ready.quick.day.tail.x",
      "$KV.ledger.ready.quick.day.0",
    ]) {
      expect(readyOfSubject("quick", subject)).toBeNull();
    }
  });
});

describe("the end of a command", () => {
  const end = (exit: number | null, timedOut = false) => ({ exit, timedOut, lastLine: "why" });
  it.each([
    [end(0), [], "done", undefined],
    [end(0), ["a.json", "b.png"], "permanent", "OutputMissing"],
    [end(75), [], "transient", "TemporaryFailure"],
    [end(65), [], "permanent", "BadInput"],
    [end(1), [], "transient", "CommandFailed"],
    [end(127), [], "transient", "CommandNotFound"],
    [end(137), [], "transient", "CommandKilled"],
    [end(null), [], "transient", "CommandKilled"],
    [end(null, true), [], "transient", "TimeLimit"],
    [end(0, true), [], "transient", "TimeLimit"],
  ])("%j with missing %j is %s %s", (of, missing, type, reason) => {
    const verdict = verdictOf(of, missing, 1_500);
    expect(verdict).toMatchObject(reason === undefined ? { type } : { type, reason });
  });

  it("names what is missing, and says the last words", () => {
    const verdict = verdictOf(end(0), ["a.json", "b.png"], 1_500);
    expect(verdict.type !== "done" && verdict.detail).toMatch(/a\.json, b\.png.*why$/);
  });
});

it("an output's key names its partition and run", () => {
  expect(fillKey("{day}/{exposure}/{instrument}/{run}/{other}", partition, "r")).toBe(
    `20251121/${partition.exposure}/LSSTCam/r/{other}`,
  );
});

function fileChange(
  revision: number,
  detector: string,
  state: State,
  of: typeof partition,
  etag = "e",
): LedgerChange {
  const { record, bucket, key, uri } = file(detector);
  const body = { bucket, key, uri, identity: { ...of, detector, group: null, snap: null, seq: null } };
  const data = encodeJson(plainRecord(state, body, { etag }));
  return { key: record, revision, data, ended: false };
}

/** A ledger in memory: keys with revisions, transactions that expect them. */
class Ledger {
  #last = 0;
  readonly keys = new Map<string, LedgerChange>();

  write(writes: ReadonlyArray<{ key: string; data: Uint8Array; expected?: number }>): number | null {
    const fits = writes.every(
      ({ key, expected }) => expected === undefined || (this.keys.get(key)?.revision ?? 0) === expected,
    );
    if (!fits) return null;
    for (const { key, data } of writes)
      this.keys.set(key, { key, data, revision: ++this.#last, ended: false });
    return this.#last - writes.length + 1;
  }

  /** Latest state of each key, in order of last change, after a revision. */
  after(revision: number): ReadonlyArray<LedgerChange> {
    return [...this.keys.values()]
      .filter((change) => change.revision > revision)
      .sort((a, b) => a.revision - b.revision);
  }

  withPrefix(prefix: string): ReadonlyArray<LedgerChange> {
    return [...this.keys.values()].filter((change) => change.key.startsWith(prefix));
  }
}

/** One node's resolver, stepped by hand: it sees one change at a time, and decides when it is told to. */
class Resolver {
  readonly #ledger: Ledger;
  readonly #facts: JobFacts;
  readonly #touched = new Set<ReturnType<JobFacts["apply"]>[number]>();
  #seen = 0;
  writes = 0;

  constructor(ledger: Ledger, rule: JobRule) {
    this.#ledger = ledger;
    this.#facts = new JobFacts(new Map([[rule.name, rule]]));
  }

  see(): boolean {
    const [change] = this.#ledger.after(this.#seen);
    if (change === undefined) return false;
    this.#seen = change.revision;
    if (/^(file|run|job)\./.test(change.key)) {
      for (const of of this.#facts.apply(change)) this.#touched.add(of);
    }
    return true;
  }

  /** False when there was nothing to decide. */
  decide(): boolean {
    const [of] = this.#touched;
    if (of === undefined) return false;
    this.#touched.delete(of);
    const decision = this.#facts.decide(of, { now: 0, node: "n" });
    if (decision.type === "nothing") return true;
    const job = { key: of.key, data: encodeJson(decision.record), expected: of.revision };
    const started =
      decision.type === "start"
        ? [
            { key: recordKey(decision.place), data: encodeJson(decision.run), expected: 0 },
            { key: readyKey(decision.place, 0), data: encodeJson({}), expected: 0 },
          ]
        : [];
    const revision = this.#ledger.write([job, ...started]);
    // Refused: what was written before us is still to be seen.
    if (revision !== null) {
      this.writes++;
      this.#facts.learn(of, revision, decision.record);
    }
    return true;
  }
}

describe("resolvers on several nodes", () => {
  const detectors = ["A", "B", "C", "D"];
  const rules = [
    job([{ detectors: ["A", "B", "C"] }]),
    job([{ count: 3 }]),
    job([{ detectors: ["A"] }, { required: false, detectors: ["B", "D"] }]),
  ];
  const step = fc.oneof(
    fc.record({
      what: fc.constant("file" as const),
      detector: fc.constantFrom(...detectors),
      state: fc.constantFrom<State>("known", "known", "known", "failing", "parked"),
      etag: fc.constantFrom("e", "e", "f"),
    }),
    fc.record({ what: fc.constantFrom("see" as const, "decide" as const), node: fc.nat(2) }),
    fc.record({ what: fc.constant("restart" as const), node: fc.nat(2) }),
  );

  it("start exactly one run, whatever comes, in whatever order, seen whenever by whomever", () => {
    let started = 0;
    fc.assert(
      fc.property(fc.constantFrom(...rules), fc.array(step, { maxLength: 120 }), (rule, steps) => {
        const ledger = new Ledger();
        const nodes = [0, 1, 2].map(() => new Resolver(ledger, rule));
        for (const one of steps) {
          if (one.what === "file") {
            const { key, data } = fileChange(0, one.detector, one.state, partition, one.etag);
            ledger.write([{ key, data }]);
          } else if (one.what === "restart") nodes[one.node] = new Resolver(ledger, rule);
          else nodes[one.node]?.[one.what]();
        }
        // Everything that is needed comes at last, and everybody is let finish.
        for (const detector of detectors) {
          const { key, data } = fileChange(0, detector, "known", partition);
          ledger.write([{ key, data }]);
        }
        let rounds = 0;
        while (nodes.some((node) => [node.see(), node.decide()].includes(true))) {
          if (rounds++ > 2_000) throw new Error("the resolvers fight");
        }
        const runs = ledger.withPrefix("run.");
        const [jobChange] = ledger.withPrefix("job.");
        expect(runs).toHaveLength(1);
        expect(ledger.withPrefix("ready.")).toHaveLength(1);
        const [run] = runs;
        if (run === undefined || jobChange === undefined) throw new Error("no run");
        const record: JobRecord = decodeJob(jobChange.key, jobChange.data);
        const body = decodeRun(run.key, run.data).body;
        expect(jobChange.key).toBe(partitionKey(rule.name, partition));
        expect(record).toMatchObject({ state: "ready", run: run.key, inputs: body.hash, blockedOn: [] });
        // What it was started with was enough.
        expect(
          evaluate(
            rule,
            partition,
            body.inputs.map((input) => ({ ...input, lane: "raw" })),
          ),
        ).toMatchObject({ type: "ready", hash: body.hash });
        started++;
      }),
      { numRuns: 500 },
    );
    expect(started).toBe(500);
  });

  it("say nothing more once they agree", () => {
    const rule = job([{ detectors }]);
    const ledger = new Ledger();
    const nodes = [0, 1, 2].map(() => new Resolver(ledger, rule));
    const settle = (): void => {
      while (nodes.some((node) => [node.see(), node.decide()].includes(true)));
    };
    const { key, data } = fileChange(0, "A", "known", partition);
    ledger.write([{ key, data }]);
    settle();
    const toldSoFar = nodes.reduce((sum, node) => sum + node.writes, 0);
    expect(toldSoFar).toBe(1);
    for (let i = 0; i < 50; i++) ledger.write([{ key, data }]);
    settle();
    const late = new Resolver(ledger, rule);
    // Like the actor, it decides nothing before it has seen everything.
    while (late.see());
    nodes.push(late);
    settle();
    expect(nodes.reduce((sum, node) => sum + node.writes, 0)).toBe(toldSoFar);
  });

  it("leave a job record alone whose run they have not seen", () => {
    const rule = job([{ count: 1 }]);
    const ledger = new Ledger();
    const node = new Resolver(ledger, rule);
    const { key, data } = fileChange(0, "A", "known", partition);
    ledger.write([{ key, data }]);
    while ([node.see(), node.decide()].includes(true));
    const facts = new JobFacts(new Map([[rule.name, rule]]));
    const [told] = ledger.withPrefix("job.");
    if (told === undefined) throw new Error("no job record");
    const [of] = facts.apply(told);
    if (of === undefined) throw new Error("not taken in");
    expect(facts.decide(of, { now: 0, node: "n" })).toEqual({ type: "nothing" });
    facts.apply({ ...fileChange(99, "B", "known", partition) });
    expect(facts.decide(of, { now: 0, node: "n" })).toEqual({ type: "nothing" });
  });

  it("let a file go that is known no more, and find it where its header says now", () => {
    const rule = job([{ detectors: ["A", "B"] }]);
    const ledger = new Ledger();
    const node = new Resolver(ledger, rule);
    const other = { ...partition, exposure: "other" };
    const tell = (detector: string, state: State, of: typeof partition): void => {
      const { key, data } = fileChange(0, detector, state, of);
      ledger.write([{ key, data }]);
      while ([node.see(), node.decide()].includes(true));
    };
    const blocked = (of: typeof partition): string | undefined => {
      const entry = ledger.keys.get(partitionKey(rule.name, of));
      return entry === undefined ? undefined : decodeJob(entry.key, entry.data).blockedOn.join();
    };
    tell("A", "known", partition);
    expect(blocked(partition)).toBe("raw: B");
    tell("A", "known", other);
    expect(blocked(partition)).toBe("raw: A, B");
    expect(blocked(other)).toBe("raw: B");
    tell("A", "failing", other);
    tell("B", "known", other);
    expect(ledger.withPrefix("run.")).toHaveLength(0);
    tell("A", "known", other);
    expect(ledger.withPrefix("run.")).toHaveLength(1);
  });
});
