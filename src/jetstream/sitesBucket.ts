/** The supernode's buckets of all sites, ledgers and groups: sourced, and written by nobody. */
import type { StreamSource } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream, ledgerBucket, presenceBucket } from "../protocol/keys.ts";
import {
  ledgerSubjects,
  presenceSubjects,
  sharedKinds,
  sitePresenceSubjects,
  sitesBucket,
  sitesPresenceBucket,
  siteSubjects,
  sourceDelivery,
} from "../protocol/sites.ts";
import { bucketSettings } from "./bucket.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import { nodesStream } from "./topology.ts";
import type { Topology } from "./topology.ts";

/** Sites whose groups one may look up. */
export type Sees = "all" | ReadonlyArray<string>;

export interface SourcedSite {
  readonly name: string;
  readonly epoch: string;
  /** Left out: all. */
  readonly sees?: Sees;
}

// In the order in which the server tells it: what it holds is compared with this.
const sourceOf = (
  { name, epoch }: SourcedSite,
  bucket: string,
  into: string,
  transforms: ReadonlyArray<{ readonly src: string; readonly dest: string }>,
) =>
  ({
    name: kvStream(bucket),
    // From its first message. Left to itself the server begins where the bucket ended when the site was added, as soon as the bucket's
    // own first message is gone: what the site knew by then would never come, and nothing would tell.
    opt_start_seq: 1,
    // What no transform fits is stored as it comes. No site has such subjects; whoever is its admin could make some, and write what others
    // are said to have.
    subject_transforms: [
      ...transforms,
      { src: `$KV.${into}.>`, dest: `$KV.${into}.${name}.${epoch}.stray.>` },
    ],
    external: { api: `$JS.${name}.API`, deliver: sourceDelivery(name) },
  }) as StreamSource;

const ledgers = (replicas: number) => bucketSettings(sitesBucket, "the ledgers of all sites", replicas);
const markerTtlNs = 60_000_000_000;
const groups = (replicas: number) => ({
  ...bucketSettings(sitesPresenceBucket, "the groups of all sites", replicas),
  subject_delete_marker_ttl: markerTtlNs,
});

/** Under which the bucket of groups itself says who may look up whose. */
const seesField = "orrery.sees";

/** What a supernode's nodes need; which sites are sourced is for the deployment to say. */
export const supernodeTopology = (replicas: number): Topology => ({
  streams: [nodesStream(replicas), ledgers(replicas), groups(replicas)],
  consumers: [],
});

/**
 * No subjects of their own: what is in them came from a site. History 1, as the sites' buckets have. Markers of the ledgers' ended keys
 * have no TTL, and so arrive however long a link was cut. Groups expire here as there; one whose end did not come over a cut link
 * ends with its own lifetime.
 */
export const sitesTopology = (sites: ReadonlyArray<SourcedSite>, replicas: number): Topology => {
  const sorted = sites.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const ledgerSources = sorted.map((site) => {
    const transforms = sharedKinds.map((kind) => ({
      src: ledgerSubjects(kind),
      dest: siteSubjects(site.name, site.epoch, kind),
    }));
    return sourceOf(site, ledgerBucket, sitesBucket, transforms);
  });
  const groupSources = sorted.map((site) => {
    const dest = sitePresenceSubjects(site.name, site.epoch);
    return sourceOf(site, presenceBucket, sitesPresenceBucket, [{ src: presenceSubjects, dest }]);
  });
  const sees = Object.fromEntries(sorted.map((site) => [site.name, site.sees ?? "all"]));
  return {
    streams: [
      nodesStream(replicas),
      { ...ledgers(replicas), sources: ledgerSources },
      {
        ...groups(replicas),
        sources: groupSources,
        metadata: { [seesField]: JSON.stringify(sees) },
      },
    ],
    consumers: [],
  };
};

export interface SourceState {
  readonly site: string;
  readonly epoch: string;
  /** Messages of the site that are not here yet, as far as the supernode knows. */
  readonly lag: number;
  /** Milliseconds since anything was heard of the site, its heartbeats included; null: nothing yet. */
  readonly silentMs: number | null;
  readonly error: string | null;
}

type SourcingBucket = typeof sitesBucket | typeof sitesPresenceBucket;
type Info = Awaited<ReturnType<NatsService["jsm"]["streams"]["info"]>>;

/** By the sites' names: the server tells them in no order. */
function statesOf({ sources = [] }: Info): ReadonlyArray<SourceState> {
  const states = sources.map((source) => {
    const {
      lag,
      active,
      error,
      external,
      subject_transforms: transforms,
    } = source as typeof source & {
      readonly external?: { readonly api: string } | null;
      readonly subject_transforms?: ReadonlyArray<{ readonly dest: string }>;
    };
    const [, , site = "", epoch = ""] = (transforms?.[0]?.dest ?? "").split(".");
    return {
      site: site === "" ? (external?.api ?? "") : site,
      epoch,
      lag,
      silentMs: active < 0 ? null : Math.round(active / 1_000_000),
      error: error === undefined ? null : error.description,
    };
  });
  return states.toSorted((a, b) => (a.site < b.site ? -1 : 1));
}

/** How each source stands. Lag says nothing of a source that is cut off: what it does not hear of it does not count. */
export const sourceStates = (
  nats: NatsService,
  bucket: SourcingBucket = sitesBucket,
): Effect.Effect<ReadonlyArray<SourceState>, NatsUnavailable | JetStreamRejected> =>
  managed("look at what is sourced", () => nats.jsm.streams.info(kvStream(bucket))).pipe(
    Effect.map(statesOf),
  );

export interface SitesStanding {
  readonly sources: ReadonlyArray<SourceState>;
  /** By the site that asks. One that is not here has not joined, or was put out. */
  readonly sees: ReadonlyMap<string, Sees>;
}

/** Whose groups are sourced, and who may look them up. */
export const sitesStanding = (
  nats: NatsService,
): Effect.Effect<SitesStanding, NatsUnavailable | JetStreamRejected> =>
  managed("look at what is sourced", () => nats.jsm.streams.info(kvStream(sitesPresenceBucket))).pipe(
    Effect.map((info) => {
      const sees = JSON.parse(info.config.metadata?.[seesField] ?? "{}") as Record<string, Sees>;
      return { sources: statesOf(info), sees: new Map(Object.entries(sees)) };
    }),
  );
