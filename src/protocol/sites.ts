/**
 * What the supernode holds of its sites: one bucket, `sites`, with the keys of each site's ledger below `<site>.<epoch>.`. A site's
 * epoch is new when the site is rebuilt, so that its former life is never mixed with its present one.
 */
import { ledgerBucket } from "./keys.ts";

export const sitesBucket = "sites";

/** Of a ledger what others may see. Not claims, what is due or locks: these are a site's own business, and change all the time. */
export const sharedKinds = ["file", "exposure", "visit", "run", "job"] as const;

/** Subjects of a kind in a site's own ledger. */
export const ledgerSubjects = (kind: string): string => `$KV.${ledgerBucket}.${kind}.>`;
/** The same at the supernode. */
export const siteSubjects = (site: string, epoch: string, kind: string): string =>
  `$KV.${sitesBucket}.${site}.${epoch}.${kind}.>`;

/** By which a site sends what the supernode sources; each site may send on its own only. */
export const sourceDelivery = (site: string): string => `orrery.src.${site}`;
