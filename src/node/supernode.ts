/**
 * The actors of a supernode's node. A role's actor is pushed where its role is asked for, and its routes, if it has some, go to
 * `outwardSpecs`; what it may do stands in src/sites/supernodePermissions.ts, and what streams it needs in `supernodeTopology`.
 */
import { keeperActor } from "../actors/keeper.ts";
import { SitesIndex } from "../actors/SitesIndex.ts";
import { sitesPresenceActor, sitesPresenceRoutes } from "../actors/sitesPresence.ts";
import type { Role } from "../config/Site.ts";
import type { PlainChildSpec } from "../supervisor/index.ts";
import type { OutwardNeeds } from "./outward.ts";
import { outwardSpecs, worker } from "./outward.ts";

/** In the order in which they start; they stop in reverse, the ways in first. */
export function supernodeSpecs(needs: OutwardNeeds): ReadonlyArray<PlainChildSpec> {
  const { site, link } = needs;
  const has = (role: Role): boolean => site.roles.has(role);
  const specs: Array<PlainChildSpec> = [];
  if (has("keeper")) specs.push(worker("keeper", (ready) => keeperActor(link.context, ready)));
  const sites = has("presence") ? new SitesIndex() : null;
  if (sites !== null) {
    specs.push(worker("presence", (ready) => sitesPresenceActor(link.context, sites, ready)));
  }
  return [...specs, ...outwardSpecs(needs, sites === null ? [] : sitesPresenceRoutes(sites))];
}
