/**
 * What passes between a site and the supernode, as the permissions of the user by which the site joins. The supernode sources the
 * site's ledger: it asks the site for a consumer, and the site sends what it holds. Nothing else passes, in either direction.
 */
import { sourceDelivery } from "../protocol/sites.ts";
import type { Permission } from "./permissions.ts";

/** `publish`: from the site to the supernode. `subscribe`: from the supernode to the site. */
export const leafPermissions: ReadonlyArray<Permission> = [
  {
    may: "be asked for a consumer of its ledger, and answer",
    publish: ["$JSC.R.>"],
    subscribe: ["$JS.{site}.API.CONSUMER.CREATE.KV_ledger", "$JS.{site}.API.CONSUMER.CREATE.KV_ledger.>"],
  },
  {
    may: "send what its ledger holds, and be told how far that has come",
    publish: [`${sourceDelivery("{site}")}.>`],
    subscribe: ["$JS.ACK.KV_ledger.>", "$JS.FC.KV_ledger.>"],
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
