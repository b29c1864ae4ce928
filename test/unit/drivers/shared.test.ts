import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { expect } from "vitest";
import { describe, it } from "@effect/vitest";
import type { CatalogAway, IngestDriver, OpenDriver } from "../../../src/drivers/Driver.ts";
import { shareDriver } from "../../../src/drivers/shared.ts";

/** A driver that tells when it is opened and closed, and how many have its turn at once. */
function recorded(): { readonly open: OpenDriver; readonly said: Array<string> } {
  const said: Array<string> = [];
  const driver: IngestDriver = {
    name: "recorded",
    ingest: (items) => Effect.succeed(items.map(() => ({ status: "ingested" }) as const)),
  };
  const open = Effect.acquireRelease(
    Effect.sync(() => {
      said.push("opened");
      return driver;
    }),
    () => Effect.sync(() => void said.push("closed")),
  );
  return { open, said };
}

const turnOf = (driver: IngestDriver): NonNullable<IngestDriver["turn"]> => {
  if (driver.turn === undefined) throw new Error("it takes no turns");
  return driver.turn;
};

describe("a driver that workers share", () => {
  it.effect("is opened once, closed with the last of them, and opened anew for the next", () =>
    Effect.gen(function* () {
      const { open, said } = recorded();
      const shared = shareDriver(open);
      const [first, second, third] = [Scope.makeUnsafe(), Scope.makeUnsafe(), Scope.makeUnsafe()];
      yield* Scope.provide(shared, first);
      yield* Scope.provide(shared, second);
      expect(said).toEqual(["opened"]);
      yield* Scope.close(first, Exit.void);
      expect(said).toEqual(["opened"]);
      yield* Scope.close(second, Exit.void);
      expect(said).toEqual(["opened", "closed"]);
      yield* Scope.provide(shared, third);
      yield* Scope.close(third, Exit.void);
      expect(said).toEqual(["opened", "closed", "opened", "closed"]);
    }),
  );

  it.effect("has one batch at a time in its hands, also when one is interrupted", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const shared = shareDriver(recorded().open);
        const [one, other] = [turnOf(yield* shared), turnOf(yield* shared)];
        const entered = yield* Deferred.make<void>();
        const order: Array<string> = [];
        const holds = yield* Effect.forkChild(
          one(Effect.andThen(Deferred.succeed(entered, undefined), Effect.never)),
        );
        yield* Deferred.await(entered);
        const waits = yield* Effect.forkChild(other(Effect.sync(() => void order.push("other"))));
        yield* Effect.yieldNow;
        yield* Effect.yieldNow;
        expect(order).toEqual([]);
        yield* Fiber.interrupt(holds);
        yield* Fiber.join(waits);
        expect(order).toEqual(["other"]);
      }),
    ),
  );

  it.effect("that cannot be opened leaves nothing behind, and is tried again", () =>
    Effect.gen(function* () {
      const { open, said } = recorded();
      const away: CatalogAway = { _tag: "CatalogAway", detail: "no" };
      let refused = 1;
      const shared = shareDriver(
        Effect.andThen(
          open,
          Effect.suspend(() => (refused-- > 0 ? Effect.fail(away) : open)),
        ),
      );
      expect(yield* Effect.flip(Effect.scoped(shared))).toBe(away);
      expect(said).toEqual(["opened", "closed"]);
      yield* Effect.scoped(shared);
      expect(said).toEqual(["opened", "closed", "opened", "opened", "closed", "closed"]);
    }),
  );
});
