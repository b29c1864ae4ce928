/** The rules between the keys of a site file: what its schema cannot say. Pure; reads nothing but the file's own values. */
import type { Finding } from "./document.ts";
import { bucketRules } from "./rules/buckets.ts";
import { doorRules } from "./rules/doors.ts";
import { filesOfRules } from "./rules/filesOf.ts";
import { jobRules } from "./rules/jobs.ts";
import { laneRules } from "./rules/lanes.ts";
import { nameRules } from "./rules/names.ts";
import { natsRules } from "./rules/nats.ts";
import { receiverRules } from "./rules/receivers.ts";
import { supernodeRules } from "./rules/supernode.ts";
import type { SiteFile } from "./SiteSchema.ts";

/** Errors, and warnings marked as such, in no particular order. `raw` is the file before defaults were filled in. */
export function lintSite(file: SiteFile, raw: unknown): ReadonlyArray<Finding> {
  return [
    ...nameRules(file),
    ...natsRules(file, raw),
    ...doorRules(file),
    ...laneRules(file),
    ...bucketRules(file),
    ...jobRules(file),
    ...receiverRules(file),
    ...filesOfRules(file),
    ...supernodeRules(file, raw),
  ];
}
