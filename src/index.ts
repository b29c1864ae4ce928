/** The public API: define actors, run them in a node, send them items. */
export { Actor, InvalidActor } from "./actors/Actor.ts";
export type {
  ActorContext,
  ActorItem,
  ActorOutcome,
  Answer,
  ClaimsOptions,
  FollowsOptions,
  ListensOptions,
  RepliesOptions,
  TicksOptions,
} from "./actors/Actor.ts";
export type { Route } from "./actors/listens.ts";
export { runNode } from "./runNode.ts";
export type { RunNodeOptions, SettledItem, StartedNode } from "./runNode.ts";
