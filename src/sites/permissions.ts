/**
 * Who may do what on a site's NATS server: the one table from which the users' JWTs are made, docs/permissions.md is written, and
 * which the tests hold against a real server. What is not here is refused.
 *
 * `{inbox}` stands for the user's own inbox, which no other user may listen to. `$JS.API` is the site's own JetStream, also when it
 * is asked for as `$JS.<site>.API`: the server looks at permissions after that. Answers go to `_INBOX.>` by name and not by `allow_responses`: that lets whoever asks choose any
 * subject for the answer, and so write through the one who is asked.
 */

import { filesOfStream } from "../protocol/filesOf.ts";
import { unfinishedStream } from "../protocol/keys.ts";
import { runsBucket } from "../protocol/runs.ts";
import { sitesAnswerPrefix, sitesAskSubject } from "../protocol/sites.ts";

/** What one kind of actor needs, or what a person does: docs/permissions.md shows it as it stands here. */
export interface Permission {
  /** In words, as the end of "may ...". */
  readonly may: string;
  readonly publish?: ReadonlyArray<string>;
  readonly subscribe?: ReadonlyArray<string>;
}

export type Actor =
  | "node"
  | "enqueuer"
  | "presence"
  | "ingester"
  | "reclaimer"
  | "resolver"
  | "notifier"
  | "visits"
  | "runner"
  | "own actors"
  | "operator";

export const api = (...requests: ReadonlyArray<string>): ReadonlyArray<string> =>
  requests.map((request) => `$JS.API.${request}`);
const ledger = (...kinds: ReadonlyArray<string>): ReadonlyArray<string> =>
  kinds.map((kind) => `$KV.ledger.${kind}.>`);
/** Takes from the durable consumers of a stream. */
const takes = (stream: string): ReadonlyArray<string> => [
  ...api(`CONSUMER.MSG.NEXT.${stream}.*`),
  `$JS.ACK.${stream}.>`,
];
/** Lists or follows a stream, through a consumer of its own that ends with it. */
export const lists = (stream: string): ReadonlyArray<string> =>
  api(
    // With the name behind it, and without: a client asks either way.
    `CONSUMER.CREATE.${stream}`,
    `CONSUMER.CREATE.${stream}.>`,
    `CONSUMER.INFO.${stream}.*`,
    `CONSUMER.MSG.NEXT.${stream}.*`,
    `CONSUMER.DELETE.${stream}.*`,
  );

const runsStream = `OBJ_${runsBucket}`;
const mailStreams = ["ARRIVALS", "ITEMS"] as const;
const streams = [
  ...mailStreams,
  "KV_ledger",
  "KV_nodes",
  "KV_presence",
  "KV_seen",
  filesOfStream,
  runsStream,
] as const;

const readsLedger: Permission = {
  may: "read the ledger",
  publish: api("STREAM.MSG.GET.KV_ledger", "DIRECT.GET.KV_ledger"),
};
const listsLedger: Permission = {
  may: "list and follow the ledger",
  publish: lists("KV_ledger"),
};
export const ownInbox: Permission = {
  may: "hear the answers to what it asked",
  subscribe: ["{inbox}.>"],
};
export const holdsName: Permission = {
  may: "hold its name among the nodes, and tell the time by the server",
  publish: ["$KV.nodes.*", ...api("STREAM.MSG.GET.KV_nodes", "INFO")],
};
export const isFound: Permission = {
  may: "be found by `nats service list`",
  publish: ["_INBOX.>"],
  subscribe: ["PING", "INFO", "STATS"].flatMap((verb) => [
    `$SRV.${verb}`,
    `$SRV.${verb}.*`,
    `$SRV.${verb}.*.*`,
  ]),
};
export const answersLookUps: Permission = {
  may: "answer look-ups",
  publish: ["_INBOX.>"],
  subscribe: ["orrery.presence", "orrery.presence.>"],
};
export const looksAtStreams: Permission = {
  may: "look at streams and consumers",
  publish: api(
    "INFO",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.INFO.*",
    "CONSUMER.LIST.*",
    "CONSUMER.NAMES.*",
    "CONSUMER.INFO.*.*",
  ),
};
/** @param of streams that are listed as well */
export const readsStored = (of: ReadonlyArray<string>): Permission => ({
  may: "read what is stored",
  publish: [...api("STREAM.MSG.GET.*", "DIRECT.GET.*", "DIRECT.GET.*.>"), ...of.flatMap(lists)],
});
const worksThroughLanes = (mailbox: string, stream: string): Permission => ({
  may: `take ${mailbox}, and claim what it took`,
  publish: [...takes(stream), ...api("STREAM.MSG.GET.KV_nodes"), ...ledger("claim")],
});
const settles: Permission = {
  may: "settle what it has in hand: records, and the indexes of what is to be tried again, waits or is parked",
  publish: ledger("due", "waiting", "parked"),
};

export const permissions: Readonly<Record<Actor, ReadonlyArray<Permission>>> = {
  node: [
    ownInbox,
    holdsName,
    {
      may: "see that streams and consumers are as they should be, and change none",
      publish: [
        ...api(...[...streams, unfinishedStream].map((stream) => `STREAM.INFO.${stream}`)),
        ...api(...[...mailStreams, "KV_ledger"].map((stream) => `CONSUMER.INFO.${stream}.*`)),
      ],
    },
    isFound,
  ],
  enqueuer: [
    { may: "publish arrivals", publish: ["arrive.>", "replay.>"] },
    {
      may: "park what is no arrival: unreadable notifications, buckets that no lane takes",
      publish: [...ledger("file.unrouted", "parked.unrouted"), ...api("STREAM.MSG.GET.KV_ledger")],
    },
    { may: "count what was announced again", publish: ledger("repeats") },
    { may: "see how much waits", publish: api("DIRECT.GET.ARRIVALS") },
  ],
  presence: [
    answersLookUps,
    {
      may: "read and follow the groups",
      publish: [...api("STREAM.MSG.GET.KV_presence"), ...lists("KV_presence")],
    },
    {
      may: "ask the supernode what is at other sites, as its own site: the supernode refuses to be asked as another",
      publish: [sitesAskSubject("*")],
      subscribe: [`${sitesAnswerPrefix("*")}.>`],
    },
  ],
  ingester: [
    worksThroughLanes("arrivals", "ARRIVALS"),
    readsLedger,
    settles,
    { may: "write files and touch exposures", publish: ledger("file", "exposure") },
    { may: "announce groups", publish: ["$KV.presence.>", "orrery.present.>"] },
    { may: "ask what purged days held", publish: lists("KV_seen") },
  ],
  reclaimer: [
    readsLedger,
    listsLedger,
    settles,
    {
      may: "take back what dead nodes have in hand",
      publish: [
        ...lists("KV_nodes"),
        ...api("STREAM.MSG.GET.ARRIVALS", "STREAM.MSG.GET.ITEMS"),
        ...ledger("claim", "file", "run", "item", "ready"),
      ],
    },
    { may: "put back into the queues what is due", publish: ["arrive.>", "replay.>", "items.>"] },
    {
      may: "purge days past their retention, and note what they held",
      publish: [...api("STREAM.PURGE.KV_ledger"), ...lists("KV_seen"), "$KV.seen.>", ...ledger("purged")],
    },
  ],
  resolver: [
    readsLedger,
    listsLedger,
    { may: "tell of jobs and begin their runs", publish: ledger("job", "run", "ready", "redo", "order") },
    { may: "answer questions about jobs", publish: ["_INBOX.>"], subscribe: ["orrery.jobs.>"] },
    {
      may: "follow what is held of other sites' files, and leave what a site's former life had",
      publish: [...lists(filesOfStream), ...api(`STREAM.PURGE.${filesOfStream}`)],
    },
  ],
  notifier: [
    readsLedger,
    {
      may: "follow the files and note whom it told",
      publish: [...takes("KV_ledger"), ...api("CONSUMER.UNPIN.KV_ledger.*"), ...ledger("notified")],
    },
  ],
  visits: [
    readsLedger,
    {
      may: "follow the files and write visits",
      publish: [...takes("KV_ledger"), ...ledger("visit")],
    },
  ],
  runner: [
    worksThroughLanes("ready runs", "KV_ledger"),
    { may: "look for queues that only an earlier catalogue had", publish: api("CONSUMER.LIST.KV_ledger") },
    readsLedger,
    listsLedger,
    settles,
    {
      may: "write runs, end their ready keys, and hold an instrument's lock",
      publish: ledger("run", "ready", "lock"),
    },
    {
      may: "hear as it passes that a run is cancelled, or that one is ready",
      subscribe: ledger("run", "ready", "lock"),
    },
    { may: "announce what runs made", publish: ["arrive.>", "replay.>"] },
    {
      may: "keep logs and manifests of runs",
      publish: [
        `$O.${runsBucket}.>`,
        ...api(`STREAM.MSG.GET.${runsStream}`, `DIRECT.GET.${runsStream}.>`, `STREAM.PURGE.${runsStream}`),
        ...lists(runsStream),
      ],
    },
  ],
  "own actors": [
    worksThroughLanes("items", "ITEMS"),
    readsLedger,
    listsLedger,
    settles,
    { may: "write items, and send some", publish: ["items.>", ...ledger("item")] },
    { may: "follow the ledger from a durable cursor", publish: ["$JS.ACK.KV_ledger.>"] },
  ],
  operator: [
    ownInbox,
    looksAtStreams,
    readsStored(streams),
    {
      may: "ask: look-ups, questions about jobs, services",
      publish: ["orrery.presence", "orrery.presence.>", "orrery.jobs.>", "$SRV.>"],
      subscribe: ["orrery.present.>"],
    },
  ],
};

/** A user of the site's account: the actors whose permissions it has together. */
export interface Credential {
  readonly for: string;
  readonly actors: ReadonlyArray<Actor>;
}

const followers = ["reclaimer", "resolver", "notifier", "visits"] as const;

/** One .creds file each. */
export const credentials = {
  enqueuer: { for: "a node that takes notifications or watches folders", actors: ["node", "enqueuer"] },
  presence: { for: "a node that answers look-ups", actors: ["node", "presence"] },
  front: { for: "a node that does both", actors: ["node", "enqueuer", "presence"] },
  ingester: { for: "a node that works through the lanes", actors: ["node", "ingester"] },
  runner: { for: "a node that has runs executed", actors: ["node", "runner"] },
  followers: {
    for: "a node that follows the ledger: reclaimer, resolver, notifier, visits",
    actors: ["node", ...followers],
  },
  node: {
    for: "a node with all roles, and actors of your own",
    actors: ["node", "enqueuer", "presence", "ingester", "runner", ...followers, "own actors"],
  },
  operator: { for: "a person who looks", actors: ["operator"] },
} as const satisfies Readonly<Record<string, Credential>>;

export type CredentialName = keyof typeof credentials;

export interface Subjects {
  readonly publish: ReadonlyArray<string>;
  readonly subscribe: ReadonlyArray<string>;
}

/** The one user of a site's account who may do everything there: streams, consumers, purges. Never a node's. */
export const adminFor = "a person who makes streams and consumers, and repairs";

/** All that a credential may do. @param inbox the user's own, without `.>` */
export const subjectsOf = (name: CredentialName, inbox: string): Subjects =>
  filledIn(
    credentials[name].actors.flatMap((actor) => permissions[actor]),
    inbox,
  );

export function filledIn(all: ReadonlyArray<Permission>, inbox: string): Subjects {
  const filled = (pick: (permission: Permission) => ReadonlyArray<string>): ReadonlyArray<string> => [
    ...new Set(all.flatMap(pick).map((subject) => subject.replace("{inbox}", inbox))),
  ];
  return {
    publish: filled(({ publish = [] }) => publish),
    subscribe: filled(({ subscribe = [] }) => subscribe),
  };
}

/** Whether a pattern covers a subject, which may hold wildcards itself. */
export function covers(pattern: string, subject: string): boolean {
  const wanted = subject.split(".");
  const parts = pattern.split(".");
  for (const [index, part] of parts.entries()) {
    if (part === ">") return wanted.length > index;
    const token = wanted[index];
    if (token === undefined || token === ">") return false;
    if (part !== "*" && part !== token) return false;
  }
  return parts.length === wanted.length;
}
