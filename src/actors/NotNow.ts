import * as Schema from "effect/Schema";

/** What the work needs is in use: the claim is given back, nothing is recorded, and the worker goes on with whatever else there is. */
export class NotNow extends Schema.TaggedError<NotNow>()("NotNow", {
  detail: Schema.String,
  /** The delivery comes again after this. */
  againMs: Schema.Number,
}) {}
