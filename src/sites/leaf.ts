/**
 * What passes between a site and the supernode, as the permissions of the user by which the site joins. The supernode sources the
 * site's ledger and groups: it asks the site for a consumer, and the site sends what it holds. And the site asks what others have: the
 * subject says which site asks, so that none can ask as another. Nothing else passes, in either direction.
 */
import { listingAnswers, sitesAnswerPrefix, sitesAskSubject, sourceDelivery } from "../protocol/sites.ts";
import type { Permission } from "./permissions.ts";

/** Streams of a site that the supernode sources. */
const sourced = ["KV_ledger", "KV_presence"] as const;

/** `publish`: from the site to the supernode. `subscribe`: from the supernode to the site. */
export const leafPermissions: ReadonlyArray<Permission> = [
  {
    may: "be asked for a consumer of its ledger and of its groups, and answer",
    // A server hears its answer one token deep, the keeper below its own; what answers another site lies deeper.
    publish: ["$JSC.R.*", listingAnswers("*")],
    subscribe: sourced.flatMap((stream) => [
      `$JS.{site}.API.CONSUMER.CREATE.${stream}`,
      `$JS.{site}.API.CONSUMER.CREATE.${stream}.>`,
    ]),
  },
  {
    may: "send what these hold, and be told how far that has come",
    publish: [`${sourceDelivery("{site}")}.>`],
    subscribe: sourced.flatMap((stream) => [`$JS.ACK.${stream}.>`, `$JS.FC.${stream}.>`]),
  },
  {
    may: "ask whether a group is at another site, and hear the answer",
    publish: [sitesAskSubject("{site}")],
    subscribe: [`${sitesAnswerPrefix("{site}")}.>`],
  },
];

export function leafSubjects(site: string): {
  readonly publish: ReadonlyArray<string>;
  readonly subscribe: ReadonlyArray<string>;
} {
  const fill = (subject: string): string => subject.replace("{site}", site);
  return {
    publish: leafPermissions.flatMap(({ publish = [] }) => publish.map(fill)),
    subscribe: leafPermissions.flatMap(({ subscribe = [] }) => subscribe.map(fill)),
  };
}
