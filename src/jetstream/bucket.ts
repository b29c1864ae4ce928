/** What all buckets have in common: those that a site writes, and those that are sourced from others and written by nobody. */
import { DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { kvStream } from "../protocol/keys.ts";

/**
 * History 1, and nothing goes but by its own lifetime, a marker or a purge. Its subjects are for the caller to say: a bucket that is
 * sourced has none.
 */
export const bucketSettings = (bucket: string, description: string, replicas: number) => ({
  name: kvStream(bucket),
  description: `Orrery: ${description}`,
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_msgs_per_subject: 1,
  num_replicas: replicas,
  allow_direct: true,
  allow_rollup_hdrs: true,
  allow_msg_ttl: true,
  deny_delete: true,
  max_age: 0,
});
