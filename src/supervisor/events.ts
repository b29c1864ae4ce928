import type * as Cause from "effect/Cause";
import type { ExitKind } from "./exit.ts";

interface Common {
  /** Names from the root down, joined by "/". */
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What happens in a tree, as it happens. `path` is the child's, or the supervisor's for the last two. */
export type SupervisorEvent =
  /** The child said that it is ready, or returned without a word. */
  | (Common & { readonly _tag: "ChildStarted"; readonly restarts: number })
  /** The child ended, by itself or because it was stopped. `beforeReady`: its start failed or was broken off. */
  | (Common & {
      readonly _tag: "ChildExited";
      readonly kind: ExitKind;
      readonly reason: string;
      readonly cause: Cause.Cause<unknown> | undefined;
      readonly beforeReady: boolean;
    })
  /** It will be started again in `delayMillis`; `attempt` counts from 1 since it was last stable. */
  | (Common & {
      readonly _tag: "ChildRestarting";
      readonly attempt: number;
      readonly delayMillis: number;
      readonly reason: string;
    })
  /** It did not yield to interruption within its shutdown time. Its fiber lives on; its place is free. */
  | (Common & { readonly _tag: "ChildAbandoned"; readonly afterMillis: number })
  /** The supervisor gives up and stops its children. */
  | (Common & {
      readonly _tag: "IntensityExceeded";
      readonly intensity: number;
      readonly periodMillis: number;
      readonly child: string;
      readonly reason: string;
    })
  /** A significant child ended, and with it the supervisor's reason to run. */
  | (Common & { readonly _tag: "AutoShutdown"; readonly child: string });

/** Called in the supervisor's own fiber, so it must return at once; what it throws is logged and dropped. */
export type EventListener = (event: SupervisorEvent) => void;
