/** Groups that a site announces, and whether the supernode says that they are there. */
import { setTimeout as sleep } from "node:timers/promises";
import * as Effect from "effect/Effect";
import type { AnnouncedGroup } from "../../../src/actors/presence.ts";
import { announceGroups } from "../../../src/actors/presence.ts";
import type { NatsService } from "../../../src/jetstream/Nats.ts";
import type { TestNode } from "../../support/testNode.ts";
import { testNode } from "../../support/testNode.ts";

const lifetimeMs = 3_600_000;
const askMsMax = 2_000;
const askEveryMs = 500;
const atOnce = 16;

export class Groups {
  readonly #site: string;
  readonly #node: TestNode;
  /** What was acknowledged. */
  readonly announced: Array<AnnouncedGroup> = [];
  #count = 0;

  constructor(nats: NatsService, site: string) {
    this.#site = site;
    this.#node = testNode(nats, `${site}-announcer`);
  }

  /** Announces one after the other until it is told to end. Each name is this site's alone. */
  async announce(over: AbortSignal, everyMs: number): Promise<void> {
    while (!over.aborted) {
      const group = `${this.#site}-${this.#count++}`;
      const one = { instrument: "LSSTCam", group, snap: 0, detector: "R22_S11", uri: `s3://${group}` };
      const stored = announceGroups(this.#node, [one], lifetimeMs);
      const done = Effect.runPromise(stored).then(
        () => void this.announced.push(one),
        // The server is away: nobody was told that it is there.
        () => undefined,
      );
      await Promise.all([done, sleep(everyMs)]);
    }
  }

  /** One that nobody ever announced. */
  get stranger(): AnnouncedGroup {
    return { instrument: "LSSTCam", group: `${this.#site}-never`, snap: 0, detector: "R22_S11", uri: "" };
  }
}

/** What is answered at that address; null: nothing, or that it is not served now. */
async function answer(
  url: string,
  { instrument, group, snap, detector }: AnnouncedGroup,
): Promise<Answer | null> {
  return fetch(`${url}/presence/${instrument}/${encodeURIComponent(group)}/${snap}/${detector}`, {
    signal: AbortSignal.timeout(askMsMax),
  })
    .then(async (got) => (got.status === 200 ? ((await got.json()) as Answer) : null))
    .catch(() => null);
}

interface Answer {
  readonly present?: boolean;
  readonly uri?: string;
  readonly site?: string;
}

/**
 * Asks the supernode's node about all that was announced, again about what is not there, for at most so long.
 * @returns what is wrong, in words
 */
export async function askAll(
  url: () => string | null,
  sites: ReadonlyArray<{ readonly name: string; readonly groups: Groups }>,
  withinMs: number,
): Promise<ReadonlyArray<string>> {
  const until = performance.now() + withinMs;
  const wrong: Array<string> = [];
  let left = sites.flatMap(({ name, groups }) => groups.announced.map((one) => ({ name, one })));
  while (left.length > 0 && performance.now() < until) {
    const asked = [...left];
    left = [];
    const ask = async (): Promise<void> => {
      for (let next = asked.pop(); next !== undefined; next = asked.pop()) {
        const { name, one } = next;
        const found = await answer(url() ?? "", one);
        if (found?.present !== true) left.push(next);
        else if (found.uri !== one.uri || found.site !== name)
          wrong.push(
            `group ${one.group} of ${name} is told to be ${found.uri ?? "?"} of ${found.site ?? "?"}`,
          );
      }
    };
    await Promise.all(Array.from({ length: atOnce }, ask));
    if (left.length > 0) await sleep(askEveryMs);
  }
  for (const { name, groups } of sites) {
    const mine = left.filter((each) => each.name === name);
    if (mine.length > 0)
      wrong.push(
        `lost: ${mine.length} groups of ${name} are not present at the supernode: ${mine[0]?.one.group ?? ""}`,
      );
    if ((await answer(url() ?? "", groups.stranger))?.present === true)
      wrong.push(`a group that ${name} never announced is told to be present`);
  }
  return wrong;
}
