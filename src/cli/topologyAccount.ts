/** Who was put out of a supernode, against what each of its servers knows: one that was not told is drift, until it is. */
import * as Effect from "effect/Effect";
import { accountHere, pushAccount } from "../jetstream/accounts.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Change } from "../jetstream/topologyDiff.ts";
import { revocationsOf } from "../jetstream/trust.ts";
import type { JetStreamRejected, NatsUnavailable } from "../protocol/errors.ts";
import type { Deployment } from "../sites/deployment.ts";
import type { Answered } from "./eachServer.ts";
import { askEach, namesOf, serversOf } from "./eachServer.ts";
import type { CommandFailed } from "./failures.ts";
import { ofCause } from "./failures.ts";
import { settingsOf } from "./siteConnect.ts";
import { readSeed } from "./siteFolder.ts";
import { urlsOf, writeTrust } from "./siteInit.ts";
import type { Home } from "./siteLife.ts";

/** Public keys of users that were put out and are unknown to a server as such. */
type Untold = ReadonlyArray<string>;

function nameOf({ members }: Deployment, user: string): string {
  const site = Object.entries(members).find(([, member]) => member.user === user);
  return site?.[0] ?? user;
}

function untoldIn({ revoked }: Deployment, jwt: string): Untold {
  const told = jwt === "" ? {} : revocationsOf(jwt);
  return Object.entries(revoked).flatMap(([user, since]) => (told[user] === since ? [] : [user]));
}

const ask = <E extends { readonly detail: string }>(
  { folder, deployment }: Home,
  untold: (nats: NatsService) => Effect.Effect<Untold, E>,
): Effect.Effect<ReadonlyArray<Answered<Untold>>> =>
  askEach(serversOf(deployment, urlsOf(deployment.servers)), settingsOf(folder, "system"), untold);

const untoldAt = ({ deployment }: Home, nats: NatsService): Effect.Effect<Untold, NatsUnavailable> =>
  Effect.map(accountHere(nats, deployment.account), (jwt) => untoldIn(deployment, jwt));

const pushedWithin = 20;

/** The answer to a push may be another server's, so each is asked afterwards whether it goes by it, for two seconds. */
const tell = (
  home: Home,
  nats: NatsService,
  jwt: string,
): Effect.Effect<Untold, NatsUnavailable | JetStreamRejected> =>
  Effect.gen(function* () {
    yield* pushAccount(nats, jwt);
    for (let look = 1; look < pushedWithin; look++) {
      const untold = yield* untoldAt(home, nats);
      if (untold.length === 0) return untold;
      yield* Effect.sleep("100 millis");
    }
    return yield* untoldAt(home, nats);
  });

/** Pushes the account to each server. @returns by server who was put out and is not known there to be */
export const tellEach = (home: Home, jwt: string): Effect.Effect<ReadonlyArray<Answered<Untold>>> =>
  ask(home, (nats) => tell(home, nats, jwt));

function changesOf({ deployment }: Home, found: ReadonlyArray<Answered<Untold>>): ReadonlyArray<Change> {
  const away = found.filter(({ answer }) => answer === null);
  const behind = found.filter(({ answer }) => answer !== null && answer.length > 0);
  const sites = new Set(behind.flatMap(({ answer }) => answer ?? []).map((user) => nameOf(deployment, user)));
  const asset = `account ${deployment.name}`;
  const verb = behind.length === 1 ? "does" : "do";
  const update: Change = {
    kind: "update",
    asset,
    words: `${asset}: ${namesOf(behind)} ${verb} not know that ${[...sites].join(", ")} was put out`,
  };
  return [
    ...(behind.length === 0 ? [] : [update]),
    ...away.map(({ name, url, detail }): Change => ({
      kind: "refuse",
      asset: `server ${name}`,
      words: `server ${name} (${url}) does not answer: not known whether it knows who was put out (${detail})`,
    })),
  ];
}

export const planAccount = (home: Home): Effect.Effect<ReadonlyArray<Change>> =>
  Effect.map(
    ask(home, (nats) => untoldAt(home, nats)),
    (found) => changesOf(home, found),
  );

/** Fails, with what it is good for, where a seed is not in the folder. */
export const applyAccount = (home: Home): Effect.Effect<ReadonlyArray<Change>, CommandFailed> =>
  Effect.gen(function* () {
    const { folder, deployment } = home;
    const changes = yield* planAccount(home);
    if (changes.every(({ kind }) => kind === "refuse")) return changes;
    const jwt = yield* Effect.tryPromise({
      try: async () => {
        const seeds = [readSeed(folder, "operator"), readSeed(folder, "system"), readSeed(folder, "account")];
        const [operator = "", system = "", account = ""] = await Promise.all(seeds);
        return writeTrust(folder, deployment, operator, system, account);
      },
      catch: ofCause,
    });
    const left = changesOf(home, yield* tellEach(home, jwt)).map((change): Change => ({
      ...change,
      kind: "refuse",
    }));
    return [...changes.filter(({ kind }) => kind !== "refuse"), ...left];
  });
