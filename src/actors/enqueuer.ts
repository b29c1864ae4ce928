/**
 * The enqueuer: S3 notifications by webhook and by NATS subject become arrivals.
 *
 * Receives  `POST /notify`; messages of `enqueuer.natsSubject`.
 * Emits     arrivals, through the front door; the answer comes after they are on disk.
 * Fails     400 no JSON · 401/403 secret · 413 too large · 503 with Retry-After when NATS is away or the backlog is full.
 */
import * as Effect from "effect/Effect";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Site } from "../config/Site.ts";
import { mailKeptMs } from "../limits.ts";
import { mailboxState } from "../jetstream/survey.ts";
import { arrivalsConsumer } from "../jetstream/topology.ts";
import { arrivalsStream } from "../protocol/keys.ts";
import type { NotificationRecord } from "../protocol/notification.ts";
import { readNotification } from "../protocol/notification.ts";
import type { Admission, FrontDoor } from "./frontDoor.ts";
import type { Route } from "./listens.ts";
import { BodyTooLarge, readBody } from "./listens.ts";
import type { NodeContextService } from "./NodeContext.ts";

const retryAfterSeconds = 2;
const decoder = new TextDecoder("utf-8", { fatal: true });

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const refusal = (status: number, error: string, fix: string): Answer => ({ status, body: { error, fix } });

export function notifyRoutes(
  site: Site,
  door: FrontDoor,
): ReadonlyArray<Route> {
  const { enqueuer } = site;
  const handle: Route["handle"] = async (request, response, path) => {
    send(response, await answerNotify(site, door, request, path[0] ?? null));
  };
  const exact: Route = { method: "POST", path: enqueuer.path, handle };
  return enqueuer.secretIn.includes("path")
    ? [exact, { method: "POST", path: `${enqueuer.path}/`, handle }]
    : [exact];
}

function send(response: ServerResponse, answer: Answer): void {
  if (response.destroyed) return;
  const body = JSON.stringify(answer.body);
  response.writeHead(answer.status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...(answer.status === 503 ? { "retry-after": String(retryAfterSeconds) } : {}),
    ...(answer.status === 413 ? { connection: "close" } : {}),
  });
  response.end(body);
}

/** Whether the request as a whole shows the secret: `yes`, `no` (each record must), or an answer that refuses it. */
function trustOf(site: Site, door: FrontDoor, request: IncomingMessage, inPath: string | null): "yes" | "no" | Answer {
  const { secret, secretIn } = site.enqueuer;
  if (secret === null) return "yes";
  const authorization = request.headers.authorization;
  if (secretIn.includes("bearer") && authorization !== undefined) {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? null;
    return door.secretFits(token)
      ? "yes"
      : refusal(403, "the bearer token is wrong", "send the site's notification secret");
  }
  if (secretIn.includes("path") && inPath !== null) {
    return door.secretFits(inPath)
      ? "yes"
      : refusal(403, "the secret in the path is wrong", "use the site's notification secret");
  }
  if (secretIn.includes("opaqueData")) return "no";
  return refusal(
    401,
    "the notification secret is missing",
    secretIn.includes("bearer")
      ? "send it as: Authorization: Bearer SECRET"
      : `send it in the path: ${site.enqueuer.path}/SECRET`,
  );
}

async function answerNotify(
  site: Site,
  door: FrontDoor,
  request: IncomingMessage,
  inPath: string | null,
): Promise<Answer> {
  const trust = trustOf(site, door, request, inPath);
  if (typeof trust !== "string") return trust;
  const pressure = door.pressure(1);
  if (pressure !== null) return refusal(503, pressure, `try again in ${retryAfterSeconds} s`);
  let bytes: Uint8Array;
  try {
    bytes = await readBody(request, site.enqueuer.bodyBytesMax);
  } catch (cause) {
    if (cause instanceof BodyTooLarge) {
      return refusal(413, `the body has more than ${site.enqueuer.bodyBytesMax} bytes`, "send fewer records a request");
    }
    return refusal(400, "the body broke off", "send the whole request");
  }
  const records = recordsOf(site, bytes);
  if (!Array.isArray(records)) return records as Answer;
  return admitAll(door, records as ReadonlyArray<NotificationRecord>, "webhook", trust === "yes");
}

function recordsOf(site: Site, bytes: Uint8Array): ReadonlyArray<NotificationRecord> | Answer {
  let body: unknown;
  try {
    body = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    return refusal(
      400,
      `the body is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      "send an S3 event notification",
    );
  }
  const notification = readNotification(body, site.enqueuer.recordsMax);
  switch (notification.type) {
    case "records":
      return notification.records;
    case "test":
      return [];
    case "too-many":
      return refusal(
        413,
        `${notification.count} records, at most ${site.enqueuer.recordsMax} are taken at once`,
        "send fewer records a request",
      );
    case "fault":
      return refusal(400, notification.why, 'send {"Records":[…]} as S3 servers do');
  }
}

/** Everything is admitted or the sender is told to come again; what was admitted already is then a duplicate. */
async function admitAll(
  door: FrontDoor,
  records: ReadonlyArray<NotificationRecord>,
  via: string,
  trusted: boolean,
): Promise<Answer> {
  const buckets = new Set<string>();
  for (const record of records) if (record.type === "created") buckets.add(record.bucket);
  const full = door.fullLane(buckets);
  if (full !== null) {
    return refusal(503, `the backlog of lane ${full} is full`, `try again in ${retryAfterSeconds} s`);
  }
  const pressure = door.pressure(records.length);
  if (pressure !== null) return refusal(503, pressure, `try again in ${retryAfterSeconds} s`);
  const first = records[0];
  const admissions: ReadonlyArray<Admission> =
    records.length === 1 && first !== undefined
      ? [await door.admit(first, via, trusted)]
      : await Promise.all(records.map((record) => door.admit(record, via, trusted)));
  const queued: Array<Readonly<Record<string, string>>> = [];
  for (const admission of admissions) {
    if (admission.type === "failed") {
      return refusal(503, admission.error.message, "send the notification again; what is stored already is not stored twice");
    }
    if (admission.type === "queued") queued.push(admission.answer);
  }
  return { status: 200, body: queued };
}

/** Notifications that S3 servers publish on NATS. A request gets its answer; a plain publish is best effort by nature. */
export const natsNotifications = (
  node: NodeContextService,
  site: Site,
  door: FrontDoor,
): Effect.Effect<never> => {
  const subject = site.enqueuer.natsSubject;
  if (subject === null) return Effect.never;
  // Messages are worked on one after another: what waits meanwhile stays in the client's buffer, bounded by the pressure on the sender's requests.
  const take = async (data: Uint8Array): Promise<Answer> => {
    if (data.length > site.enqueuer.bodyBytesMax) return refusal(413, "the message is too large", "send fewer records");
    const records = recordsOf(site, data);
    if (!Array.isArray(records)) return records as Answer;
    // Who may publish on the subject is NATS's business: its permissions are the secret.
    return admitAll(door, records as ReadonlyArray<NotificationRecord>, "nats", true);
  };
  return Effect.acquireUseRelease(
    Effect.sync(() => {
      const subscription = node.nats.connection.subscribe(subject, { queue: "enqueuer" });
      const pump = async (): Promise<void> => {
        for await (const message of subscription) {
          for (let attempt = 0; ; attempt++) {
            const answer = await take(message.data).catch((cause: unknown) => refusal(503, String(cause), "again"));
            node.counters.requests("nats", answer.status);
            if (message.reply !== undefined && message.reply !== "") {
              message.respond(JSON.stringify(answer));
              break;
            }
            // Nobody waits for an answer and nobody sends it again: hold it until it is stored.
            if (answer.status !== 503) {
              if (answer.status !== 200) node.log("warn", "a notification on NATS was refused", { subject, answer });
              break;
            }
            await new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** attempt, 5_000)));
          }
        }
      };
      void pump();
      return subscription;
    }),
    () => Effect.never,
    (subscription) => Effect.sync(() => subscription.unsubscribe()),
  );
};

const pollMs = 1_000;
const alarmEveryMs = 60_000;

/**
 * Keeps the front door's picture of each lane's backlog: what is pending and what is in hand. A lane whose oldest arrival has used up
 * half of its time in the stream is an alarm: a lane that nobody works on must not lose by age.
 */
export const backlogPoll = (
  node: NodeContextService,
  site: Site,
  door: FrontDoor,
): Effect.Effect<never> =>
  Effect.gen(function* () {
    const alarmed = new Map<string, number>();
    for (;;) {
      for (const lane of site.lanes.keys()) {
        const found = yield* Effect.option(
          mailboxState(node.nats, arrivalsStream, arrivalsConsumer(lane)),
        );
        const state = found._tag === "Some" ? found.value : null;
        if (state === null) continue;
        door.backlog.set(lane, state.queued + state.inHand);
        node.counters.backlog(lane, state.queued + state.inHand);
        const now = Date.now();
        const ageMs = state.oldestAt === null ? 0 : now - state.oldestAt;
        if (ageMs < mailKeptMs / 2 || now - (alarmed.get(lane) ?? 0) < alarmEveryMs) continue;
        alarmed.set(lane, now);
        node.log("error", "arrivals of a lane will be lost by age unless it is worked on", {
          lane,
          oldestHours: Math.round(ageMs / 3_600_000),
          keptHours: mailKeptMs / 3_600_000,
        });
      }
      yield* Effect.sleep(pollMs);
    }
  });
