/**
 * The connection that survives everything: servers may go, hang and come back; it waits for them for ever and says so.
 * What is published while it is away is dropped by the client, so nobody publishes without awaiting an answer.
 */
import type { ConnectionOptions, Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { connect, credsAuthenticator, errors } from "@nats-io/transport-node";
import type { JetStreamManager } from "@nats-io/jetstream";
import { jetstreamManager } from "@nats-io/jetstream";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Redacted from "effect/Redacted";
import type * as Scope from "effect/Scope";
import { readFileSync } from "node:fs";
import { requestDeadlineMs } from "../limits.ts";
import type { JetStreamError } from "../protocol/errors.ts";
import { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream, nodesBucket } from "../protocol/keys.ts";
import { Asks } from "./asks.ts";
import { serverTime, SiteClock } from "./SiteClock.ts";
import { errorOfCode, unavailable } from "./wire.ts";

export interface ConnectSettings {
  readonly servers: ReadonlyArray<string>;
  readonly name: string;
  readonly credentialsFile?: string | null;
  readonly user?: string | null;
  readonly password?: Redacted.Redacted | null;
  readonly token?: Redacted.Redacted | null;
  readonly tls?: {
    readonly caFile: string | null;
    readonly certFile: string | null;
    readonly keyFile: string | null;
  } | null;
  readonly domain?: string | null;
}

export interface LinkState {
  readonly connected: boolean;
  readonly server: string;
  /** Epoch milliseconds of the last change. */
  readonly since: number;
  readonly reconnects: number;
}

/** One NATS connection and its JetStream API, shared by every actor of a node. */
export class Nats extends Context.Service<
  Nats,
  {
    readonly connection: NatsConnection;
    readonly jsm: JetStreamManager;
    /** `$JS.API` or `$JS.<domain>.API`. */
    readonly apiPrefix: string;
    /** Where this user may hear answers; its JWT says so. */
    readonly inboxPrefix: string;
    readonly link: () => LinkState;
    /** Epoch milliseconds by the site's clock, for whatever nodes have to agree on. */
    readonly now: () => number;
    /** Asks the server for its time; fails when it does not answer. Done by itself every {@link clockEveryMs}. */
    readonly setClock: Effect.Effect<void, NatsUnavailable>;
    /** As {@link request}, from plain code: rejects with whatever the client says. */
    readonly ask: Asks["ask"];
    /** One request, one answer, within the deadline. */
    readonly request: (
      operation: string,
      subject: string,
      payload: Uint8Array | string,
      options?: { readonly headers?: MsgHdrs; readonly deadlineMs?: number },
    ) => Effect.Effect<Msg, NatsUnavailable>;
  }
>()("orrery/jetstream/Nats") {}

export type NatsService = Nats["Service"];

function tlsOptions(tls: NonNullable<ConnectSettings["tls"]>): NonNullable<ConnectionOptions["tls"]> {
  return {
    ...(tls.caFile === null ? {} : { caFile: tls.caFile }),
    ...(tls.certFile === null ? {} : { certFile: tls.certFile }),
    ...(tls.keyFile === null ? {} : { keyFile: tls.keyFile }),
  };
}

/** How a connection is made that lasts. Throws where the credentials cannot be read. */
export function connectionOptions(settings: ConnectSettings): ConnectionOptions {
  const options: ConnectionOptions = {
    servers: [...settings.servers],
    name: settings.name,
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: 250,
    reconnectJitter: 150,
    reconnectJitterTLS: 500,
    timeout: 3_000,
    pingInterval: 5_000,
    maxPingOut: 3,
    noAsyncTraces: true,
    ignoreAuthErrorAbort: true,
  };
  if (settings.credentialsFile) {
    const creds = readFileSync(settings.credentialsFile);
    options.authenticator = credsAuthenticator(new Uint8Array(creds));
    options.inboxPrefix = inboxOf(creds.toString());
  }
  if (settings.user) options.user = settings.user;
  if (settings.password) options.pass = Redacted.value(settings.password);
  if (settings.token) options.token = Redacted.value(settings.token);
  if (settings.tls) options.tls = tlsOptions(settings.tls);
  // The client takes the scheme for a remark: without this a server, or whoever is on the way to it, talks it into plain text.
  else if (settings.servers.some((server) => server.startsWith("tls://"))) options.tls = {};
  // A server tells of others. In plain text from this machine to this machine does not mean to those as well.
  else if (settings.servers.every((server) => onThisMachine.test(server)))
    options.ignoreClusterUpdates = true;
  return options;
}

const onThisMachine = /^(?:nats:\/\/)?(?:localhost|\[::1\]|127\.\d{1,3}\.\d{1,3}\.\d{1,3})(?::\d+)?$/i;

const anyInbox = "_INBOX";

/** The inbox that a user's JWT grants it: `_INBOX.<its key>` where it has one of its own. */
function inboxOf(creds: string): string {
  const payload = /-----BEGIN NATS USER JWT-----\s*[^.\s]+\.([^.\s]+)\./.exec(creds)?.[1];
  if (payload === undefined) return anyInbox;
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as {
    readonly nats?: { readonly sub?: { readonly allow?: ReadonlyArray<string> } };
  };
  const granted = claims.nats?.sub?.allow?.find((subject) => /^_INBOX\.[A-Z0-9]+\.>$/.test(subject));
  return granted === undefined ? anyInbox : granted.slice(0, -2);
}

const clockEveryMs = 15_000;
const clockFirstEveryMs = 1_000;

/** Answers about a stream tell the server's time. Which stream it is does not matter, so it is the smallest that every site has. */
const askTime = (
  clock: SiteClock,
  request: NatsService["request"],
  apiPrefix: string,
): Effect.Effect<void, NatsUnavailable> =>
  Effect.suspend(() => {
    const askedAt = performance.now();
    return Effect.map(
      request("ask the time", `${apiPrefix}.STREAM.INFO.${kvStream(nodesBucket)}`, ""),
      (answer) => {
        const serverMs = serverTime(answer.string());
        if (serverMs !== null) clock.learn(serverMs, askedAt, performance.now());
      },
    );
  });

/** Connects, waiting for the first server for `firstMs` (default: for ever). The scope's end closes it. */
export const connectNats = (
  settings: ConnectSettings,
  options: { readonly firstMs?: number } = {},
): Effect.Effect<NatsService, NatsUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const wanted = yield* Effect.try({
      try: () => connectionOptions(settings),
      catch: unavailable("read the credentials"),
    });
    const inboxPrefix = wanted.inboxPrefix ?? anyInbox;
    const connection = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => {
          if (options.firstMs === undefined) return connect(wanted);
          return connect({ ...wanted, waitOnFirstConnect: false, timeout: options.firstMs });
        },
        catch: unavailable(`connect to ${settings.servers.join(", ")}`),
      }),
      // A close that fails leaves nothing behind: the socket is gone either way.
      (nc) => Effect.promise(() => nc.close().catch(() => undefined)),
    );
    const jsm = yield* Effect.tryPromise({
      try: () =>
        jetstreamManager(connection, {
          checkAPI: false,
          timeout: requestDeadlineMs,
          ...(settings.domain ? { domain: settings.domain } : {}),
        }),
      catch: unavailable("open JetStream"),
    });
    const asks = new Asks(connection, inboxPrefix);
    let state: LinkState = {
      connected: true,
      server: connection.getServer(),
      since: Date.now(),
      reconnects: 0,
    };
    const apiPrefix = settings.domain ? `$JS.${settings.domain}.API` : "$JS.API";
    const refused = (subject: string, cause: Error): void => {
      asks.refused(subject, cause);
      // The server names the subject as it is in its own domain.
      asks.refused(subject.replace(/^\$JS\.API(?=\.)/, apiPrefix), cause);
    };
    const follow = async (): Promise<void> => {
      for await (const event of connection.status()) {
        if (event.type === "disconnect")
          state = { ...state, connected: false, server: event.server, since: Date.now() };
        if (event.type === "reconnect")
          state = {
            connected: true,
            server: event.server,
            since: Date.now(),
            reconnects: state.reconnects + 1,
          };
        if (event.type === "error" && event.error instanceof errors.PermissionViolationError)
          refused(event.error.subject, event.error);
      }
    };
    void follow();
    const request: NatsService["request"] = (operation, subject, payload, opts) =>
      Effect.tryPromise({
        try: () => asks.ask(subject, payload, opts?.deadlineMs ?? requestDeadlineMs, opts?.headers),
        catch: unavailable(operation),
      });
    const clock = new SiteClock();
    const setClock = askTime(clock, request, apiPrefix);
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.andThen(
          Effect.suspend(() => Effect.sleep(clock.learnt ? clockEveryMs : clockFirstEveryMs)),
          // Without an answer the clock goes on by itself.
          Effect.ignore(setClock),
        ),
      ),
    );
    return Nats.of({
      connection,
      jsm,
      apiPrefix,
      inboxPrefix,
      link: () => state,
      now: () => clock.now(),
      setClock,
      ask: (subject, payload, deadlineMs, headers) => asks.ask(subject, payload, deadlineMs, headers),
      request,
    });
  });

/** Runs a call of the client's manager API; its errors become ours. */
export const managed = <A>(
  operation: string,
  call: () => Promise<A>,
): Effect.Effect<A, NatsUnavailable | JetStreamRejected> =>
  Effect.tryPromise({
    try: call,
    catch: (cause): JetStreamError => {
      const api = cause as {
        readonly name?: string;
        readonly code?: unknown;
        readonly message?: string;
        readonly apiError?: () => { readonly err_code?: number; readonly description?: string };
      };
      if (typeof api.apiError === "function") {
        const error = api.apiError();
        return errorOfCode(operation, error.err_code ?? 0, error.description ?? "");
      }
      return unavailable(operation)(cause);
    },
  }).pipe(
    Effect.mapError((error) =>
      error._tag === "NatsUnavailable" || error._tag === "JetStreamRejected"
        ? error
        : error._tag === "TransactionDuplicate"
          ? new JetStreamRejected({ operation, code: 10201, detail: error.detail })
          : error._tag === "TransactionConflict"
            ? new JetStreamRejected({ operation, code: error.code, detail: error.detail })
            : new NatsUnavailable({ operation, detail: `${error.code}: ${error.detail}` }),
    ),
  );
