/** Which of the supernode's consumers are begun anew before a site's stream takes from them. */
import { JetStreamApiError } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import { expect, it } from "vitest";
import { filesOfStreamOf } from "../../src/jetstream/filesOf.ts";
import { begun } from "../../src/jetstream/filesOfBegin.ts";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import type { Topology } from "../../src/jetstream/topology.ts";

const stream = filesOfStreamOf(
  { site: "base", supernode: "hub", sites: ["summit", "tucson"] },
  1,
) as unknown as Topology["streams"][number];

/** @param look what the site's server says of its stream */
async function begin(look: () => Promise<unknown>) {
  const begunAnew: Array<string> = [];
  const nats = {
    jsm: { streams: { info: look } },
    connection: {
      request: async (subject: string) => {
        begunAnew.push(subject.split(".").at(-1) ?? "");
        return { json: () => ({}) };
      },
    },
  } as unknown as NatsService;
  const found = await Effect.runPromise(Effect.result(begun(nats, stream)));
  return { found, begunAnew };
}

it("all of them where the stream is not there", async () => {
  const { found, begunAnew } = await begin(() =>
    Promise.reject(new JetStreamApiError({ code: 404, err_code: 10059, description: "stream not found" })),
  );
  expect(Result.isSuccess(found)).toBe(true);
  expect(begunAnew).toEqual(["base=summit", "base=tucson"]);
});

it("those that it did not take from before", async () => {
  const config = { sources: stream.sources?.slice(0, 1) };
  const { found, begunAnew } = await begin(() => Promise.resolve({ config }));
  expect(Result.isSuccess(found)).toBe(true);
  expect(begunAnew).toEqual(["base=tucson"]);
});

it.each([
  ["a timeout", new Error("timeout"), "NatsUnavailable"],
  [
    "another refusal",
    new JetStreamApiError({ code: 503, err_code: 10039, description: "jetstream not enabled" }),
    "JetStreamRejected",
  ],
])("none after %s, which says nothing of whether the stream is there", async (_, failure, tag) => {
  const { found, begunAnew } = await begin(() => Promise.reject(failure));
  expect(found).toMatchObject({ _tag: "Failure", failure: { _tag: tag } });
  expect(begunAnew).toEqual([]);
});
