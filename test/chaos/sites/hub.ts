/** The supernode as whoever judges sees it: asked through each of its servers, so that one of them away hides nothing. */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import type { NatsService } from "../../../src/jetstream/Nats.ts";
import { connectNats } from "../../../src/jetstream/Nats.ts";
import type { SourceState } from "../../../src/jetstream/sitesBucket.ts";
import { sourceStates } from "../../../src/jetstream/sitesBucket.ts";
import { kvStream, kvSubject } from "../../../src/protocol/keys.ts";
import { sitesBucket } from "../../../src/protocol/sites.ts";
import type { Deployment } from "../../support/deployment.ts";
import { until } from "../../support/testSite.ts";

const stream = kvStream(sitesBucket);
const firstMs = 60_000;

export class Hub {
  readonly #deployment: Deployment;
  readonly #name: string;
  readonly #through: ReadonlyArray<NatsService>;
  readonly #scope: Scope.Closeable;

  private constructor(
    deployment: Deployment,
    name: string,
    through: ReadonlyArray<NatsService>,
    scope: Scope.Closeable,
  ) {
    this.#deployment = deployment;
    this.#name = name;
    this.#through = through;
    this.#scope = scope;
  }

  static async connect(deployment: Deployment, name: string): Promise<Hub> {
    const scope = Scope.makeUnsafe();
    const through = await Promise.all(
      deployment
        .urls(name)
        .map((url) =>
          Effect.runPromise(
            Scope.provide(connectNats(deployment.settings(name, "admin", [url]), { firstMs }), scope),
          ),
        ),
    );
    return new Hub(deployment, name, through, scope);
  }

  /** The names of its servers. */
  get servers(): ReadonlyArray<string> {
    return this.#through.map((_, i) => `${this.#name}-${i}`);
  }

  /** The first answer of any server; rejects when none has one. */
  any<A>(ask: (nats: NatsService) => Promise<A>): Promise<A> {
    return Promise.any(this.#through.map(ask));
  }

  /** As {@link any}, and asks one server after the other: for what is much. */
  async one<A>(ask: (nats: NatsService) => Promise<A>): Promise<A> {
    let why: unknown = null;
    for (const nats of this.#through) {
      try {
        return await ask(nats);
      } catch (cause) {
        why = cause;
      }
    }
    throw why;
  }

  /** Whether a key's value, or its end, has come to any of the servers: what one of them gives away is agreed upon. */
  has(key: string): Promise<boolean> {
    const subject = kvSubject(sitesBucket, key);
    return this.any(async (nats) => {
      const found = await nats.jsm.direct.getMessage(stream, { last_by_subj: subject });
      if (found === null) throw new Error("not here");
      return true;
    }).catch(() => false);
  }

  sources(): Promise<ReadonlyArray<SourceState>> {
    return this.any((nats) => Effect.runPromise(sourceStates(nats)));
  }

  /** The place of the server that leads the bucket of all sites. Rejects while none does. */
  async leader(withinMs: number): Promise<number> {
    const look = (): Promise<number> =>
      this.any(async (nats) =>
        this.servers.indexOf((await nats.jsm.streams.info(stream)).cluster?.leader ?? ""),
      ).catch(() => -1);
    return until(look, (found) => found >= 0, withinMs);
  }

  /** Whether every server holds all that is agreed upon. */
  async isWhole(): Promise<boolean> {
    const { cluster } = await this.any((nats) => nats.jsm.streams.info(stream));
    const replicas = cluster?.replicas ?? [];
    return (
      replicas.length === this.#through.length - 1 &&
      // The server leaves out what is zero or false.
      replicas.every(({ current, offline, lag }) => current && !offline && !(lag > 0))
    );
  }

  async kill9(i: number): Promise<void> {
    await this.#deployment.signal(this.#name, i, "SIGKILL");
  }

  async start(i: number): Promise<void> {
    await this.#deployment.launch(this.#name, i);
  }

  async pause(i: number): Promise<void> {
    await this.#deployment.signal(this.#name, i, "SIGSTOP");
  }

  async resume(i: number): Promise<void> {
    await this.#deployment.signal(this.#name, i, "SIGCONT");
  }

  /** Resolves once each server can do all that it is there for. */
  async healthy(withinMs: number): Promise<void> {
    await until(
      async () =>
        (await Promise.all(this.#through.map((_, i) => this.#deployment.isHealthy(this.#name, i)))).every(
          Boolean,
        ),
      (all) => all,
      withinMs,
    );
  }

  async end(): Promise<void> {
    await Promise.all(this.#through.map((_, i) => this.resume(i)));
    await Effect.runPromise(Scope.close(this.#scope, Exit.void));
  }
}
