/**
 * One driver for several workers: while one's batch is in its hands, another reads the headers of the next and a third settles the
 * last. Without it a catalog that takes its time stands idle as long as the work around it lasts.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import * as Semaphore from "effect/Semaphore";
import type { IngestDriver, OpenDriver } from "./Driver.ts";

interface Held {
  readonly driver: IngestDriver;
  readonly scope: Scope.Closeable;
  users: number;
}

/**
 * Each opening gives the same driver, opened by the first; the end of the last one's scope closes it, and the next opening begins
 * anew. Batches take turns, in the order in which they came.
 */
export function shareDriver(open: OpenDriver): OpenDriver {
  const opening = Semaphore.makeUnsafe(1);
  const turns = Semaphore.makeUnsafe(1);
  let held: Held | null = null;
  const enter = Effect.gen(function* () {
    if (held === null) {
      const scope = Scope.makeUnsafe();
      const opened = yield* Scope.provide(open, scope).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      );
      const driver = { ...opened, turn: turns.withPermit.bind(turns) };
      held = { driver, scope, users: 0 };
    }
    held.users++;
    return held;
  });
  const leave = (mine: Held): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (--mine.users > 0) return Effect.void;
      held = null;
      return Scope.close(mine.scope, Exit.void);
    });
  return Effect.acquireRelease(opening.withPermit(enter), (mine) => opening.withPermit(leave(mine))).pipe(
    Effect.map(({ driver }) => driver),
  );
}
