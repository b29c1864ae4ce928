/** The supernode's bucket of all sites: sourced, and written by nobody. */
import type { StreamSource } from "@nats-io/jetstream";
import { DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import { kvStream, ledgerBucket } from "../protocol/keys.ts";
import { ledgerSubjects, sharedKinds, sitesBucket, siteSubjects, sourceDelivery } from "../protocol/sites.ts";
import type { NatsService } from "./Nats.ts";
import { managed } from "./Nats.ts";
import type { Topology } from "./topology.ts";

export interface SourcedSite {
  readonly name: string;
  readonly epoch: string;
}

const sourceOf = ({ name, epoch }: SourcedSite) => ({
  // In the order in which the server tells it: what it holds is compared with this.
  name: kvStream(ledgerBucket),
  subject_transforms: sharedKinds.map((kind) => ({
    src: ledgerSubjects(kind),
    dest: siteSubjects(name, epoch, kind),
  })),
  external: { api: `$JS.${name}.API`, deliver: sourceDelivery(name) },
});

/**
 * No subjects of its own: what is in it came from a site. History 1, as the ledgers have. Markers of ended keys have no TTL, and so
 * arrive however long a link was cut.
 */
export const sitesTopology = (sites: ReadonlyArray<SourcedSite>, replicas: number): Topology => ({
  streams: [
    {
      name: kvStream(sitesBucket),
      description: "Orrery: the ledgers of all sites",
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
      sources: sites
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map((site) => sourceOf(site) as StreamSource),
    },
  ],
  consumers: [],
});

export interface SourceState {
  readonly site: string;
  readonly epoch: string;
  /** Messages of the site that are not here yet, as far as the supernode knows. */
  readonly lag: number;
  /** Milliseconds since anything was heard of the site, its heartbeats included; null: nothing yet. */
  readonly silentMs: number | null;
  readonly error: string | null;
}

/** How each source stands. Lag says nothing of a source that is cut off: what it does not hear of it does not count. */
export const sourceStates = (
  nats: NatsService,
): Effect.Effect<ReadonlyArray<SourceState>, NatsUnavailable | JetStreamRejected> =>
  managed("look at what is sourced", () => nats.jsm.streams.info(kvStream(sitesBucket))).pipe(
    Effect.map(({ sources = [] }) =>
      sources.map((source) => {
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
      }),
    ),
  );
