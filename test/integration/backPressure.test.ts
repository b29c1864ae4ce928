/** The front door while what stands behind it cannot keep up, is away, or is stopped: it says so, and what it said 200 to is there. */
import * as Effect from "effect/Effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commitQueueMax, natsAtOnceMax, notifyRecordsMax } from "../../src/limits.ts";
import { ServerProcess } from "../support/server.ts";
import type { Answer, TestSite } from "../support/testSite.ts";
import { arrivals, ask, keysOf, settled, startSite, until } from "../support/testSite.ts";

const backlogMax = 50;
const notificationSubject = "s3.events";

const siteText = (server: string): string => `
name: pressed
node: { name: pressed-1 }
nats: { mode: external, servers: ["${server}"] }
http: { host: 127.0.0.1, port: 0 }
lanes:
  beside: { kind: object, buckets: [held], accept: '^beside/' }
  held: { kind: object, buckets: [held], accept: '^(backlog/|x)', backlogMax: ${backlogMax}, batchMax: 10 }
  free: { kind: object, buckets: [free] }
enqueuer: { natsSubject: ${notificationSubject} }
`;

describe("the front door under pressure", () => {
  let server: ServerProcess;
  let site: TestSite;
  /** While it is set, the lane `held` works on nothing. */
  let hold: Promise<void> | null = null;
  let release: () => void = () => undefined;

  const start = (): Promise<TestSite> =>
    startSite(siteText(server.url), {
      aroundDriver: (lane, open) =>
        lane.name !== "held"
          ? open
          : Effect.map(open, (driver) => ({
              name: driver.name,
              ingest: (items) =>
                Effect.andThen(
                  Effect.promise(() => hold ?? Promise.resolve()),
                  driver.ingest(items),
                ),
            })),
    });

  beforeAll(async () => {
    server = await ServerProcess.start();
    site = await start();
  });
  afterAll(async () => {
    release();
    await site.stop();
    await server.end();
  });

  const body = (bucket: string, keys: ReadonlyArray<string>): object => ({
    Records: keys.map((key) => ({
      eventName: "ObjectCreated:Put",
      s3: { bucket: { name: bucket }, object: { key, size: 1, eTag: "e" } },
    })),
  });
  const notify = (bucket: string, ...keys: ReadonlyArray<string>): Promise<Answer> =>
    ask(site, { body: body(bucket, keys) });
  const known = (lane: string, key: string): Promise<unknown> =>
    settled(site, lane, "-", lane, key, ["known"]);
  const names = async (lane: string, part: string): Promise<ReadonlyArray<string>> =>
    [...(await keysOf(site, `file.${lane}.>`))].flatMap(([key, file]) =>
      key.includes(part) && file["state"] === "known" ? [key] : [],
    );
  /** As a sender does that was told to come again. */
  async function insist(bucket: string, keys: ReadonlyArray<string>): Promise<void> {
    const answer = await until(
      () => notify(bucket, ...keys).catch(() => null),
      (found) => found?.status === 200,
    );
    expect(answer?.body).toHaveLength(keys.length);
  }
  function isBusy(answer: Answer): void {
    expect(answer).toMatchObject({
      status: 503,
      body: { error: expect.any(String) as string, fix: expect.any(String) as string },
    });
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
  }

  it("a lane over its backlog is answered 503, others are not; later all is taken", async () => {
    hold = new Promise((resolve) => (release = resolve));
    const accepted: Array<string> = [];
    const refused = await until(
      async () => {
        const key = `backlog/${accepted.length}`;
        const answer = await notify("held", key);
        if (answer.status === 200) accepted.push(key);
        return answer;
      },
      (answer) => answer.status !== 200,
    );
    isBusy(refused);
    expect(accepted.length).toBeGreaterThan(backlogMax);
    isBusy(await notify("free", "backlog/beside").then(() => notify("held", "x")));
    await known("free", "backlog/beside");
    // A lane that shares the bucket has room of its own.
    expect((await notify("held", "beside/1")).status).toBe(200);
    await settled(site, "beside", "-", "held", "beside/1", ["known"]);
    // One request for both is refused as a whole: its sender comes again with both.
    const mixed = body("held", ["backlog/mixed"]) as { Records: Array<unknown> };
    mixed.Records.push(...(body("free", ["backlog/mixed"]) as { Records: Array<unknown> }).Records);
    isBusy(await ask(site, { body: mixed }));
    // Nobody sends again what was only published: it is held.
    const nats = site.node.context.nats.connection;
    nats.publish(notificationSubject, JSON.stringify(body("held", ["backlog/published"])));
    expect(
      (await nats.request(notificationSubject, JSON.stringify(body("held", ["x"])))).json(),
    ).toMatchObject({ status: 503 });
    // And however many are held, they hold up nobody else's.
    const held = Array.from({ length: natsAtOnceMax }, (_, i) => `backlog/published-${i}`);
    for (const key of held) nats.publish(notificationSubject, JSON.stringify(body("held", [key])));
    nats.publish(notificationSubject, JSON.stringify(body("free", ["backlog/published"])));
    await known("free", "backlog/published");
    release();
    hold = null;
    await insist("held", ["backlog/later"]);
    for (const key of [...accepted, ...held, "backlog/later", "backlog/published"]) await known("held", key);
    expect(await names("held", "backlog/")).toHaveLength(accepted.length + held.length + 2);
  });

  it("a server that is killed under load: 503, and nothing that was answered 200 is lost", async () => {
    const answered = new Map<string, number>();
    const load = new AbortController();
    let serial = 0;
    const sender = async (): Promise<void> => {
      while (!load.signal.aborted) {
        const key = `killed/${serial++}`;
        const answer = await notify("free", key).catch(() => null);
        answered.set(key, answer?.status ?? 0);
        if (answer?.status === 503) isBusy(answer);
      }
    };
    const senders = Array.from({ length: 8 }, sender);
    const count = (status: number): number => [...answered.values()].filter((s) => s === status).length;
    await until(
      () => count(200),
      (n) => n > 200,
    );
    await server.kill9();
    // Seen as away: told at once, whatever it is that comes.
    await until(
      () => count(503),
      (n) => n > 20,
    );
    isBusy(await notify("nobodys", "killed"));
    isBusy(await ask(site, { body: "{" }));
    load.abort();
    await Promise.all(senders);
    expect(new Set(answered.values())).toEqual(new Set([200, 503]));
    await server.start();
    await insist(
      "free",
      [...answered]
        .filter(([, status]) => status !== 200)
        .slice(0, notifyRecordsMax)
        .map(([key]) => key),
    );
    await until(
      () => names("free", "killed/"),
      (found) => found.length === Math.min(answered.size, count(200) + notifyRecordsMax),
    );
    for (const [key, status] of answered) if (status === 200) await known("free", key);
  });

  it("a server that stands still: 503 in time, a bounded queue, and sent again each is there once", async () => {
    const requests = Array.from({ length: commitQueueMax / notifyRecordsMax + 1 }, (_, request) =>
      Array.from({ length: notifyRecordsMax }, (_item, i) => `still/${request}/${i}`),
    );
    server.pause();
    let answers: ReadonlyArray<Answer>;
    try {
      const [unknown, ...sent] = await Promise.all([
        notify("nobodys", "still"),
        ...requests.map((keys) => notify("free", ...keys)),
      ]);
      if (unknown !== undefined) isBusy(unknown);
      answers = sent;
    } finally {
      server.resume();
    }
    for (const answer of answers) isBusy(answer);
    const texts = answers.map((answer) => JSON.stringify(answer.body));
    expect(texts.filter((text) => text.includes("too many arrivals wait"))).toHaveLength(1);
    for (const keys of requests) await insist("free", keys);
    const total = requests.length * notifyRecordsMax;
    await until(
      () => names("free", "still/"),
      (found) => found.length === total,
    );
    expect(await arrivals(site, "arrive.free.>")).toBeGreaterThanOrEqual(total);
    await until(
      async () => (await notify("nobodys", "still")).status,
      (status) => status === 200,
    );
  });

  it("a node that is stopped under load has stored what it answered 200", async () => {
    const accepted: Array<string> = [];
    const load = new AbortController();
    let serial = 0;
    const sender = async (): Promise<void> => {
      while (!load.signal.aborted) {
        const key = `stopped/${serial++}`;
        const answer = await notify("free", key).catch(() => null);
        if (answer?.status === 200) accepted.push(key);
        else if (answer === null) return;
      }
    };
    const senders = Array.from({ length: 8 }, sender);
    await until(
      () => accepted.length,
      (n) => n > 100,
    );
    await site.stop();
    load.abort();
    await Promise.all(senders);
    site = await start();
    for (const key of accepted) await known("free", key);
  });
});
