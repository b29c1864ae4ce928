import { describe, expect, it } from "vitest";
import type { FileFacts } from "../../../src/cli/story.ts";
import { fileStory } from "../../../src/cli/story.ts";
import { renderStory, wrap } from "../../../src/cli/why.ts";
import { recordHistoryMax } from "../../../src/limits.ts";
import { objectTail, recordKey } from "../../../src/protocol/keys.ts";
import type { Moment, Outcome } from "../../../src/protocol/lifecycle.ts";
import { crashed, freed, refuse, replayed, settle } from "../../../src/protocol/lifecycle.ts";
import type { FileBody, LedgerRecord } from "../../../src/protocol/records.ts";

const at = Date.UTC(2025, 10, 21, 3);
const place = { mailbox: "raw", day: "20251121", tail: objectTail("raw", "a.fits") };
const rules = { attemptsMax: 3, crashesAloneMax: 3, backoffBaseMs: 1_000, backoffMaxMs: 60_000 };
const body: FileBody = {
  bucket: "raw",
  key: "a.fits",
  size: 14_400,
  uri: "s3://raw/a.fits",
  identity: null,
  metadata: null,
  via: "webhook",
  receivedAt: new Date(at).toISOString(),
  sequence: 7,
};
const moment = (after: number, node = "a"): Moment => ({ now: at + after, random: 0.5, node, claim: "c.1" });
const subject = (before: LedgerRecord<FileBody> | null, etag = "e1") => ({
  place,
  etag,
  generation: before?.generation ?? 0,
  before,
  body,
  alone: false,
});
const settled = (
  before: LedgerRecord<FileBody> | null,
  outcome: Outcome<FileBody>,
  after: number,
  etag = "e1",
): LedgerRecord<FileBody> => settle(subject(before, etag), outcome, rules, moment(after), "known").record;
const known = settled(null, { type: "done", body }, 41);

const arrived = (sequence: number, after: number, etag = "e1", generation = 0) => ({
  sequence,
  at: at + after,
  arrival: { etag, size: 14_400, via: "webhook", generation },
});

const facts = (of: Partial<FileFacts>): FileFacts => ({
  now: at + 10_000,
  name: "raw/a.fits",
  key: recordKey(place),
  lane: "raw",
  onContentChange: "refuse",
  attemptsMax: 3,
  record: null,
  arrivals: [arrived(7, 0)],
  claims: [],
  due: null,
  queue: { floor: 100, delivered: 100, queued: 0 },
  group: null,
  exposure: null,
  runs: [],
  nodes: 2,
  ...of,
});

const told = (of: Partial<FileFacts>): { readonly text: string; readonly standing: string } => {
  const story = fileStory(facts(of));
  return { text: renderStory(story, false, null), standing: story.standing };
};

describe("the story of", () => {
  it("a normal file: came, was settled, and is done with", () => {
    const { text, standing } = told({
      record: known,
      group: { words: "LSSTCam g snap 0 R22_S11", uri: "s3://raw/a.fits" },
      exposure: { name: "LSSTCam e1", stands: true },
      runs: [{ name: "quicklook/LSSTCam/e1/0123", state: "done" }],
    });
    expect(standing).toBe("known");
    expect(text).toMatch(/03:00:00\.000 {2}arrived by webhook \(sequence 7, 14\.1 KiB, etag e1\)/);
    expect(text).toMatch(/03:00:00\.041 {2}known on node a/);
    expect(text).toContain("41 ms after it was received");
    expect(text).toContain("LSSTCam g snap 0 R22_S11: present, s3://raw/a.fits");
    expect(text).toContain("run quicklook/LSSTCam/e1/0123, done");
    expect(text).toContain("Nothing is left to do");
  });

  it("a duplicate: every announcement, and which were dropped", () => {
    const { text } = told({
      record: known,
      arrivals: [arrived(7, 0), arrived(9, 5_000), arrived(12, 6_000)],
    });
    expect(text).toContain("2 duplicates dropped");
    // The last duplicate came 6 s after: it does not change since when the file is known.
    expect(text).toContain("known since 2025-11-21 03:00:00 UTC");
    expect(text).toContain(
      "announced again by webhook (sequence 9): the same content, dropped as a duplicate",
    );
    expect(text.indexOf("known on node a")).toBeLessThan(text.indexOf("sequence 9"));
  });

  it("a parked one: why, and what somebody may do", () => {
    const record = settled(
      null,
      { type: "permanent", reason: "HeaderUnreadable", detail: "no END card" },
      41,
    );
    const { text, standing } = told({ record });
    expect(standing).toBe("parked");
    expect(text).toContain("parked on node a: HeaderUnreadable: no END card");
    expect(text).toContain("1 failed attempt)");
    expect(text).toContain(`orrery parked replay '${recordKey(place)}'`);
    const again = replayed(place, record, moment(60_000, "operator ada@host"), "mended").record;
    expect(told({ record: again }).text).toContain("put back by operator ada@host: mended");
  });

  it("one that cannot be put back is not said to be", () => {
    const nameless = { ...body, bucket: "", key: "", raw: '{"s3":{}}' };
    const record = settled(null, { type: "permanent", reason: "MalformedNotification", detail: "no key" }, 0);
    const { text } = told({ record: { ...record, body: nameless }, arrivals: [] });
    expect(text).not.toContain("parked replay");
    expect(text).toContain("parked discard");
    expect(text).toContain('{"s3":{}}');
  });

  it("one whose node was killed: which node, who took it back, and that it is well", () => {
    const lost = crashed(subject(null), rules, moment(3_000, "b"), "node c died with it in hand").record;
    const record = settled(lost, { type: "done", body }, 3_200);
    const { text } = told({ record, arrivals: [arrived(7, 0), arrived(8, 3_050, "e1", 1)] });
    expect(text).toContain("(taken back by node b): node c died with it in hand");
    expect(text).toContain("put back into the queue (sequence 8, generation 1)");
    expect(text).toContain("its worker was lost once");
  });

  it("one that is tried again: how often it was, and when it is next", () => {
    const record = settled(null, { type: "transient", reason: "StorageUnavailable", detail: "503" }, 41);
    const soon = told({ record, due: { notBefore: at + 12_500, putBack: null } });
    expect(soon.standing).toBe("failing");
    expect(soon.text).toContain("after attempt 1 of 3 (StorageUnavailable)");
    expect(soon.text).toContain("in 2.5 s");
    const queued = told({
      record,
      due: { notBefore: at, putBack: 120 },
      queue: { floor: 90, delivered: 100, queued: 30 },
    });
    expect(queued.text).toContain("in which 30 messages wait");
    expect(told({ record, due: null, nodes: 0 }).text).not.toContain("undefined");
  });

  it("one that waits: for what, how long, and what freed it", () => {
    const record = settled(
      null,
      {
        type: "not-yet",
        needs: "exposure.LSSTCam.20251121.e1",
        waitMaxMs: 60_000,
        reason: "ExposureNeverCame",
        detail: "a guider without its exposure",
      },
      0,
    );
    const { text, standing } = told({ record });
    expect(standing).toBe("waiting");
    expect(text).toContain("It waits for exposure.LSSTCam.20251121.e1.");
    expect(text).toContain("has not come in 50 s");
    const free = settled(
      freed(place, record, moment(5_000), "exposure.LSSTCam.20251121.e1 has come").record,
      { type: "done", body },
      5_040,
    );
    expect(told({ record: free }).text).toContain("let go on node a: exposure.LSSTCam.20251121.e1 has come");
  });

  it("other content under a known name: refused, and what may be decided", () => {
    const other = { etag: "e2", size: null, at: new Date(at + 5_000).toISOString(), sequence: 9 };
    const record = refuse({ ...subject(known), before: known }, other, moment(5_000)).record;
    const { text, standing } = told({ record, arrivals: [arrived(7, 0), arrived(9, 5_000, "e2")] });
    expect(standing).toBe("known");
    expect(text).toContain("came with other content by webhook");
    expect(text).toContain("refused, because the lane keeps the first");
    expect(text).toContain("replay takes the refused content");
  });

  it("other content that took its place", () => {
    const record = settled(known, { type: "done", body }, 5_000, "e2");
    const { text } = told({
      record,
      onContentChange: "supersede",
      arrivals: [arrived(7, 0), arrived(9, 4_990, "e2")],
    });
    expect(text).toContain("it took the place of the former");
    expect(text).toContain("would take its place");
  });

  it("one in hand at this moment, also of a node that is gone", () => {
    const claim = { node: "c", worker: 1, since: new Date(at + 8_000).toISOString(), items: 300 };
    const alive = told({ claims: [{ ...claim, nodeIsAlive: true }] });
    expect(alive.standing).toBe("in hand");
    expect(alive.text).toContain("worker 1 of node c has it in hand for 2.0 s, with 299 others");
    expect(told({ claims: [{ ...claim, nodeIsAlive: false }] }).text).toContain("that node is gone");
  });

  it("one that was accepted and waits its turn; one that nobody runs for; one that never came", () => {
    const queue = { floor: 3, delivered: 5, queued: 12 };
    const waiting = told({ queue });
    expect(waiting.standing).toBe("accepted");
    expect(waiting.text).toContain("in which 12 messages wait");
    expect(told({ queue, nodes: 0 }).text).toContain("No node of the site is running");
    expect(told({ queue: { floor: 3, delivered: 7, queued: 0 } }).text).toContain("given to a worker");
    const never = told({ arrivals: [] });
    expect(never.standing).toBe("unknown");
    expect(never.text).toContain("nobody announced it");
  });

  it("one with a long history says where it was cut", () => {
    let record = known;
    for (let i = 0; i < recordHistoryMax; i++) {
      record = replayed(place, record, moment(1_000 + i), "again").record;
    }
    expect(told({ record }).text).toContain("too much to keep");
    expect(told({ record: known }).text).not.toContain("too much to keep");
  });
});

describe("lines", () => {
  it("are broken between words, and not lost", () => {
    expect(wrap("one two three", 7, "  ")).toBe("one two\n  three");
    expect(wrap("a-word-that-is-longer-than-the-line b", 5, "")).toBe(
      "a-word-that-is-longer-than-the-line\nb",
    );
  });

  it("of a story fit the terminal", () => {
    const record = settled(null, { type: "permanent", reason: "Reason", detail: "word ".repeat(60) }, 41);
    const text = renderStory(fileStory(facts({ record, key: "k" })), false, 60);
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(60);
  });
});
