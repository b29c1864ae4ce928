/** "Is it here?" across sites: a supernode and three sites with TLS and credentials, and a node's presence at each of them. */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listen } from "../../src/actors/listens.ts";
import type { Route } from "../../src/actors/listens.ts";
import { OtherSites } from "../../src/actors/OtherSites.ts";
import type { AnnouncedGroup } from "../../src/actors/presence.ts";
import { announceGroups, presenceActor, presenceRoutes } from "../../src/actors/presence.ts";
import { PresenceIndex } from "../../src/actors/PresenceIndex.ts";
import { SitesIndex } from "../../src/actors/SitesIndex.ts";
import { sitesPresenceActor, sitesPresenceRoutes } from "../../src/actors/sitesPresence.ts";
import type { PresenceSettings } from "../../src/config/Site.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { follow } from "../../src/jetstream/follower.ts";
import { sitesAsks } from "../../src/jetstream/sitesAsks.ts";
import { apply, topologyOf } from "../../src/jetstream/topology.ts";
import { sitesAskMs } from "../../src/limits.ts";
import { presenceKey, presenceRequestSubject } from "../../src/protocol/keys.ts";
import { sitesAnswerPrefix, sitesAskSubject, sitesPresenceBucket } from "../../src/protocol/sites.ts";
import { readSitesAnswer, writeQuestion } from "../../src/protocol/sitesPresence.ts";
import { LeafLink } from "../chaos/sites/leafLink.ts";
import { runCli } from "../support/cli.ts";
import { Deployment } from "../support/deployment.ts";
import type { TestNode } from "../support/testNode.ts";
import { testNode } from "../support/testNode.ts";
import { patienceMs, until } from "../support/testSite.ts";

const deployment = new Deployment();
const sites = ["archive", "base", "summit"] as const;
type SiteName = (typeof sites)[number];
const needs = { lanes: [], runLanes: [], items: [], follows: [], replicas: 1, duplicateWindowMs: 120_000 };

interface Place {
  readonly node: TestNode;
  readonly url: string;
  readonly stop: () => Promise<void>;
}

const settings: PresenceSettings = {
  instruments: ["LSSTCam"],
  detector: /^R\d\d_S\d\d/,
  lifetimeMs: 600_000,
  deleteWhenSeen: false,
  scope: "all",
};

type Actor = (ready: Effect.Effect<void>) => Effect.Effect<never, Error>;

async function start(node: TestNode, actor: Actor, routes: ReadonlyArray<Route>): Promise<Place> {
  const ready = Deferred.makeUnsafe<void>();
  const fiber = Effect.runFork(actor(Effect.asVoid(Deferred.succeed(ready, undefined))));
  await Effect.runPromise(Deferred.await(ready));
  const scope = Scope.makeUnsafe();
  const listener = await Effect.runPromise(
    Scope.provide(listen(node, { host: "127.0.0.1", port: 0 }, routes), scope),
  );
  const stop = async (): Promise<void> => {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    await Effect.runPromise(Fiber.interrupt(fiber));
  };
  return { node, url: listener.url, stop };
}

async function startSite(
  name: SiteName,
  more: Partial<PresenceSettings> = {},
  role = "presence",
  mirrored = true,
): Promise<Place> {
  const nats = await deployment.connect(name, role);
  const node = testNode(nats, name);
  const index = new PresenceIndex(
    node,
    { ...settings, ...more },
    new OtherSites(sitesAsks(nats, name), node.log),
  );
  if (!mirrored) index.learn = () => undefined;
  return start(node, (ready) => presenceActor(node, index, ready), presenceRoutes(index));
}

async function startHub(role = "presence"): Promise<Place> {
  const node = testNode(await deployment.connect("hub", role), "hub");
  const index = new SitesIndex();
  return start(node, (ready) => sitesPresenceActor(node, index, ready), sitesPresenceRoutes(index));
}

const places = new Map<SiteName | "hub", Place>();
const ingesters = new Map<SiteName, NatsService>();
let link: LeafLink;

async function site(...argv: ReadonlyArray<string>): Promise<void> {
  const { exit, stderr } = await deployment.cli(
    "site",
    ...argv,
    "--supernode",
    "hub",
    "--dir",
    deployment.folder,
  );
  if (exit !== 0) throw new Error(`orrery site ${argv.join(" ")}: ${stderr}`);
}

beforeAll(async () => {
  await deployment.init("hub", "--supernode");
  for (const name of sites) {
    await deployment.init(name);
    await deployment.join(name, "hub");
  }
  link = await LeafLink.to(deployment, "hub");
  link.put(deployment, "summit");
  await Promise.all(["hub", ...sites].map((name) => deployment.start(name)));
  await until(
    () => deployment.leaves("hub"),
    (leaves) => leaves.length === sites.length,
  );
  for (const name of sites) {
    await Effect.runPromise(apply(await deployment.connect(name, "admin"), topologyOf(needs)));
    ingesters.set(name, await deployment.connect(name, "ingester"));
    places.set(name, await startSite(name));
  }
  await site("apply");
  places.set("hub", await startHub());
  // What each site announces comes through.
  for (const name of sites) await announced(name, group());
});
afterAll(async () => {
  await Promise.all([...places.values()].map((place) => place.stop()));
  await link.end();
  await deployment.end();
});

let names = 0;
const group = (more: Partial<AnnouncedGroup> = {}): AnnouncedGroup => ({
  instrument: "LSSTCam",
  group: `2025-11-21T03:04:05.678#${++names}`,
  snap: 0,
  detector: "R22_S11",
  uri: `s3://bucket/file-${names}.fits`,
  ...more,
});

async function announce(name: SiteName, ...groups: ReadonlyArray<AnnouncedGroup>): Promise<void> {
  const nats = ingesters.get(name);
  if (nats === undefined) throw new Error(name);
  await Effect.runPromise(announceGroups(testNode(nats), groups, settings.lifetimeMs));
}

/** As {@link announce}, and until the supernode has it. */
async function announced(name: SiteName, one: AnnouncedGroup): Promise<void> {
  await announce(name, one);
  await until(
    () => ask("hub", one),
    (text) => text === at(one, name),
  );
}

const pathOf = (g: AnnouncedGroup): string =>
  `/presence/${g.instrument}/${encodeURIComponent(g.group)}/${g.snap}/${g.detector}`;

/** The body of the answer, which is 200. */
async function ask(name: SiteName | "hub", one: AnnouncedGroup, query = ""): Promise<string> {
  const answer = await fetch(`${places.get(name)?.url ?? ""}${pathOf(one)}${query}`);
  const text = await answer.text();
  if (answer.status !== 200) return `${answer.status} ${text}`;
  return text;
}

/** Asked again where the others were not heard in time: the machine may have had none. */
async function says(wanted: string, ...asked: Parameters<typeof ask>): Promise<void> {
  await until(
    () => ask(...asked),
    (text) => text === wanted,
  );
}

const here = ({ uri }: AnnouncedGroup): string => `{"error":false,"present":true,"uri":"${uri}"}\n`;
const at = ({ uri }: AnnouncedGroup, name: SiteName): string =>
  `{"error":false,"present":true,"uri":"${uri}","site":"${name}"}\n`;
const absent = '{"error":false,"present":false}\n';
const nobodyAsked = '{"error":false,"present":false,"unheard":["*"]}\n';

async function timed<A>(work: Promise<A>): Promise<readonly [A, number]> {
  const began = performance.now();
  return [await work, performance.now() - began];
}

/**
 * Asks again and again, a few times, and judges the time of the fastest: of a question that waits for somebody each one takes as long,
 * and of one that does not, some are held up by a machine that is busy.
 */
async function fastest(ask: () => Promise<ReadonlyArray<string>>): Promise<readonly [Array<string>, number]> {
  const texts = new Set<string>();
  let best = Infinity;
  for (let round = 0; round < 5; round++) {
    const [found, ms] = await timed(ask());
    for (const text of found) texts.add(text);
    best = Math.min(best, ms);
  }
  return [[...texts], best];
}

/** Longer than any wait that is told here, and shorter than a test: who is not answered within it waits for what does not come. */
const soonMs = 15_000;

describe("a group", () => {
  it("of another site is found, with the site, over HTTP and every form of NATS request", async () => {
    const one = group();
    await announced("base", one);
    await says(here(one), "base", one);
    for (const name of ["summit", "archive", "hub"] as const) await says(at(one, "base"), name, one);
    const { instrument, snap, detector } = one;
    for (const name of ["summit", "hub"] as const) {
      const asker = await deployment.connect(name, "operator");
      const text = `${instrument}/${encodeURIComponent(one.group)}/${snap}/${detector}`;
      const tokens = presenceKey(instrument, one.group, snap, detector);
      const forms = [
        [presenceRequestSubject, text],
        [presenceRequestSubject, JSON.stringify({ ...one, uri: undefined })],
        [`${presenceRequestSubject}.${tokens}`, ""],
      ] as const;
      for (const [subject, question] of forms)
        await until(
          async () => (await asker.ask(subject, question, patienceMs)).string(),
          (answer) => answer === at(one, "base"),
        );
    }
  });

  it("of its own comes first, in the bytes that it has at a lone site", async () => {
    const [own, others] = [group(), group()];
    const same = { ...others, group: own.group };
    await announced("archive", same);
    await says(at(same, "archive"), "summit", own);
    await announce("summit", own);
    await says(here(own), "summit", own);
    await says(here(same), "archive", own);
  });

  it("of its own comes first also where the node's mirror lags behind", async () => {
    const pair = [group(), group()];
    for (const own of pair) await announced("archive", { ...group(), group: own.group });
    await announce("summit", ...pair);
    const lags = await startSite("summit", {}, "presence", false);
    try {
      const asked = pair.map(async (own, i) =>
        (await fetch(lags.url + pathOf(own) + ["", "?wait=5"][i])).text(),
      );
      expect(await Promise.all(asked)).toEqual(pair.map(here));
    } finally {
      await lags.stop();
    }
  });

  it("that nobody has is absent, in the bytes that it has at a lone site", async () => {
    for (const name of ["summit", "hub"] as const) {
      // A site of which nothing was heard yet is told; here all were.
      await until(
        () => ask(name, group()),
        (text) => text === absent,
      );
    }
  });

  it("of another site does not count where only the own site was asked for", async () => {
    const one = group();
    await announced("base", one);
    await says(absent, "summit", one, "?scope=site");
    await says(at(one, "base"), "summit", one, "?scope=all");
    expect(await ask("summit", one, "?scope=some")).toMatch(/^400 /);
    const asker = await deployment.connect("summit", "operator");
    const question = { ...one, uri: undefined, scope: "site" };
    expect((await asker.ask(presenceRequestSubject, JSON.stringify(question), patienceMs)).string()).toBe(
      absent,
    );
    const lone = await startSite("archive", { scope: "site" });
    try {
      const answer = await fetch(lone.url + pathOf(one));
      expect(await answer.text()).toBe(absent);
      expect(await (await fetch(`${lone.url}${pathOf(one)}?scope=all`)).text()).toBe(at(one, "base"));
    } finally {
      await lone.stop();
    }
  });

  it("ends everywhere with its lifetime", async () => {
    const [short, long] = [group(), group()];
    await announce("base", long);
    const nats = ingesters.get("base");
    if (nats === undefined) throw new Error("no ingester");
    // Again, should it take longer than its lifetime until it is seen there.
    await until(
      async () => {
        await Effect.runPromise(announceGroups(testNode(nats), [short], 2_000));
        return ask("summit", short);
      },
      (text) => text === at(short, "base"),
    );
    for (const name of ["hub", "summit"] as const) {
      await until(
        () => ask(name, short),
        (text) => text === absent,
      );
    }
    await says(at(long, "base"), "summit", long);
  });

  it("is not taken from the site that has it by being seen elsewhere", async () => {
    // Who ends keys needs credentials that may.
    const taking = await startSite("base", { deleteWhenSeen: true }, "node");
    try {
      await places.get("base")?.stop();
      const one = group();
      await announced("base", one);
      for (let i = 0; i < 3; i++) await says(at(one, "base"), "summit", one);
      const own = async (): Promise<string> => (await fetch(taking.url + pathOf(one))).text();
      expect(await own()).toBe(here(one));
      // Its own copy at the supernode is no news to it.
      expect(await own()).toBe(absent);
      await until(
        () => ask("summit", one),
        (text) => text === absent,
      );
    } finally {
      await taking.stop();
      places.set("base", await startSite("base"));
    }
  });
});

it("orrery presence says where a group is, and what could not be asked", async () => {
  const one = group();
  await announced("base", one);
  const once = async (name: string, asked: AnnouncedGroup, ...more: ReadonlyArray<string>) => {
    const { instrument, snap, detector } = asked;
    const argv = ["presence", instrument, asked.group, String(snap), detector, ...more];
    const { exit, stdout, stderr } = await runCli(["--site", deployment.path(name, "site.yaml"), ...argv], {
      cwd: deployment.folder,
      env: { ORRERY_CREDENTIALS: deployment.path(name, "creds", "operator.creds") },
    });
    return [exit, stdout, stderr];
  };
  const run = async (...asked: Parameters<typeof once>) =>
    until(
      () => once(...asked),
      // Where the others were not heard in time it is asked again.
      ([exit]) => exit === 0 || asked.includes("site"),
    );
  expect(await run("summit", one)).toEqual([0, `${one.uri}\n`, "at base\n"]);
  expect(await run("hub", one)).toEqual([0, `${one.uri}\n`, "at base\n"]);
  expect(await run("base", one)).toEqual([0, `${one.uri}\n`, ""]);
  expect(await run("summit", one, "--scope", "site")).toEqual([3, "", "absent\n"]);
  expect(await run("summit", one, "--json")).toEqual([0, at(one, "base"), ""]);
});

it("the supernode learns how long each group lives", async () => {
  const one = group();
  await announced("base", one);
  const hub = await deployment.connect("hub", "presence");
  const lives = new Map<string, number | null | undefined>();
  const followed = Effect.runFork(
    follow(hub, {
      bucket: sitesPresenceBucket,
      keys: [`base.*.${presenceKey(one.instrument, one.group, one.snap, one.detector)}`],
      lifetimes: true,
      each: ({ key, lifetimeMs }) => void lives.set(key, lifetimeMs),
    }),
  );
  await until(
    () => [...lives.values()],
    (found) => found.length > 0,
  );
  expect([...lives.values()]).toEqual([settings.lifetimeMs]);
  await Effect.runPromise(Fiber.interrupt(followed));
});

describe("who waits", () => {
  it("is answered when the group comes, wherever it comes", async () => {
    const [own, others] = [group(), group()];
    const waits = [timed(ask("summit", own, "?wait=60")), timed(ask("summit", others, "?wait=60"))];
    const hub = timed(ask("hub", others, "?wait=60"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    await Promise.all([announce("summit", own), announce("base", others)]);
    const [[first, firstMs], [second, secondMs]] = (await Promise.all(waits)) as [
      [string, number],
      [string, number],
    ];
    expect([first, second, (await hub)[0]]).toEqual([here(own), at(others, "base"), at(others, "base")]);
    expect(Math.max(firstMs, secondMs)).toBeLessThan(soonMs);
  });

  it("and in vain is told when its time is up", async () => {
    const [text, ms] = await timed(ask("summit", group(), "?wait=1.5"));
    expect(text).toBe(absent);
    expect(ms).toBeGreaterThan(1_400);
    expect(ms).toBeLessThan(soonMs);
  });
});

it("a thousand look-ups at once, of others' groups and of none, are each answered", async () => {
  const have = Array.from({ length: 500 }, () => group());
  await announce("base", ...have);
  const last = have.at(-1) ?? group();
  await until(
    () => ask("summit", last),
    (text) => text === at(last, "base"),
  );
  const lack = Array.from({ length: 500 }, () => group());
  const asker = await deployment.connect("summit", "operator");
  const wanted = [...have.map((one) => at(one, "base")), ...lack.map(() => absent)].join("");
  await until(
    async () => {
      const answers = [...have, ...lack].map(async ({ instrument, group: name, snap, detector }) => {
        const key = presenceKey(instrument, name, snap, detector);
        return (await asker.ask(`${presenceRequestSubject}.${key}`, "", patienceMs)).string();
      });
      return (await Promise.all(answers)).join("");
    },
    (text) => text === wanted,
  );
});

describe("what a site may see", () => {
  it("is as the supernode is told, at once after it was applied, and the others see on", async () => {
    const [ofBase, ofSummit] = [group(), group()];
    await announced("base", ofBase);
    await announced("summit", ofSummit);
    await site("sees", "archive", "summit");
    await site("apply");
    await until(
      () => ask("archive", ofBase),
      (text) => text === absent,
    );
    await says(at(ofSummit, "summit"), "archive", ofSummit);
    await says(at(ofBase, "base"), "summit", ofBase);
    await says(at(ofBase, "base"), "hub", ofBase);
    await site("sees", "archive", "none");
    await site("apply");
    await until(
      () => ask("archive", ofSummit),
      (text) => text === absent,
    );
    await site("sees", "archive", "all");
    await site("apply");
    await until(
      () => ask("archive", ofBase),
      (text) => text === at(ofBase, "base"),
    );
  });

  it("is not widened by asking as another site, nor by having the answer sent elsewhere", async () => {
    const one = group();
    await announced("archive", one);
    const key = presenceKey(one.instrument, one.group, one.snap, one.detector);
    const admin = await deployment.connect("summit", "admin");
    const heard: Array<string> = [];
    const listens = [
      admin,
      await deployment.connect("base", "admin"),
      await deployment.connect("hub", "admin"),
    ];
    for (const { connection } of listens) {
      for (const subject of [`${sitesAnswerPrefix("*")}.>`, "$JS.API.>", "elsewhere.>"])
        connection.subscribe(subject, {
          callback: (_error, { subject: to, data }) => {
            // Its own server says without a body that nobody is there to be asked.
            if (data.length > 0) heard.push(to);
          },
        });
      await connection.flush();
    }
    const asks = (as: string, reply: string): void =>
      admin.connection.publish(sitesAskSubject(as), writeQuestion({ key, waitMs: 0 }), { reply });
    asks("base", `${sitesAnswerPrefix("summit")}.x.1`);
    asks("summit", `${sitesAnswerPrefix("base")}.x.2`);
    asks("summit", "elsewhere.x.3");
    asks("summit", "$JS.API.STREAM.DELETE.KV_sites");
    // In order behind these, and so the first that is answered.
    const answers: Array<unknown> = [];
    const mine = `${sitesAnswerPrefix("summit")}.x.last`;
    admin.connection.subscribe(mine, {
      callback: (_error, { data }) => void answers.push(readSitesAnswer(data)),
    });
    await admin.connection.flush();
    await until(
      async () => {
        asks("summit", mine);
        await admin.connection.flush();
        return answers.length;
      },
      (count) => count > 0,
    );
    expect(answers[0]).toEqual({ found: { site: "archive", uri: one.uri }, unheard: [] });
    expect([...new Set(heard)]).toEqual([mine]);
    expect(places.get("hub")?.node.lines.filter(({ level }) => level === "warn").length).toBeGreaterThan(0);
  });
});

describe("a site that nobody answers", () => {
  it("whose link is cut answers for itself at once, and says so; healed it sees the others again", async () => {
    const [own, others] = [group(), group()];
    await announce("summit", own);
    await announced("base", others);
    link.cut();
    await until(
      () => ask("summit", others),
      (text) => text === nobodyAsked,
    );
    await says(here(own), "summit", own);
    // Whoever asks for its own groups alone is told nothing of this.
    expect(await ask("summit", others, "?scope=site")).toBe(absent);
    const [texts, ms] = await fastest(() =>
      Promise.all(Array.from({ length: 100 }, () => ask("summit", others))),
    );
    expect(texts).toEqual([nobodyAsked]);
    expect(ms).toBeLessThan(sitesAskMs);
    const [waited, waitedMs] = await timed(ask("summit", group(), "?wait=1"));
    expect(waited).toBe(nobodyAsked);
    expect(waitedMs).toBeLessThan(soonMs);
    const waits = ask("summit", others, "?wait=60");
    link.heal();
    expect(await waits).toBe(at(others, "base"));
    await says(at(others, "base"), "summit", others);
  });

  it("whose link is silent waits once, and not again while it is", async () => {
    const [own, others] = [group(), group()];
    await announce("summit", own);
    await announced("base", others);
    link.silence();
    try {
      const [first, firstMs] = await timed(ask("summit", others));
      expect(first).toBe(nobodyAsked);
      expect(firstMs).toBeLessThan(soonMs);
      const [rest, restMs] = await fastest(() =>
        Promise.all(Array.from({ length: 100 }, () => ask("summit", others))),
      );
      expect(rest).toEqual([nobodyAsked]);
      expect(restMs).toBeLessThan(sitesAskMs / 2);
      expect(await ask("summit", own)).toBe(here(own));
    } finally {
      link.heal();
    }
    await until(
      () => ask("summit", others),
      (text) => text === at(others, "base"),
    );
  });

  it("by one of the supernode's nodes is answered by the other, from the moment that this has all groups", async () => {
    const others = group();
    await announced("base", others);
    const second = await startHub();
    // Until then it takes no questions.
    await says(at(others, "base"), "summit", others);
    await until(
      async () => (await fetch(second.url + pathOf(others))).status,
      (status) => status === 200,
    );
    await places.get("hub")?.stop();
    places.set("hub", second);
    await until(
      () => Promise.all(Array.from({ length: 100 }, () => ask("summit", others))),
      (texts) => texts.every((text) => text === at(others, "base")),
    );
  });

  it("is never answered by a node that has not all groups, though it knows how the sites stand", async () => {
    const others = group();
    await announced("base", others);
    // It may look how the sites stand, and not follow their groups.
    const blind = await startHub("keeper");
    try {
      const asked = async (): Promise<string> => {
        const answer = await fetch(blind.url + pathOf(others));
        return `${answer.status} ${await answer.text()}`;
      };
      const began = performance.now();
      while (performance.now() - began < 1_500) {
        expect(await asked()).toMatch(/^503 .*only just started/);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await says(at(others, "base"), "summit", others);
    } finally {
      await blind.stop();
    }
  });

  it("because the supernode's node is gone is answered by the next one", async () => {
    const [own, others] = [group(), group()];
    await announce("summit", own);
    await announced("base", others);
    await places.get("hub")?.stop();
    // The site's server may not know yet that nobody is there.
    const [text, ms] = await timed(ask("summit", others));
    expect(text).toBe(nobodyAsked);
    expect(ms).toBeLessThan(soonMs);
    const [again, againMs] = await fastest(async () => [await ask("summit", others)]);
    expect(again).toEqual([nobodyAsked]);
    expect(againMs).toBeLessThan(sitesAskMs / 2);
    expect(await ask("summit", own)).toBe(here(own));
    places.set("hub", await startHub());
    await until(
      () => ask("summit", others),
      (found) => found === at(others, "base"),
    );
  });

  it("because it was put out sees the others no more", async () => {
    const one = group();
    await announced("base", one);
    await says(at(one, "base"), "archive", one);
    await site("revoke", "archive");
    await site("apply");
    await until(
      () => ask("archive", one),
      (text) => text === nobodyAsked,
    );
    await says(at(one, "base"), "summit", one);
  });
});
