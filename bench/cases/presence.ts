/** `presence-nats`, `presence-http`: "is it here?", nine of ten times it is. */
import { createInbox } from "@nats-io/transport-node";
import type { NatsService } from "../../src/jetstream/Nats.ts";
import { presenceBucket, presenceRequestSubject } from "../../src/protocol/keys.ts";
import { encodeText } from "../../src/protocol/records.ts";
import type { Turn } from "../compare.ts";
import { compare } from "../compare.ts";
import type { Question } from "../groups.ts";
import { asked, instrument, missEvery, storeGroups } from "../groups.ts";
import { httpLoad } from "../http.ts";
import type { Case } from "../result.ts";
import type { Program, Stage } from "../stage.ts";
import { withStage } from "../stage.ts";

const inFlight = 256;
const connections = 16;
const goals = { nats: 40_000, http: 15_000 };
const mix = `9,450 groups; of ${missEvery} look-ups ${missEvery - 1} find their group`;

/** Node and plain program on one bucket, both with everything in memory. */
async function programs(stage: Stage): Promise<{ readonly node: Program; readonly raw: Program }> {
  const node = await stage.startNode({ name: "node", roles: ["presence"] });
  const count = await storeGroups(stage.nats, presenceBucket);
  const raw = await stage.start("rawPresence", [stage.natsUrl, presenceBucket, String(count)]);
  return { node, raw };
}

/** Asks on NATS, `inFlight` questions at any moment. */
async function natsLoad(
  nats: NatsService,
  ms: number,
  subject: string,
  text: (question: Question) => string,
): Promise<Turn> {
  const questions = asked.map((question) => encodeText(text(question)));
  const inbox = createInbox();
  const latencies: Array<number> = [];
  const sentAt: Array<number> = [];
  const started = performance.now();
  const until = started + ms;
  let sent = 0;
  let open = 0;
  await new Promise<void>((resolve, reject) => {
    const ask = (): void => {
      const n = sent++;
      open++;
      sentAt[n] = performance.now();
      nats.connection.publish(subject, questions[n % questions.length], { reply: `${inbox}.${n}` });
    };
    const subscription = nats.connection.subscribe(`${inbox}.*`, {
      callback: (_error, message) => {
        const n = Number(message.subject.slice(inbox.length + 1));
        const now = performance.now();
        latencies.push(now - (sentAt[n] ?? now));
        open--;
        if (message.headers !== undefined)
          reject(new Error(`answered ${message.headers.code} ${message.string()}`));
        else if (now < until) ask();
        else if (open === 0) {
          subscription.unsubscribe();
          resolve();
        }
      },
    });
    for (let i = 0; i < inFlight; i++) ask();
  });
  const seconds = (performance.now() - started) / 1_000;
  return { value: latencies.length / seconds, done: latencies.length, latencies };
}

export const presenceNats: Case = {
  name: "presence-nats",
  run: (options) =>
    withStage(async (stage) => {
      const { node, raw } = await programs(stage);
      const ms = options.quick ? 700 : 1_200;
      const compared = await compare(
        "presence-nats",
        options,
        options.quick ? 1 : 5,
        { program: raw, turn: () => natsLoad(stage.nats, ms, "rawPresence", ({ key }) => key) },
        {
          program: node,
          turn: () =>
            natsLoad(
              stage.nats,
              ms,
              presenceRequestSubject,
              ({ group, detector }) => `${instrument}/${encodeURIComponent(group)}/0/${detector}`,
            ),
        },
      );
      return [
        {
          name: "presence-nats",
          unit: "look-ups/s",
          ...compared,
          goal: `≥ ${goals.nats} look-ups/s`,
          goal_met: compared.ours >= goals.nats,
          note: `${mix}; ${inFlight} requests in flight from one connection. raw: a map kept by a watch, \`get\` on a miss; it is asked for ready-made keys`,
        },
      ];
    }),
};

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`;

export const presenceHttp: Case = {
  name: "presence-http",
  run: (options) =>
    withStage(async (stage) => {
      const { node, raw } = await programs(stage);
      const turn = async (program: Program, path: (question: Question) => string): Promise<Turn> => {
        const requests = asked.map((question) => get(path(question)));
        const outcome = await httpLoad({
          url: program.ready.http ?? "",
          connections,
          ms: options.quick ? 700 : 1_200,
          request: (n) => requests[n % requests.length] ?? "",
        });
        return { value: outcome.perSecond, done: outcome.answered, latencies: outcome.latencies };
      };
      const compared = await compare(
        "presence-http",
        options,
        options.quick ? 1 : 5,
        { program: raw, turn: () => turn(raw, ({ key }) => `/${key}`) },
        {
          program: node,
          turn: () =>
            turn(
              node,
              ({ group, detector }) => `/presence/${instrument}/${encodeURIComponent(group)}/0/${detector}`,
            ),
        },
      );
      return [
        {
          name: "presence-http",
          unit: "look-ups/s",
          ...compared,
          goal: `≥ ${goals.http} look-ups/s`,
          goal_met: compared.ours >= goals.http,
          note: `${mix}; ${connections} connections, each waiting for its answer. raw: node:http over the same map; it is asked for ready-made keys`,
        },
      ];
    }),
};
