import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { afterAll, beforeAll, expect, it } from "vitest";
import { healthRoutes, metricsText, readinessOf } from "../../src/actors/health.ts";
import { listen } from "../../src/actors/listens.ts";
import type { TestNats } from "../support/nats.ts";
import { startNats } from "../support/nats.ts";
import type { TestNode } from "../support/testNode.ts";
import { testNode } from "../support/testNode.ts";

let nats: TestNats;
let node: TestNode;
let url: string;
let actors: ReadonlyArray<{ readonly name: string; readonly status: string }> = [];
const scope = Scope.makeUnsafe();
beforeAll(async () => {
  nats = await startNats();
  node = testNode(await nats.connect("node"));
  const metrics = await Effect.runPromise(metricsText);
  const routes = healthRoutes(
    node,
    readinessOf(node, () => actors),
    metrics,
  );
  const listener = await Effect.runPromise(
    Scope.provide(listen(node, { host: "127.0.0.1", port: 0 }, routes), scope),
  );
  url = listener.url;
});
afterAll(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void));
  await nats.stop();
});

const running = { name: "presence", status: "running" };

it("is ready with NATS, JetStream and every actor running, and not with one that is not", async () => {
  actors = [running, { name: "ingester", status: "running" }];
  const ready = await fetch(`${url}/readyz`);
  expect(ready.status).toBe(200);
  expect(await ready.json()).toMatchObject({
    ready: true,
    nats: { ok: true },
    jetstream: { ok: true },
    actors,
  });
  actors = [running, { name: "ingester", status: "restarting" }];
  const waiting = await fetch(`${url}/readyz`);
  expect(waiting.status).toBe(503);
  expect(await waiting.json()).toMatchObject({ ready: false, jetstream: { ok: true }, actors });
});

it("shows what was counted, as Prometheus reads it", async () => {
  node.counters.lookups(true, 3);
  node.counters.requests('/a"b', 200, 2);
  const answer = await fetch(`${url}/metrics`);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const lines = (await answer.text()).split("\n");
  expect(lines).toContain("# TYPE orrery_presence_lookups_total counter");
  expect(lines).toContain('orrery_presence_lookups_total{present="true"} 3');
  expect(lines).toContain('orrery_http_requests_total{route="/a\\"b",status="200"} 2');
});

it("lives, but is not ready, while the server is gone", async () => {
  actors = [running];
  await nats.signal("SIGKILL");
  await expect.poll(() => node.nats.link().connected).toBe(false);
  const ready = await fetch(`${url}/readyz`);
  expect(ready.status).toBe(503);
  expect(await ready.json()).toMatchObject({ ready: false, nats: { ok: false }, jetstream: { ok: false } });
  const alive = await fetch(`${url}/healthz`);
  expect(alive.status).toBe(200);
  expect(await alive.json()).toMatchObject({ status: "ok", site: "test", node: "test" });
});
