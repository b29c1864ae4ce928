/** What a caller may ask of a tree that runs. Each is done by the supervisor's own fiber, between its messages. */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { OperationRefused, type StartFailed } from "./errors.ts";
import { type Child, isSimple, type LiveSupervisor, makeChild, post } from "./live.ts";
import { planChild } from "./plan.ts";
import type { ChildSpec } from "./spec.ts";
import { begin, terminate } from "./supervisor.ts";

type Operation = OperationRefused["operation"];
type Reason = OperationRefused["reason"];
type Reply<A, E> = Deferred.Deferred<A, E | OperationRefused>;

export const startChild = Effect.fnUntraced(function* (
  root: LiveSupervisor,
  path: string,
  spec: ChildSpec<unknown>,
) {
  const self = yield* supervisorAt(root, path, "startChild");
  if (isSimple(self)) return yield* refusal("startChild", path, "not_for_simple_one_for_one");
  const plan = yield* planChild(spec, path, self.plan.autoShutdown);
  const context = yield* Effect.context();
  const child = makeChild(plan, path, context);
  return yield* request(self, "startChild", child.path, (reply: Reply<string, StartFailed>) => {
    const present = self.children.get(plan.name);
    if (present !== undefined) {
      const alive = present.status === "running" || present.status === "starting";
      return refuse(reply, "startChild", child.path, alive ? "already_started" : "already_present");
    }
    return beginFor(self, child, reply, "startChild");
  });
});

export const spawn = Effect.fnUntraced(function* (root: LiveSupervisor, spec: object, argument: unknown) {
  const self = findSpec(root, spec);
  const template = self?.plan.template;
  if (self === undefined || template === undefined) return yield* refusal("spawn", root.path, "not_found");
  return yield* request(self, "spawn", self.path, (reply: Reply<string, StartFailed>) => {
    const plan = template(++self.spawned, argument);
    return beginFor(self, makeChild(plan, self.path, undefined), reply, "spawn");
  });
});

export const terminateChild = Effect.fnUntraced(function* (root: LiveSupervisor, path: string) {
  const self = yield* parentOf(root, path, "terminateChild");
  return yield* request(self, "terminateChild", path, (reply: Reply<void, never>) =>
    withChild(self, "terminateChild", path, reply, (child) =>
      Effect.andThen(terminate(self, child), Deferred.succeed(reply, undefined)),
    ),
  );
});

export const restartChild = Effect.fnUntraced(function* (root: LiveSupervisor, path: string) {
  const self = yield* fixedParentOf(root, path, "restartChild");
  return yield* request(self, "restartChild", path, (reply: Reply<string, StartFailed>) =>
    withChild(self, "restartChild", path, reply, (child) => {
      const reason = whyNotStopped(child);
      if (reason !== undefined) return refuse(reply, "restartChild", path, reason);
      return beginFor(self, child, reply, "restartChild");
    }),
  );
});

export const deleteChild = Effect.fnUntraced(function* (root: LiveSupervisor, path: string) {
  const self = yield* fixedParentOf(root, path, "deleteChild");
  return yield* request(self, "deleteChild", path, (reply: Reply<void, never>) =>
    withChild(self, "deleteChild", path, reply, (child) => {
      const reason = whyNotStopped(child);
      if (reason !== undefined) return refuse(reply, "deleteChild", path, reason);
      self.children.delete(child.plan.name);
      return Deferred.succeed(reply, undefined);
    }),
  );
});

/** The reply comes when the child is ready or has failed, by way of `answer`. */
const beginFor = (
  self: LiveSupervisor,
  child: Child,
  reply: Reply<string, StartFailed>,
  operation: "startChild" | "spawn" | "restartChild",
): Effect.Effect<void> => {
  self.children.set(child.plan.name, child);
  child.starter = { reply, operation, keep: operation === "restartChild" };
  return begin(self, child);
};

const whyNotStopped = ({ status }: Child): Reason | undefined => {
  if (status === "stopped" || status === "abandoned") return undefined;
  return status === "waiting" ? "restarting" : "running";
};

const request = <A, E>(
  self: LiveSupervisor,
  operation: Operation,
  path: string,
  handle: (reply: Reply<A, E>) => Effect.Effect<unknown>,
): Effect.Effect<A, E | OperationRefused> =>
  Effect.suspend(() => {
    const stopped = refusal(operation, path, "supervisor_stopped");
    if (self.closed) return Effect.fail(stopped);
    const reply = Deferred.makeUnsafe<A, E | OperationRefused>();
    post(self, {
      _tag: "Request",
      handle: Effect.suspend(() => handle(reply)),
      refuse: () => Deferred.doneUnsafe(reply, Exit.fail(stopped)),
    });
    return Deferred.await(reply);
  });

const refusal = (operation: Operation, path: string, reason: Reason): OperationRefused =>
  new OperationRefused({ operation, path, reason });

const refuse = <A, E>(
  reply: Reply<A, E>,
  operation: Operation,
  path: string,
  reason: Reason,
): Effect.Effect<unknown> => Deferred.fail(reply, refusal(operation, path, reason));

/** Looked up by the supervisor's fiber, for by now the child may be gone. */
const withChild = <A, E>(
  self: LiveSupervisor,
  operation: Operation,
  path: string,
  reply: Reply<A, E>,
  use: (child: Child) => Effect.Effect<unknown>,
): Effect.Effect<unknown> => {
  const child = self.children.get(path.slice(self.path.length + 1));
  return child === undefined ? refuse(reply, operation, path, "not_found") : use(child);
};

const supervisorAt = (
  root: LiveSupervisor,
  path: string,
  operation: Operation,
): Effect.Effect<LiveSupervisor, OperationRefused> => {
  const [rootName, ...names] = path.split("/");
  if (rootName !== root.path) return Effect.fail(refusal(operation, path, "not_found"));
  let self = root;
  for (const name of names) {
    const child = self.children.get(name);
    if (child === undefined) return Effect.fail(refusal(operation, path, "not_found"));
    if (child.supervisor === undefined) {
      const reason = child.plan.work.kind === "worker" ? "not_for_worker" : "supervisor_stopped";
      return Effect.fail(refusal(operation, path, reason));
    }
    self = child.supervisor;
  }
  return Effect.succeed(self);
};

const parentOf = (
  root: LiveSupervisor,
  path: string,
  operation: Operation,
): Effect.Effect<LiveSupervisor, OperationRefused> => {
  const cut = path.lastIndexOf("/");
  return cut === -1
    ? Effect.fail(refusal(operation, path, "not_found"))
    : Effect.mapError(supervisorAt(root, path.slice(0, cut), operation), ({ reason }) =>
        refusal(operation, path, reason),
      );
};

const fixedParentOf = Effect.fnUntraced(function* (root: LiveSupervisor, path: string, operation: Operation) {
  const self = yield* parentOf(root, path, operation);
  return isSimple(self) ? yield* refusal(operation, path, "not_for_simple_one_for_one") : self;
});

const findSpec = (self: LiveSupervisor, spec: object): LiveSupervisor | undefined => {
  if (self.plan.spec === spec) return self;
  for (const { supervisor } of self.children.values()) {
    const found = supervisor === undefined ? undefined : findSpec(supervisor, spec);
    if (found !== undefined) return found;
  }
  return undefined;
};
