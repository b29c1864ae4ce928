import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { listen } from "../../src/actors/listens.ts";
import type { AnnouncedGroup } from "../../src/actors/presence.ts";
import { announceGroups, presenceActor, presenceRoutes } from "../../src/actors/presence.ts";
import { PresenceIndex } from "../../src/actors/PresenceIndex.ts";
import type { PresenceSettings } from "../../src/config/Site.ts";
import { getUnsafe } from "../../src/jetstream/ledger.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { commitUnsafe } from "../../src/jetstream/transaction.ts";
import { presenceReadsInFlightMax } from "../../src/limits.ts";
import {
  encodeToken,
  kvSubject,
  presenceBucket,
  presenceKey,
  presenceRequestSubject,
  presentSubject,
} from "../../src/protocol/keys.ts";
import { encodeText } from "../../src/protocol/records.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestNode } from "../support/testNode.ts";
import { testNode } from "../support/testNode.ts";

const settings: PresenceSettings = {
  instruments: ["LATISS", "LSSTCam"],
  detector: /^R\d\d_S\d\d/,
  lifetimeMs: 60_000,
  deleteWhenSeen: false,
  scope: "site",
};

let nats: TestNats;
let asker: NatsService;
beforeAll(async () => {
  nats = await startNats();
  asker = await nats.connect("asker");
});
afterAll(() => nats.stop());

const stops: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

interface Presence {
  readonly node: TestNode;
  readonly index: PresenceIndex;
  readonly url: string;
  readonly stopListening: () => Promise<void>;
  readonly stopPresence: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** A node that answers. `mirrored: false`: one whose mirror never learns anything, as if it lagged for ever. */
async function presence(
  options: Partial<PresenceSettings> & { readonly mirrored?: boolean } = {},
): Promise<Presence> {
  const { mirrored = true, ...changed } = options;
  const node = testNode(await nats.connect("presence"), "presence");
  const index = new PresenceIndex(node, { ...settings, ...changed });
  if (!mirrored) index.learn = () => undefined;
  const scope = Scope.makeUnsafe();
  const ready = Deferred.makeUnsafe<void>();
  const actor = Effect.runFork(presenceActor(node, index, Effect.asVoid(Deferred.succeed(ready, undefined))));
  await Effect.runPromise(Deferred.await(ready));
  const listener = await Effect.runPromise(
    Scope.provide(listen(node, { host: "127.0.0.1", port: 0 }, presenceRoutes(index)), scope),
  );
  const stopListening = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void));
  const stopPresence = (): Promise<void> => Effect.runPromise(Fiber.interrupt(actor));
  const stop = async (): Promise<void> => {
    await stopListening();
    await stopPresence();
  };
  stops.push(stop);
  return { node, index, url: listener.url, stopListening, stopPresence, stop };
}

let names = 0;
/** A group that no other test has. */
const group = (more: Partial<AnnouncedGroup> = {}): AnnouncedGroup => ({
  instrument: "LSSTCam",
  group: `2025-04-16T07:03:14.565#${++names}`,
  snap: 0,
  detector: "R22_S11",
  uri: `s3://bucket/file-${names}.fits`,
  ...more,
});
const keyOf = (g: AnnouncedGroup): string => presenceKey(g.instrument, g.group, g.snap, g.detector);
const announce = (g: AnnouncedGroup, by: NatsService = asker): Promise<void> =>
  Effect.runPromise(announceGroups(testNode(by), [g], settings.lifetimeMs));

const pathOf = (g: AnnouncedGroup): string =>
  `/presence/${g.instrument}/${encodeURIComponent(g.group)}/${g.snap}/${g.detector}`;
async function get(
  url: string,
  signal?: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(url, signal === undefined ? {} : { signal });
  return { status: answer.status, text: await answer.text() };
}
async function ask(subject: string, body: string, timeout = 60_000) {
  const answer = await asker.connection.request(subject, body, { timeout });
  return { text: answer.string(), error: answer.headers?.get("Nats-Service-Error-Code") ?? null };
}
const presentAnswer = (g: AnnouncedGroup): string => `{"error":false,"present":true,"uri":"${g.uri}"}\n`;
const absentAnswer = '{"error":false,"present":false}\n';

describe("a group", () => {
  const spellings = [
    "2025-04-16T07:03:14.565#1",
    "a/b",
    "..",
    "#",
    ":",
    "*.>",
    "a b",
    "ä%2F",
    "x".repeat(600),
  ];
  it.each(spellings)("named %s is found by HTTP and by every form of NATS request", async (name) => {
    const { url } = await presence();
    const one = group({ group: `${name} ${++names}`, snap: 1 });
    await announce(one);
    const { instrument, snap, detector, uri } = one;
    const answer = presentAnswer(one);
    expect(await get(url + pathOf(one))).toEqual({ status: 200, text: answer });
    expect(await get(url + pathOf(one).replace("/1/", "/001/"))).toEqual({ status: 200, text: answer });
    const text = `${instrument}/${encodeURIComponent(one.group)}/${snap}/${detector}`;
    expect(await ask(presenceRequestSubject, text)).toEqual({ text: answer, error: null });
    const json = JSON.stringify({ instrument, group: one.group, snap, detector });
    expect(await ask(presenceRequestSubject, json)).toEqual({ text: answer, error: null });
    const tokens = [instrument, one.group, String(snap), detector].map(encodeToken).join(".");
    expect(await ask(`${presenceRequestSubject}.${tokens}`, "")).toEqual({ text: answer, error: null });
    const stored = await getUnsafe(asker, presenceBucket, keyOf(one));
    expect(new TextDecoder().decode(stored?.data)).toBe(uri);
  });

  it("refuses a question without end in a few words, and goes on answering", async () => {
    const { node } = await presence();
    const max = nats.nats.connection.info?.max_payload ?? 0;
    // In the answer each of these takes six bytes.
    const long = "\u00e9".repeat(max / 3);
    for (const question of [
      JSON.stringify({ instrument: long, group: "g", snap: 0, detector: "R22_S11" }),
      JSON.stringify({ instrument: "LATISS", group: "g", snap: 0, detector: long }),
      `LATISS/g/0/%${long}`,
    ]) {
      const answer = await asker.connection.request(presenceRequestSubject, question, { timeout: 10_000 });
      expect(answer.json()).toMatchObject({ error: true });
      expect(answer.data.length).toBeLessThan(10_000);
    }
    expect(node.nats.link().reconnects).toBe(0);
  });

  it("that nobody announced is absent, by every way", async () => {
    const { url } = await presence();
    const one = group();
    expect(await get(url + pathOf(one))).toEqual({ status: 200, text: absentAnswer });
    expect(await ask(`${presenceRequestSubject}.${keyOf(one)}`, "")).toEqual({
      text: absentAnswer,
      error: null,
    });
    await announce(one);
    const others = [
      { snap: 1 },
      { detector: "R22_S12" },
      { instrument: "LATISS" },
      { group: `${one.group}0` },
    ];
    for (const other of others) {
      expect(await get(url + pathOf({ ...one, ...other }))).toEqual({ status: 200, text: absentAnswer });
    }
  });

  it.each([
    ["/presence/Unknown/g/0/R22_S11", 400, '{"error":true,"message":"Unknown instrument Unknown"}\n'],
    ["/presence/Unknown/g/0/SG0", 400, '{"error":true,"message":"Unknown instrument Unknown"}\n'],
    ["/presence/LSSTCam/g/0/SG0", 400, '{"error":true,"message":"Unrecognized detector name SG0"}\n'],
    ["/presence/LSSTCam/g/x/R22_S11", 404, /^\{"error":true,/],
    ["/presence/LSSTCam/g/-1/R22_S11", 404, /^\{"error":true,/],
    ["/presence/LSSTCam/g/0", 404, /^\{"error":true,/],
    ["/presence/LSSTCam/g/0/R22_S11/", 404, /^\{"error":true,/],
    ["/presence/LSSTCam/g/0/R22_S11?wait=soon", 400, /^\{"error":true,/],
    ["/presence/LSSTCam/%zz/0/R22_S11", 400, /^\{"error":true,/],
  ])("asked for as %s is %i", async (path, status, text) => {
    const { url } = await presence();
    const answer = await get(url + path);
    expect(answer).toEqual({ status, text: expect.stringMatching(text) });
  });

  it("asked for badly over NATS is refused in the body and in the headers", async () => {
    await presence();
    expect(await ask(presenceRequestSubject, "Unknown/g/0/R22_S11")).toEqual({
      text: '{"error":true,"message":"Unknown instrument Unknown"}\n',
      error: "400",
    });
    expect((await ask(presenceRequestSubject, "{")).error).toBe("400");
  });

  it("known before the node started is in its memory once it has caught up", async () => {
    const one = group();
    await announce(one);
    const { index } = await presence();
    await expect.poll(() => index.stats().groups).toBeGreaterThan(0);
  });

  it("announced anew with another uri is given with the newer", async () => {
    const { url } = await presence();
    const first = group();
    const second = { ...first, uri: "s3://bucket/newer.fits" };
    await announce(first);
    await expect.poll(() => get(url + pathOf(first))).toEqual({ status: 200, text: presentAnswer(first) });
    await announce(second);
    await expect.poll(() => get(url + pathOf(first))).toEqual({ status: 200, text: presentAnswer(second) });
  });

  it("ends with its lifetime, also in memory", async () => {
    const { url, index } = await presence();
    const [short, long] = [group(), group()];
    await announce(long);
    // Again, should this machine stand still for as long as it lives.
    const announced = async (): Promise<string> => {
      await Effect.runPromise(announceGroups(testNode(asker), [short], 1_000));
      return (await get(url + pathOf(short))).text;
    };
    await expect.poll(announced).toBe(presentAnswer(short));
    await expect.poll(() => index.stats().groups).toBeGreaterThan(1);
    await expect.poll(() => get(url + pathOf(short))).toEqual({ status: 200, text: absentAnswer });
    expect(await get(url + pathOf(long))).toMatchObject({ text: presentAnswer(long) });
  });

  it("that cannot be a key is left out with a warning, and the others are stored", async () => {
    const node = testNode(asker);
    const good = group();
    const bad = group({ group: "x".repeat(4_000) });
    await Effect.runPromise(announceGroups(node, [bad, good], settings.lifetimeMs));
    expect(node.lines.map(({ level }) => level)).toEqual(["warn"]);
    expect(await getUnsafe(asker, presenceBucket, keyOf(good))).not.toBeNull();
  });

  it("is one of many: thousands are stored in batches, twice the same is once", async () => {
    const { url } = await presence();
    const many = Array.from({ length: 2_500 }, () => group());
    const last = many.at(-1) ?? group();
    await Effect.runPromise(announceGroups(testNode(asker), [...many, ...many], settings.lifetimeMs));
    expect(await get(url + pathOf(last))).toMatchObject({ text: presentAnswer(last) });
  });
});

describe("an announcement", () => {
  it("is heard with its uri, and comes after the group is found everywhere", async () => {
    // A node whose mirror never moves: whatever it knows it has read.
    const { url } = await presence({ mirrored: false });
    const wrong: Array<string> = [];
    const heard: Array<Promise<void>> = [];
    const uris: Array<string> = [];
    const subscription = asker.connection.subscribe(presentSubject(">"), {
      callback: (_error, message) => {
        const key = message.subject.slice(presentSubject("").length);
        uris.push(message.string());
        const check = async (): Promise<void> => {
          const { text } = await ask(`${presenceRequestSubject}.${key}`, "");
          if (!text.includes('"present":true')) wrong.push(key);
        };
        heard.push(check());
      },
    });
    await asker.connection.flush();
    const many = Array.from({ length: 200 }, () => group());
    // Pollers keep a read of each group in flight all the time: none may answer for those who come later.
    const polling = { on: true };
    const pollers = many.map(async (one) => {
      while (polling.on) await ask(`${presenceRequestSubject}.${keyOf(one)}`, "");
    });
    const announcer = await nats.connect("announcer");
    for (const one of many) await announce(one, announcer);
    await expect.poll(() => uris.length).toBe(many.length);
    await Promise.all(heard);
    polling.on = false;
    await Promise.all(pollers);
    subscription.unsubscribe();
    expect(wrong).toEqual([]);
    expect(uris).toEqual(many.map(({ uri }) => uri));
    expect((await get(url + pathOf(many[0] ?? group()))).text).toContain("true");
  });
});

describe("a look-up that waits", () => {
  it("is answered when the group comes, by HTTP and NATS", async () => {
    const { url, index } = await presence();
    const one = group();
    const { instrument, snap, detector } = one;
    const http = get(`${url}${pathOf(one)}?wait=60`);
    const json = JSON.stringify({ instrument, group: one.group, snap, detector, wait: 60 });
    const over = ask(presenceRequestSubject, json, 60_000);
    await expect.poll(() => index.stats().waiting).toBe(2);
    await announce(one);
    expect(await http).toEqual({ status: 200, text: presentAnswer(one) });
    expect(await over).toEqual({ text: presentAnswer(one), error: null });
    expect(index.stats().waiting).toBe(0);
  });

  it("is answered at once when the group is here", async () => {
    const { url } = await presence({ mirrored: false });
    const one = group();
    await announce(one);
    expect(await get(`${url}${pathOf(one)}?wait=60`)).toEqual({ status: 200, text: presentAnswer(one) });
  });

  it("is told absent when its time is up, after one last look", async () => {
    const { url, index } = await presence({ mirrored: false });
    const [never, unseen] = [group(), group()];
    const answers = Promise.all([never, unseen].map((one) => get(`${url}${pathOf(one)}?wait=5`)));
    await expect.poll(() => index.stats().waiting).toBe(2);
    // Its mirror does not show it: only the last look can.
    await announce(unseen);
    expect((await answers).map(({ text }) => text)).toEqual([absentAnswer, presentAnswer(unseen)]);
    expect(index.stats().waiting).toBe(0);
  });

  it("leaves nothing behind when its client goes away", async () => {
    const { url, index } = await presence();
    const leaving = new AbortController();
    const answer = get(`${url}${pathOf(group())}?wait=60`, leaving.signal).catch(() => "gone");
    await expect.poll(() => index.stats().waiting).toBe(1);
    leaving.abort();
    expect(await answer).toBe("gone");
    await expect.poll(() => index.stats().waiting).toBe(0);
  });

  it("is answered 503 when its listener stops, and when presence does", async () => {
    const { url, index, stopListening, stop } = await presence();
    const one = group();
    const http = get(`${url}${pathOf(one)}?wait=60`);
    await expect.poll(() => index.stats().waiting).toBe(1);
    await stopListening();
    expect(await http).toMatchObject({ status: 503 });
    const { instrument, snap, detector } = one;
    const json = JSON.stringify({ instrument, group: one.group, snap, detector, wait: 60 });
    const over = ask(presenceRequestSubject, json, 60_000);
    await expect.poll(() => index.stats().waiting).toBe(1);
    await stop();
    expect(await over).toMatchObject({ error: "503" });
  });
});

describe("deleteWhenSeen", () => {
  it.each([true, false])(
    "gives a group to exactly one of many look-ups (in memory: %s)",
    async (mirrored) => {
      const { url, index, node } = await presence({ deleteWhenSeen: true, mirrored });
      const one = group();
      await announce(one);
      if (mirrored) await expect.poll(() => index.stats().groups).toBeGreaterThan(0);
      const answers = await Promise.all(Array.from({ length: 50 }, () => get(url + pathOf(one))));
      expect(answers.filter(({ text }) => text === presentAnswer(one))).toHaveLength(1);
      expect(answers.filter(({ text }) => text === absentAnswer)).toHaveLength(49);
      await expect.poll(async () => (await getUnsafe(asker, presenceBucket, keyOf(one)))?.ended).toBe(true);
      expect(await get(url + pathOf(one))).toMatchObject({ text: absentAnswer });
      expect(node.lines).toEqual([]);
    },
  );

  it("gives a group to exactly one of those who share a read", async () => {
    const { index } = await presence({ deleteWhenSeen: true, mirrored: false });
    const one = group();
    await announce(one);
    // As many other reads as may be in flight: the look-ups of this one all stand in the queue for the same read.
    for (let i = 0; i < presenceReadsInFlightMax; i++) index.lookUp(keyOf(group()), 0, () => undefined);
    const answers = await Promise.all(
      [1, 2, 3].map(() => new Promise((answer) => index.lookUp(keyOf(one), 0, (_, body) => answer(body)))),
    );
    expect(answers).toEqual([presentAnswer(one), absentAnswer, absentAnswer]);
  });

  it("gives each announcement once, to one of those who wait", async () => {
    const { url, index } = await presence({ deleteWhenSeen: true });
    const one = group();
    const answers = Promise.all([1, 2, 3].map(() => get(`${url}${pathOf(one)}?wait=60`)));
    await expect.poll(() => index.stats().waiting).toBe(3);
    for (const left of [2, 1, 0]) {
      await announce(one);
      await expect.poll(() => index.stats().waiting).toBe(left);
    }
    expect(await answers).toEqual(
      Array.from({ length: 3 }, () => ({ status: 200, text: presentAnswer(one) })),
    );
  });

  it("does not end an announcement that is newer than the one that was seen", async () => {
    const { url, index } = await presence({ deleteWhenSeen: true, mirrored: false });
    const first = group();
    const second = { ...first, uri: "s3://bucket/newer.fits" };
    await announce(first);
    // What the mirror holds is the first; the second is stored before anybody looks.
    const entry = await getUnsafe(asker, presenceBucket, keyOf(first));
    if (entry === null) throw new Error("not stored");
    PresenceIndex.prototype.learn.call(index, entry);
    await announce(second);
    expect(await get(url + pathOf(first))).toMatchObject({ text: presentAnswer(first) });
    expect(await get(url + pathOf(first))).toMatchObject({ text: presentAnswer(second) });
  });
});

describe("the mirror", () => {
  it("forgets what ended without its hearing of it", async () => {
    const { index } = await presence({ mirrored: false });
    const one = group();
    const held = { key: keyOf(one), revision: 1, data: encodeText(one.uri), ended: false };
    PresenceIndex.prototype.learn.call(index, { ...held, at: 1_000 });
    index.tick(1_000 + settings.lifetimeMs);
    expect(index.stats().groups).toBe(1);
    index.tick(1_000 + settings.lifetimeMs + 60_001);
    expect(index.stats().groups).toBe(0);
  });

  it("takes up what others wrote with the nats CLI", async () => {
    const { url } = await presence();
    const one = group();
    const write = { subject: kvSubject(presenceBucket, keyOf(one)), data: encodeText(one.uri) };
    await commitUnsafe(asker, "put", [write], 5_000);
    expect(await get(url + pathOf(one))).toMatchObject({ text: presentAnswer(one) });
  });

  it("counts look-ups in steps", async () => {
    const { url, node, stop } = await presence();
    const one = group();
    await announce(one);
    for (const g of [one, one, group()]) await get(url + pathOf(g));
    await stop();
    expect(node.counters.totals()).toMatchObject({ "lookups.true": 2, "lookups.false": 1 });
  });
});

it("a stop answers every request that was on its way", async () => {
  const { index, stopPresence } = await presence();
  const one = group();
  await announce(one);
  const stopped = Promise.withResolvers<void>();
  const lookUp = index.lookUp.bind(index);
  index.lookUp = (...question) => {
    // From the first on the actor is stopping; the rest still stands in its socket.
    index.lookUp = lookUp;
    stopPresence().then(stopped.resolve, stopped.reject);
    return lookUp(...question);
  };
  const asked = Array.from({ length: 5_000 }, () =>
    ask(`${presenceRequestSubject}.${keyOf(one)}`, "").then(
      ({ text }) => text,
      // Sent after the stop: nobody serves any more, and the asker knows at once.
      (cause: unknown) => (String(cause).includes("no responders") ? "nobody" : String(cause)),
    ),
  );
  const answers = new Set(await Promise.all(asked));
  await stopped.promise;
  answers.delete("nobody");
  expect([...answers]).toEqual([presentAnswer(one)]);
});

it.each(["SIGKILL", "SIGSTOP"] as const)("a stop does not wait for a server after %s", async (signal) => {
  const own = await startNats();
  try {
    const node = testNode(own.nats);
    const ready = Deferred.makeUnsafe<void>();
    const started = Effect.asVoid(Deferred.succeed(ready, undefined));
    const actor = Effect.runFork(presenceActor(node, new PresenceIndex(node, settings), started));
    await Effect.runPromise(Deferred.await(ready));
    await own.signal(signal);
    if (signal === "SIGKILL") await expect.poll(() => own.nats.link().connected).toBe(false);
    await Effect.runPromise(Fiber.interrupt(actor));
    // The client itself needs seconds to see that a paused server does not answer: it was not waited for.
    expect(own.nats.link().connected).toBe(signal === "SIGSTOP");
  } finally {
    if (signal === "SIGSTOP") await own.signal("SIGCONT");
    await own.stop();
  }
});

it("a miss is 503 and never absent while NATS is away; a hit is a hit", async () => {
  const own = await startNats();
  try {
    const node = testNode(own.nats);
    const index = new PresenceIndex(node, settings);
    const known = group();
    const learned = {
      key: keyOf(known),
      revision: 1,
      data: encodeText(known.uri),
      ended: false,
      at: Date.now(),
    };
    index.learn(learned);
    await own.signal("SIGKILL");
    await expect.poll(() => own.nats.link().connected).toBe(false);
    const answers: Array<number> = [];
    index.lookUp(keyOf(known), 0, (status) => answers.push(status));
    index.lookUp(keyOf(group()), 0, (status) => answers.push(status));
    expect(answers).toEqual([200, 503]);
  } finally {
    await own.stop();
  }
});
