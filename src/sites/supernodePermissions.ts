/** Who may do what on a supernode's servers: as src/sites/permissions.ts is for a site's, and held against real servers the same way. */
import { listingAnswers, listingDelivery, sitesAnswerPrefix, sitesAskSubject } from "../protocol/sites.ts";
import type { Permission, Subjects } from "./permissions.ts";
import {
  answersLookUps,
  api,
  filledIn,
  holdsName,
  isFound,
  lists,
  looksAtStreams,
  ownInbox,
  readsStored,
} from "./permissions.ts";

export type SupernodeActor = "node" | "keeper" | "presence" | "operator";

const streams = ["KV_nodes", "KV_sites", "KV_sitesPresence"] as const;

export const supernodePermissions: Readonly<Record<SupernodeActor, ReadonlyArray<Permission>>> = {
  node: [
    ownInbox,
    holdsName,
    {
      may: "see that streams are as they should be, and change none",
      publish: api(...streams.map((stream) => `STREAM.INFO.${stream}`)),
    },
    isFound,
  ],
  keeper: [
    {
      may: "count, list and follow what is held of the sites",
      publish: [...api("STREAM.MSG.GET.KV_sites"), ...lists("KV_sites")],
    },
    { may: "drop what a site no longer has", publish: api("STREAM.PURGE.KV_sites") },
    {
      may: "have another server lead what is sourced: so sites that are back are asked at once",
      publish: api(...["KV_sites", "KV_sitesPresence"].map((stream) => `STREAM.LEADER.STEPDOWN.${stream}`)),
    },
    {
      may: "list the ledger of a site, to compare it with what is here",
      publish: ["$JS.*.API.CONSUMER.CREATE.KV_ledger.*", "$JS.FC.KV_ledger.>"],
      subscribe: [listingDelivery("*", "*"), listingAnswers("*")],
    },
  ],
  presence: [
    answersLookUps,
    {
      may: "answer what sites ask about the others, and each where it alone hears it",
      publish: [`${sitesAnswerPrefix("*")}.>`],
      subscribe: [sitesAskSubject("*")],
    },
    { may: "follow the sites' groups", publish: lists("KV_sitesPresence") },
  ],
  operator: [
    ownInbox,
    looksAtStreams,
    readsStored(streams),
    {
      may: "ask: look-ups, services",
      publish: ["orrery.presence", "orrery.presence.>", "$SRV.>"],
    },
  ],
};

/** A user of the supernode's account: the actors whose permissions it has together. */
export interface SupernodeCredential {
  readonly for: string;
  readonly actors: ReadonlyArray<SupernodeActor>;
}

/** One .creds file each. */
export const supernodeCredentials = {
  keeper: { for: "a node that keeps what the sites let others see", actors: ["node", "keeper"] },
  presence: { for: "a node that answers look-ups of all sites' groups", actors: ["node", "presence"] },
  node: { for: "a node with all roles", actors: ["node", "keeper", "presence"] },
  operator: { for: "a person who looks", actors: ["operator"] },
} as const satisfies Readonly<Record<string, SupernodeCredential>>;

export type SupernodeCredentialName = keyof typeof supernodeCredentials;

/** All that a credential may do. @param inbox the user's own, without `.>` */
export const supernodeSubjectsOf = (name: SupernodeCredentialName, inbox: string): Subjects =>
  filledIn(
    supernodeCredentials[name].actors.flatMap((actor) => supernodePermissions[actor]),
    inbox,
  );
