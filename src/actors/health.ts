/** `/healthz` (the process lives), `/readyz` (it can do its work) and `/metrics` (Prometheus). */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import type { Route } from "./listens.ts";
import type { NodeContextService } from "./NodeContext.ts";
import type { ServerResponse } from "node:http";

export interface Readiness {
  readonly ready: boolean;
  readonly nats: { readonly ok: boolean; readonly detail: string };
  readonly jetstream: { readonly ok: boolean; readonly detail: string };
  readonly actors: ReadonlyArray<{ readonly name: string; readonly status: string }>;
}

const answerWithinMs = 1_000;
const running = "running";

/** Ready: connected, JetStream answers within a second and holds the streams that are needed, every actor is running. */
export const readinessOf =
  (
    node: Pick<NodeContextService, "nats" | "streams">,
    actors: () => ReadonlyArray<{ readonly name: string; readonly status: string }>,
  ): (() => Promise<Readiness>) =>
  async () => {
    const link = node.nats.link();
    const nats = { ok: link.connected, detail: link.server };
    const answers = link.connected ? await askJetStream(node) : { ok: false, detail: "not connected" };
    const missing = node.streams.fault;
    const jetstream = answers.ok && missing !== null ? { ok: false, detail: missing } : answers;
    const states = actors().map(({ name, status }) => ({ name, status }));
    const ready = nats.ok && jetstream.ok && states.every(({ status }) => status === running);
    return { ready, nats, jetstream, actors: states };
  };

async function askJetStream(
  node: Pick<NodeContextService, "nats">,
): Promise<{ readonly ok: boolean; readonly detail: string }> {
  const asked = await Effect.runPromise(
    Effect.result(
      node.nats.request("ask JetStream", `${node.nats.apiPrefix}.INFO`, "", { deadlineMs: answerWithinMs }),
    ),
  );
  if (Result.isFailure(asked)) return { ok: false, detail: asked.failure.detail };
  const { error } = JSON.parse(asked.success.string()) as {
    readonly error?: { readonly description?: string };
  };
  return error === undefined
    ? { ok: true, detail: "answers" }
    : { ok: false, detail: error.description ?? "refuses" };
}

/** The text of `/metrics`: the metrics of the registry in which this effect runs, which must be the counters'. */
export const metricsText: Effect.Effect<() => Promise<string>> = Effect.map(
  Effect.context(),
  (context) => async () => {
    // Loaded at the first scrape: it brings Effect's HTTP modules along, 50 ms of every start.
    const { formatUnsafe } = await import("effect/observability/PrometheusMetrics");
    return formatUnsafe(context);
  },
);

function sendPretty(response: ServerResponse, status: number, value: unknown): void {
  if (response.destroyed) return;
  const body = `${JSON.stringify(value, null, 2)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

export const healthRoutes = (
  node: Pick<NodeContextService, "site" | "name" | "epoch">,
  readiness: () => Promise<Readiness>,
  metrics: () => Promise<string>,
): ReadonlyArray<Route> => [
  {
    method: "GET",
    path: "/healthz",
    handle: (_request, response) =>
      sendPretty(response, 200, {
        status: "ok",
        site: node.site,
        node: node.name,
        epoch: node.epoch,
        uptimeSeconds: Math.round(process.uptime()),
      }),
  },
  {
    method: "GET",
    path: "/readyz",
    handle: async (_request, response) => {
      const state = await readiness();
      sendPretty(response, state.ready ? 200 : 503, state);
    },
  },
  {
    method: "GET",
    path: "/metrics",
    handle: async (_request, response) => {
      const text = await metrics();
      if (response.destroyed) return;
      response.writeHead(200, {
        "content-type": "text/plain; version=0.0.4; charset=utf-8",
        "content-length": Buffer.byteLength(text),
      });
      response.end(text);
    },
  },
];
