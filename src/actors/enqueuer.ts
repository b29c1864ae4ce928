/**
 * The enqueuer: S3 notifications become arrivals. Those on NATS come by natsNotifications.ts.
 *
 * Receives  `POST /notify`, whatever content type it names: a sender that is refused for it would send for ever.
 * Emits     arrivals, through the front door; the answer comes after they are on disk.
 * Fails     400 no JSON · 401/403 secret · 413 too large · 429 with Retry-After when one address sends more than
 *           `enqueuer.limits` lets it · 503 with Retry-After when NATS is away, the backlog is full, or more large bodies come
 *           in at once than memory is for.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Site } from "../config/Site.ts";
import { bodiesBytesMax, mailKeptMs } from "../limits.ts";
import { mailboxState } from "../jetstream/survey.ts";
import { arrivalsConsumer, replaysConsumer } from "../jetstream/topology.ts";
import { arrivalsStream } from "../protocol/keys.ts";
import type { NotificationRecord } from "../protocol/notification.ts";
import { readNotification } from "../protocol/notification.ts";
import type { Admission, FrontDoor } from "./frontDoor.ts";
import type { Route } from "./listens.ts";
import { LimitedLog } from "./limitedLog.ts";
import { BodiesFull, BodyBudget, BodyTooLarge, readBody } from "./listens.ts";
import type { NodeContextService } from "./NodeContext.ts";
import { RateLimit } from "./rateLimit.ts";
import { SourceAddresses } from "./sourceAddress.ts";

const retryAfterSeconds = 2;
const decoder = new TextDecoder("utf-8", { fatal: true });

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** The connection ends with this answer: not all that was sent has been read. */
  readonly close?: boolean;
  readonly retryAfterSeconds?: number;
}

export const refusal = (status: number, error: string, fix: string): Answer => ({
  status,
  body: { error, fix },
});

/** Refuses the requests of an address that sends more than it may; null where none is refused. */
function rateOf(
  node: Pick<NodeContextService, "log" | "counters">,
  { enqueuer: { limits }, http }: Site,
): ((request: IncomingMessage) => Answer | null) | null {
  if (limits === null) return null;
  const sources = new SourceAddresses(http);
  const rate = new RateLimit({ perSecond: limits.requestsPerSecond, burst: limits.burst });
  const hasty = new LimitedLog(
    node.log,
    "notifications of addresses that send more than enqueuer.limits were refused",
  );
  return (request) => {
    const address = sources.ofRequest(request);
    if (address === null) return null;
    const now = performance.now();
    const waitMs = rate.take(address, now);
    if (waitMs === 0) return null;
    hasty.refused(address, now);
    node.counters.limited("notifications", 1);
    const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1_000));
    const error = `more than ${limits.requestsPerSecond} notifications a second from ${address}`;
    return { ...refusal(429, error, `try again in ${retryAfterSeconds} s`), retryAfterSeconds };
  };
}

export function notifyRoutes(
  node: Pick<NodeContextService, "log" | "counters">,
  site: Site,
  door: FrontDoor,
): ReadonlyArray<Route> {
  const { enqueuer } = site;
  const budget = new BodyBudget(bodiesBytesMax);
  const rate = rateOf(node, site);
  const handle: Route["handle"] = async (request, response, path) => {
    const hasty = rate?.(request) ?? null;
    if (hasty !== null) return send(response, hasty);
    send(response, await answerNotify(site, door, budget, request, path[0] ?? null));
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
    ...(answer.status === 503 || answer.status === 429
      ? { "retry-after": String(answer.retryAfterSeconds ?? retryAfterSeconds) }
      : {}),
    ...(answer.close === true ? { connection: "close" } : {}),
  });
  response.end(body);
}

/** Whether the request as a whole shows the secret: `yes`, `no` (each record must), or an answer that refuses it. */
function trustOf(
  site: Site,
  door: FrontDoor,
  request: IncomingMessage,
  inPath: string | null,
): "yes" | "no" | Answer {
  const { secret, secretIn } = site.enqueuer;
  if (secret === null) return "yes";
  // Another scheme is somebody else's (a proxy's), and says nothing of the secret.
  const bearer = secretIn.includes("bearer")
    ? /^Bearer(?: +(.*))?$/i.exec(request.headers.authorization ?? "")
    : null;
  if (bearer !== null) {
    return door.secretFits(bearer[1] ?? null)
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
  budget: BodyBudget,
  request: IncomingMessage,
  inPath: string | null,
): Promise<Answer> {
  const trust = trustOf(site, door, request, inPath);
  if (typeof trust !== "string") return trust;
  const pressure = door.pressure(1);
  if (pressure !== null) return refusal(503, pressure, `try again in ${retryAfterSeconds} s`);
  let bytes: Uint8Array;
  try {
    bytes = await readBody(request, site.enqueuer.bodyBytesMax, budget);
  } catch (cause) {
    if (cause instanceof BodyTooLarge) {
      const error = `the body has more than ${site.enqueuer.bodyBytesMax} bytes`;
      return { ...refusal(413, error, "send fewer records a request"), close: true };
    }
    if (cause instanceof BodiesFull) {
      return { ...refusal(503, cause.message, `try again in ${retryAfterSeconds} s`), close: true };
    }
    return refusal(400, "the body broke off", "send the whole request");
  }
  return answerBytes(site, door, bytes, "webhook", trust === "yes");
}

/** What a notification is answered, by whichever way its bytes came. */
export async function answerBytes(
  site: Site,
  door: FrontDoor,
  bytes: Uint8Array,
  via: string,
  trusted: boolean,
): Promise<Answer> {
  const records = recordsOf(site, bytes);
  if (!Array.isArray(records)) return records as Answer;
  return admitAll(door, records as ReadonlyArray<NotificationRecord>, via, trusted);
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
  const full = door.fullLane(records.filter((record) => record.type === "created"));
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
      return refusal(
        503,
        await door.fault(admission.error),
        "send the notification again; what is stored already is not stored twice",
      );
    }
    if (admission.type === "queued") queued.push(admission.answer);
  }
  return { status: 200, body: queued };
}

const pollMs = 1_000;
const alarmEveryMs = 60_000;

/**
 * Keeps the front door's picture of each lane's backlog: what is pending and what is in hand. A lane whose oldest arrival has used up
 * half of its time in the stream is an alarm: a lane that nobody works on must not lose by age.
 */
export const backlogPoll = (node: NodeContextService, site: Site, door: FrontDoor): Effect.Effect<never> =>
  Effect.gen(function* () {
    const alarmed = new Map<string, number>();
    for (;;) {
      for (const lane of site.lanes.keys()) {
        const look = (consumer: string) =>
          Effect.map(Effect.option(mailboxState(node.nats, arrivalsStream, consumer)), Option.getOrNull);
        const state = yield* look(arrivalsConsumer(lane));
        const replays = yield* look(replaysConsumer(lane));
        // What is replayed waits behind what comes now, so it never keeps that out.
        if (state !== null) door.backlog.set(lane, state.queued + state.inHand);
        if (state !== null) node.counters.backlog(lane, state.queued + state.inHand);
        if (replays !== null) node.counters.replays(lane, replays.queued + replays.inHand);
        const now = node.nats.now();
        const ageMs = now - Math.min(state?.oldestAt ?? now, replays?.oldestAt ?? now);
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
