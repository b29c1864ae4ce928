/** What a supervision tree says of itself: to the log as it happens, to the node's lease as it is. */
import type { Log } from "../actors/NodeContext.ts";
import type { NodeRecord } from "../protocol/records.ts";
import type { SupervisorEvent, TreeNode } from "../supervisor/index.ts";

/** The workers of a tree, named as in the site file, for the node's lease. */
export function actorStates(tree: TreeNode): NodeRecord["actors"] {
  return tree.children.map((child) => ({
    name: child.name,
    behaviour: child.kind,
    status: child.status,
    restarts: child.restarts,
  }));
}

export function logEvent(log: Log, event: SupervisorEvent): void {
  switch (event._tag) {
    case "ChildStarted":
      if (event.restarts > 0)
        log("info", "actor runs again", { actor: event.path, restarts: event.restarts });
      else log("debug", "actor started", { actor: event.path });
      return;
    case "ChildExited":
      if (event.kind === "shutdown" || event.kind === "normal")
        log("debug", "actor ended", { actor: event.path });
      else
        // Before it is ready whoever started it is told: the command's user, or the line that says it is started again.
        log(event.beforeReady ? "debug" : "error", "actor failed", {
          actor: event.path,
          kind: event.kind,
          reason: event.reason,
          beforeReady: event.beforeReady,
        });
      return;
    case "ChildRestarting":
      log("warn", "actor is started again", {
        actor: event.path,
        attempt: event.attempt,
        inMs: Math.round(event.delayMillis),
        reason: event.reason,
      });
      return;
    case "ChildAbandoned":
      log("error", "actor did not stop in time and was abandoned; its claims are taken back", {
        actor: event.path,
        afterMs: event.afterMillis,
      });
      return;
    case "IntensityExceeded":
      log("error", "too many restarts: the supervisor gives up", {
        supervisor: event.path,
        child: event.child,
        reason: event.reason,
        intensity: event.intensity,
        periodMs: event.periodMillis,
      });
      return;
    case "AutoShutdown":
      log("info", "supervisor ended with its significant child", {
        supervisor: event.path,
        child: event.child,
      });
  }
}
