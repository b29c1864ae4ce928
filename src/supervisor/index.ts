/** Supervision trees in the manner of Erlang/OTP, on Effect's fibers: `Supervisor.start(spec)` and its handle. */
export { IntensityExceeded, InvalidSpec, StartFailed } from "./errors.ts";
export type { EventListener, SupervisorEvent } from "./events.ts";
export type { ExitKind } from "./exit.ts";
export { type Handle, start, type SupervisorExit } from "./handle.ts";
export type {
  AutoShutdown,
  ChildSpec,
  FixedSupervisorSpec,
  PlainChildSpec,
  Lifetime,
  Restart,
  Run,
  ServicesOf,
  SimpleSupervisorSpec,
  Strategy,
  SupervisorSpec,
  WorkerSpec,
} from "./spec.ts";
export { type ChildCounts, countChildren, type TreeNode } from "./tree.ts";
