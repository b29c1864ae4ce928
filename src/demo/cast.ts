/** Everybody who plays in one night: the second node, the camera, the one who asks, the killer, and the picture of it all. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import { follow } from "../jetstream/follower.ts";
import { ledgerBucket } from "../protocol/keys.ts";
import { makeFileStorage } from "../storage/file.ts";
import type { Account } from "./account.ts";
import { accountOf } from "./account.ts";
import { secondName } from "./demoSite.ts";
import { readEvidence } from "./evidence.ts";
import { Lookups } from "./lookups.ts";
import { markOf } from "./night.ts";
import type { Night } from "./nightPlan.ts";
import { nextNight, nightBucket, nightInstrument } from "./nightPlan.ts";
import { NightPicture, nightKeys } from "./picture.ts";
import { SecondProcess } from "./secondProcess.ts";
import { Sender } from "./sender.ts";
import type { Stage } from "./stage.ts";
import { TheKill } from "./theKill.ts";

export interface Cast {
  readonly night: Night;
  readonly picture: NightPicture;
  readonly second: SecondProcess;
  readonly lookups: Lookups;
  readonly sender: Sender;
  readonly kill: TheKill;
  /** What went wrong beside the files. */
  readonly faults: Array<string>;
}

const noNights = (cause: NodeJS.ErrnoException): Array<string> => {
  if (cause.code === "ENOENT") return [];
  throw cause;
};

/** Resolves once the second node is ready. The scope's end stops them. */
export async function engageCast(
  stage: Stage,
  seed: number,
  scope: Scope.Closeable,
  signal: AbortSignal,
): Promise<Cast> {
  const { running, parts, site, httpUrl } = stage;
  const { nats } = running.context;
  const played = await readdir(join(parts.root, nightBucket, nightInstrument)).catch(noNights);
  const night = { day: nextNight(played, Date.now()), seed, needed: parts.needed };
  const picture = new NightPicture(night.day, parts.products.name);
  const faults: Array<string> = [];
  const fault = (words: string): void => {
    faults.push(words);
    picture.say("bad", words);
  };
  const second = new SecondProcess({ site: stage.file, server: running.natsUrl }, (how) =>
    fault(`${secondName} ended by itself: ${how}`),
  );
  await Effect.runPromise(
    Scope.addFinalizer(
      scope,
      Effect.promise(() => second.stop()),
    ),
  );
  const following = Effect.runFork(
    follow(nats, {
      bucket: ledgerBucket,
      keys: nightKeys(night.day),
      each: (change) => picture.learn(change),
    }),
  );
  following.addObserver((exit) => {
    if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
      fault(`the ledger could not be followed: ${Cause.pretty(exit.cause)}`);
    }
  });
  await Effect.runPromise(Scope.addFinalizer(scope, Fiber.interrupt(following)));
  await second.start();
  const lookups = new Lookups(httpUrl, signal);
  const storage = makeFileStorage({ root: parts.root });
  const url = httpUrl + site.enqueuer.path;
  const sender = new Sender({ parts, storage, url, picture, lookups, signal });
  const mailbox = parts.lane.name;
  const kill = new TheKill({ nats, picture, second, mailbox, victim: secondName, failed: fault });
  return { night, picture, second, lookups, sender, kill, faults };
}

/** Reads the evidence and compares it with what was sent. */
export async function settleAccount(stage: Stage, cast: Cast): Promise<Account> {
  const { parts, running } = stage;
  const { night, sender } = cast;
  const { day } = night;
  const lane = parts.lane.name;
  const products = { lane: parts.products.name, bucket: parts.products.buckets[0] ?? "" };
  const evidence = await readEvidence({
    nats: running.context.nats,
    http: stage.httpUrl,
    day,
    lane,
    objects: [...sender.sent.values()].map(({ object }) => object),
    exposures: sender.exposures.map(({ name }) => name),
    root: parts.root,
    products: products.bucket,
  });
  return accountOf(
    {
      sent: sender.sent,
      exposures: sender.exposures,
      nameless: sender.nameless,
      webhooks: sender.webhooks,
      wrongAnswers: sender.wrongAnswers,
      mark: markOf(night),
      day,
      lane,
      products,
      uri: makeFileStorage({ root: parts.root }).uri,
      kill: cast.kill.kill,
      faults: cast.faults,
    },
    evidence,
  );
}
