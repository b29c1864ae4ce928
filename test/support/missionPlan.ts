/** What a test tells a node process of a mission. */

/**
 * Where in its work a node ends itself, as kill -9 does. Of a run: it is `claimed` (and no more), its outputs are `uploaded`, its record
 * says so (`marked`), it is `settled`. `begin`: its resolver has decided, and is about to write its `count`th run.
 */
export type KillPoint =
  | { readonly at: "claimed" | "uploaded" | "marked" | "settled" }
  | { readonly at: "begin"; readonly count: number };

/** Given to the node process as one JSON file. */
export interface MissionPlan {
  /** Path of the site file. */
  readonly site: string;
  readonly node: string;
  /** With commas between them; null: all. */
  readonly roles: string | null;
  /** Appended to, one JSON document a line. */
  readonly logFile: string;
  readonly pidFile: string;
  readonly killAt: KillPoint | null;
}
