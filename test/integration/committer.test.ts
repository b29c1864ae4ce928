import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Committer } from "../../src/actors/committer.ts";
import { commitBatchFrom, commitQueueMax, commitRecordsMax } from "../../src/limits.ts";
import { readStreamUnsafe } from "../../src/jetstream/ledger.ts";
import { arrivalsStream } from "../../src/protocol/keys.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";

let server: TestNats;
beforeAll(async () => {
  server = await startNats();
});
afterAll(() => server.stop());

const encoder = new TextEncoder();
const write = (subject: string, id: string) => ({
  subject: `arrive.${subject}.x.y`,
  messageId: `${subject}/${id}`,
  data: encoder.encode(id),
});

async function stored(
  subject: string,
): Promise<ReadonlyArray<{ readonly seq: number; readonly text: string }>> {
  const found: Array<{ seq: number; text: string }> = [];
  await readStreamUnsafe(server.nats, arrivalsStream, `arrive.${subject}.>`, ({ seq, data }) =>
    found.push({ seq, text: new TextDecoder().decode(data) }),
  );
  return found;
}

describe.each([
  ["a few", commitBatchFrom - 1],
  ["as many as go in a batch", commitBatchFrom],
  ["more than one batch", commitRecordsMax * 2 + 3],
])("%s arrivals at once", (what, count) => {
  const subject = what.replaceAll(" ", "-");
  const ids = Array.from({ length: count }, (_, i) => `id-${i}`);

  it("are stored once each, and each is told its own sequence", async () => {
    const committer = new Committer(server.nats);
    const answers = await Promise.all(ids.map((id) => committer.commit(write(subject, id))));
    const said = answers.map((answer, i) =>
      "_tag" in answer ? answer : { seq: answer.sequence, text: ids[i] },
    );
    const there = await stored(subject);
    expect(there).toHaveLength(count);
    expect([...said].sort((a, b) => ("seq" in a && "seq" in b ? a.seq - b.seq : 0))).toEqual(there);
    expect(answers.every((answer) => "duplicate" in answer && !answer.duplicate)).toBe(true);
    expect(committer.waiting).toBe(0);
  });

  it("are known again, whole or in part", async () => {
    const committer = new Committer(server.nats);
    const again = await Promise.all([...ids, "new"].map((id) => committer.commit(write(subject, id))));
    expect(again.map((answer) => "duplicate" in answer && answer.duplicate)).toEqual([
      ...ids.map(() => true),
      false,
    ]);
    expect(await stored(subject)).toHaveLength(count + 1);
  });
});

it("gives one message to senders of the same content, and tells all but the first", async () => {
  const committer = new Committer(server.nats);
  const answers = await Promise.all([1, 2, 3].map(() => committer.commit(write("same", "id"))));
  expect(answers.map((answer) => "duplicate" in answer && answer.duplicate)).toEqual([false, true, true]);
  expect(await stored("same")).toHaveLength(1);
});

it("has no room beyond its limit", async () => {
  const committer = new Committer(server.nats);
  expect(committer.hasRoom(commitQueueMax)).toBe(true);
  const waiting = committer.commit(write("room", "id"));
  expect(committer.hasRoom(commitQueueMax)).toBe(false);
  await waiting;
  expect(committer.hasRoom(commitQueueMax)).toBe(true);
});

it("one that was announced before does not cost the others of its batch their way", async () => {
  const published: Array<string> = [];
  const nats = {
    ...server.nats,
    ask: (subject: string, ...rest: [Uint8Array | string, number]) => {
      published.push(subject);
      return server.nats.ask(subject, ...rest);
    },
  };
  const committer = new Committer(nats);
  await committer.commit(write("again", "old"));
  published.length = 0;
  const fresh = Array.from({ length: commitBatchFrom * 2 }, (_, i) => `fresh-${i}`);
  const answers = await Promise.all(["old", ...fresh].map((id) => committer.commit(write("again", id))));
  expect(answers.map((answer) => "duplicate" in answer && answer.duplicate)).toEqual([
    true,
    ...fresh.map(() => false),
  ]);
  // One request for what is stored already, and one for all the rest.
  expect(published).toHaveLength(2);
  expect(await stored("again")).toHaveLength(fresh.length + 1);
});
