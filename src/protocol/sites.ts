/**
 * What the supernode holds of its sites: one bucket, `sites`, with the keys of each site's ledger below `<site>.<epoch>.`. A site's
 * epoch is new when the site is rebuilt, so that its former life is never mixed with its present one.
 */
import { ledgerBucket, presenceBucket } from "./keys.ts";

export const sitesBucket = "sites";

/** Of a ledger what others may see. Not claims, what is due or locks: these are a site's own business, and change all the time. */
export const sharedKinds = ["file", "exposure", "visit", "run", "job", "purged"] as const;

/** Subjects of a kind in a site's own ledger. */
export const ledgerSubjects = (kind: string): string => `$KV.${ledgerBucket}.${kind}.>`;
/** The same at the supernode. */
export const siteSubjects = (site: string, epoch: string, kind: string): string =>
  `$KV.${sitesBucket}.${site}.${epoch}.${kind}.>`;

/** Everything of one life of a site. */
export const lifeSubjects = (site: string, epoch: string): string => `$KV.${sitesBucket}.${site}.${epoch}.>`;
/** Everything of a site, in whatever life. */
export const allSubjects = (site: string): string => `$KV.${sitesBucket}.${site}.>`;

/** By which a site sends what the supernode sources; each site may send on its own only. */
export const sourceDelivery = (site: string): string => `orrery.src.${site}`;

/** By which a site sends a listing of its ledger that the keeper asked for, and where it answers that it will. */
export const listingDelivery = (site: string, id: string): string => `${sourceDelivery(site)}.keeper.${id}`;
export const listingAnswers = (id: string): string => `$JSC.R.keeper.${id}`;

/** The groups of all sites, below `<site>.<epoch>.` as well. A bucket of its own, because its keys expire. */
export const sitesPresenceBucket = "sitesPresence";
/** Subjects of a site's own groups. */
export const presenceSubjects = `$KV.${presenceBucket}.>`;
/** The same at the supernode. */
export const sitePresenceSubjects = (site: string, epoch: string): string =>
  `$KV.${sitesPresenceBucket}.${site}.${epoch}.>`;

/** On which a site asks what is at the others, and where it hears the answers; each may use its own only. */
export const sitesAskSubject = (site: string): string => `orrery.sites.presence.${site}`;
export const sitesAnswerPrefix = (site: string): string => `orrery.sites.answer.${site}`;
