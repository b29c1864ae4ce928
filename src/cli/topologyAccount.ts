/** Who was put out of a supernode, against what its servers know: a push that failed is drift, until it is made. */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { lookUpAccount, pushAccount } from "../jetstream/accounts.ts";
import type { NatsService } from "../jetstream/Nats.ts";
import type { Change } from "../jetstream/topologyDiff.ts";
import { revocationsOf } from "../jetstream/trust.ts";
import type { Deployment } from "../sites/deployment.ts";
import type { CommandFailed } from "./failures.ts";
import { ofCause, ofJetStream, unreachable } from "./failures.ts";
import { connectDeployment } from "./siteConnect.ts";
import { readSeed } from "./siteFolder.ts";
import { urlsOf, writeTrust } from "./siteInit.ts";
import type { Home } from "./siteLife.ts";

const asSystem = ({ folder, deployment }: Home): Effect.Effect<NatsService, CommandFailed, Scope.Scope> =>
  connectDeployment(folder, deployment, "system").pipe(
    Effect.mapError(({ detail }) =>
      unreachable(`none of ${urlsOf(deployment.servers).join(", ")} lets the system user in (${detail})`),
    ),
  );

function nameOf({ members }: Deployment, user: string): string {
  const site = Object.entries(members).find(([, member]) => member.user === user);
  return site?.[0] ?? user;
}

const drift = (
  { deployment }: Home,
  nats: NatsService,
): Effect.Effect<ReadonlyArray<Change>, CommandFailed> =>
  lookUpAccount(nats, deployment.account).pipe(
    Effect.mapError(ofJetStream),
    Effect.map((jwt) => {
      const told = jwt === "" ? {} : revocationsOf(jwt);
      const untold = Object.entries(deployment.revoked).flatMap(([user, since]) =>
        told[user] === since ? [] : [nameOf(deployment, user)],
      );
      if (untold.length === 0) return [];
      const asset = `account ${deployment.name}`;
      const words = `${asset}: its servers do not know that ${untold.join(", ")} was put out`;
      return [{ kind: "update", asset, words } as const];
    }),
  );

export const planAccount = (home: Home): Effect.Effect<ReadonlyArray<Change>, CommandFailed> =>
  Effect.scoped(Effect.flatMap(asSystem(home), (nats) => drift(home, nats)));

/** Fails, with what it is good for, where a seed is not in the folder. */
export const applyAccount = (home: Home): Effect.Effect<ReadonlyArray<Change>, CommandFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { folder, deployment } = home;
      const nats = yield* asSystem(home);
      const changes = yield* drift(home, nats);
      if (changes.length === 0) return changes;
      const jwt = yield* Effect.tryPromise({
        try: async () => {
          const seeds = [
            readSeed(folder, "operator"),
            readSeed(folder, "system"),
            readSeed(folder, "account"),
          ];
          const [operator = "", system = "", account = ""] = await Promise.all(seeds);
          return writeTrust(folder, deployment, operator, system, account);
        },
        catch: ofCause,
      });
      yield* pushAccount(nats, jwt).pipe(Effect.mapError(ofJetStream));
      return changes;
    }),
  );
