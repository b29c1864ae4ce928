/** What the supernode answers from what it has followed, without a server. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { notReady, SitesIndex, tooManyWait } from "../../../src/actors/SitesIndex.ts";
import type { Change } from "../../../src/jetstream/follower.ts";
import type { Sees, SourceState } from "../../../src/jetstream/sitesBucket.ts";
import {
  siteWaitersMax,
  sitesLookOldMs,
  sitesWaitersHereMax,
  sourceSilentMsMax,
} from "../../../src/limits.ts";
import type { SitesAnswer } from "../../../src/protocol/sitesPresence.ts";
import { nobodyAsked } from "../../../src/protocol/sitesPresence.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const key = "LSSTCam.g=2E1.0.R22_S11";
const absent: SitesAnswer = { found: null, unheard: [] };
const at = (site: string, uri = `s3://${site}/x`): SitesAnswer => ({ found: { site, uri }, unheard: [] });

let revision = 0;
function change(
  site: string,
  more: Partial<Change> & { readonly epoch?: string; readonly name?: string } = {},
): Change {
  const { epoch = "e1", name = key, ...rest } = more;
  return {
    key: `${site}.${epoch}.${name}`,
    revision: ++revision,
    data: new TextEncoder().encode(`s3://${site}/x`),
    ended: false,
    at: 0,
    lifetimeMs: 1_000,
    ...rest,
  };
}

const source = (site: string, more: Partial<SourceState> = {}): SourceState => ({
  site,
  epoch: "e1",
  lag: 0,
  silentMs: 100,
  error: null,
  ...more,
});

const three = [source("archive"), source("base"), source("summit")];
const all: ReadonlyMap<string, Sees> = new Map(three.map(({ site }) => [site, "all"]));

function ready(sources: ReadonlyArray<SourceState> = three, sees = all): SitesIndex {
  const index = new SitesIndex();
  index.caughtUp();
  index.stands({ sources, sees });
  return index;
}

function look(index: SitesIndex, asker: string | null, waitMs = 0, name = key) {
  const answers: Array<SitesAnswer | string> = [];
  const leave = index.lookUp(asker, name, waitMs, (answer) => void answers.push(answer));
  return { answers, leave };
}
const answerOf = (index: SitesIndex, asker: string | null): unknown => look(index, asker).answers[0];

describe("a group", () => {
  it("is found with its site, by the supernode's callers and by every other site", () => {
    const index = ready();
    index.learn(change("base"));
    expect([null, "archive", "summit"].map((asker) => answerOf(index, asker))).toEqual([
      at("base"),
      at("base"),
      at("base"),
    ]);
    // The site itself has looked already, and knows better: it may have taken it away just now.
    expect(answerOf(index, "base")).toEqual(absent);
  });

  it("at several sites is that of the first by name, of those that the asker sees", () => {
    const index = ready(
      three,
      new Map<string, Sees>([
        ["summit", ["base"]],
        ["base", "all"],
        ["archive", []],
      ]),
    );
    index.learn(change("summit"));
    index.learn(change("base"));
    index.learn(change("archive"));
    expect(answerOf(index, null)).toEqual(at("archive"));
    expect(answerOf(index, "summit")).toEqual(at("base"));
    expect(answerOf(index, "base")).toEqual(at("archive"));
    expect(answerOf(index, "archive")).toEqual(absent);
  });

  it("is gone with its end, and where that was not heard with its lifetime", () => {
    const index = ready();
    index.learn(change("base"));
    index.learn(change("base", { ended: true, data: new Uint8Array() }));
    expect(answerOf(index, null)).toEqual(absent);
    index.learn(change("base", { at: 5_000, lifetimeMs: 1_000 }));
    index.learn(change("summit", { at: 5_000, lifetimeMs: null }));
    index.tick(65_999);
    expect(answerOf(index, "summit")).toEqual(at("base"));
    index.tick(66_000);
    expect(answerOf(index, "summit")).toEqual(absent);
    expect(answerOf(index, "base")).toEqual(at("summit"));
    expect(index.stats().groups).toBe(1);
  });

  it("of a site's former life is not there, nor that of a site which was put out", () => {
    const index = ready([source("base", { epoch: "e2" }), source("archive")]);
    index.learn(change("base", { epoch: "e1" }));
    index.learn(change("summit"));
    expect(answerOf(index, null)).toEqual(absent);
    index.learn(change("base", { epoch: "e2", data: new TextEncoder().encode("s3://base/2") }));
    expect(answerOf(index, null)).toEqual(at("base", "s3://base/2"));
  });
});

describe("an asker", () => {
  it("that has not joined, or was put out, is refused", () => {
    const index = ready(three, new Map<string, Sees>([["base", "all"]]));
    index.learn(change("archive"));
    expect(answerOf(index, "base")).toEqual(at("archive"));
    expect(answerOf(index, "summit")).toBe("summit has not joined, or was put out");
  });

  it("is told to ask again before the supernode has caught up, and before it knows its sites", () => {
    const index = new SitesIndex();
    expect(answerOf(index, null)).toBe(notReady);
    index.caughtUp();
    expect(answerOf(index, null)).toBe(notReady);
    index.stands({ sources: three, sees: all });
    expect(answerOf(index, null)).toEqual(absent);
    index.reset();
    expect(answerOf(index, null)).toBe(notReady);
  });

  it("hears with an absence of which of the sites that it sees nothing was heard", () => {
    const sources = [
      source("archive", { silentMs: sourceSilentMsMax + 1 }),
      source("base", { silentMs: null }),
      source("summit", { error: "no such stream" }),
    ];
    const index = ready(
      sources,
      new Map<string, Sees>([
        ["summit", ["base"]],
        ["base", "all"],
      ]),
    );
    expect(answerOf(index, null)).toEqual({ found: null, unheard: ["archive", "base", "summit"] });
    expect(answerOf(index, "summit")).toEqual({ found: null, unheard: ["base"] });
    expect(answerOf(index, "base")).toEqual({ found: null, unheard: ["archive", "summit"] });
    vi.advanceTimersByTime(sitesLookOldMs + 1);
    expect(answerOf(index, "summit")).toEqual(nobodyAsked);
  });
});

it("a new leader, which has heard of no site yet, is no silence of the sites", () => {
  const sees = new Map<string, Sees>([["base", "all"]]);
  const index = ready([source("summit", { silentMs: 1_000 })], sees);
  const stillNull = { sources: [source("summit", { silentMs: null })], sees };
  for (let s = 1; s <= 29; s++) {
    vi.advanceTimersByTime(1_000);
    index.stands(stillNull);
    expect([s, answerOf(index, "base")]).toEqual([s, absent]);
  }
  vi.advanceTimersByTime(1_000);
  index.stands(stillNull);
  expect(answerOf(index, "base")).toEqual({ found: null, unheard: ["summit"] });
  // A new life was not heard of yet, whatever was of the former one.
  const anew = ready([source("summit", { silentMs: 0 })], sees);
  anew.stands({ sources: [source("summit", { epoch: "e2", silentMs: null })], sees });
  expect(answerOf(anew, "base")).toEqual({ found: null, unheard: ["summit"] });
});

describe("who waits", () => {
  it("is answered when the group comes to a site that it sees, and not by any other", () => {
    const index = ready(
      three,
      new Map<string, Sees>([
        ["summit", ["base"]],
        ["base", "all"],
      ]),
    );
    const [here, summit, other] = [
      look(index, null, 5_000),
      look(index, "summit", 5_000),
      look(index, null, 5_000, "L.o.0.R22_S11"),
    ];
    index.learn(change("archive"));
    expect([here.answers, summit.answers, other.answers]).toEqual([[at("archive")], [], []]);
    index.learn(change("base"));
    expect(summit.answers).toEqual([at("base")]);
    vi.advanceTimersByTime(5_000);
    expect([here.answers.length, summit.answers.length, other.answers]).toEqual([1, 1, [absent]]);
    expect(index.stats().waiting).toBe(0);
  });

  it("and goes is forgotten; who stays is answered when the node stops", () => {
    const index = ready();
    const [gone, stays] = [look(index, "base", 5_000), look(index, "base", 5_000)];
    gone.leave();
    expect(index.stats().waiting).toBe(1);
    index.release();
    expect(gone.answers).toEqual([]);
    expect(stays.answers).toEqual([expect.stringContaining("stopping")]);
    vi.advanceTimersByTime(10_000);
    expect(stays.answers).toHaveLength(1);
  });

  it("takes no room from others: a site that has all of its own is told that nothing is known, and never of an absence", () => {
    const index = ready();
    const asked: Array<ReturnType<typeof look>> = [];
    const waits = (asker: string | null) => look(index, asker, 60_000, `L.g${asked.length}.0.R22_S11`);
    for (let i = 0; i < siteWaitersMax; i++) asked.push(waits("archive"));
    expect(waits("archive").answers).toEqual([nobodyAsked]);
    // Who does not wait is answered as ever, and the others wait.
    expect(answerOf(index, "archive")).toEqual(absent);
    expect([waits("base").answers, waits("summit").answers]).toEqual([[], []]);
    for (let i = 0; i < sitesWaitersHereMax; i++) asked.push(waits(null));
    expect(asked.every(({ answers }) => answers.length === 0)).toBe(true);
    expect(waits(null).answers).toEqual([tooManyWait]);
    expect(answerOf(index, null)).toEqual(absent);
    asked[0]?.leave();
    asked.at(-1)?.leave();
    expect([waits("archive").answers, waits(null).answers]).toEqual([[], []]);
    vi.advanceTimersByTime(60_000);
    expect(index.stats().waiting).toBe(0);
  });
});
