/**
 * How a site comes to hold what the supernode has of another site's files, so that jobs here can be made of them: the supernode has one
 * consumer for each pair of sites, made by its own people, and the site's server takes from it into a bucket of the same name and with
 * the same keys, `<site>.<epoch>.file.<lane>.<day>.<object>`.
 */
import { kvStream } from "./keys.ts";
import { sitesBucket } from "./sites.ts";

/** Both at the supernode and at a site that holds a part of it. */
export const filesOfStream = kvStream(sitesBucket);

/** No site's name has the sign in it, so no two pairs have one name. */
export const filesOfConsumer = (site: string, of: string): string => `${site}=${of}`;
/** Reverses {@link filesOfConsumer}; null for a consumer of another kind. */
export function pairOfConsumer(name: string): { readonly site: string; readonly of: string } | null {
  const [site = "", of = "", more] = name.split("=");
  return site === "" || of === "" || more !== undefined ? null : { site, of };
}

/** By which the supernode sends them. */
export const filesOfDelivery = (site: string, of: string): string => `orrery.files.${site}.${of}`;
/** What of the other site is sent, as keys of the bucket: its files and the days of them that it purges, of whichever life. */
export const filesOfKeys = (of: string): ReadonlyArray<string> => [`${of}.*.file.>`, `${of}.*.purged.file.>`];
export const filesOfSubjects = (of: string): ReadonlyArray<string> =>
  filesOfKeys(of).map((key) => `$KV.${sitesBucket}.${key}`);

export interface SiteKey {
  readonly site: string;
  readonly epoch: string;
  /** Key of the record in the site's own ledger. */
  readonly key: string;
}

/** Null for a key of another form. */
export function siteKeyOf(key: string): SiteKey | null {
  const first = key.indexOf(".");
  const second = key.indexOf(".", first + 1);
  if (first < 1 || second < first + 2 || second + 1 >= key.length) return null;
  return { site: key.slice(0, first), epoch: key.slice(first + 1, second), key: key.slice(second + 1) };
}

/** Epochs are times, in digits of which there are more the later it is. Positive where `a` is the later life. */
export function compareEpochs(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
