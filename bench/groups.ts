/** The load of the presence benches: groups that are here, and questions of which every tenth is about one that is not. */
import type { NatsService } from "../src/jetstream/Nats.ts";
import { kvSubject, presenceKey } from "../src/protocol/keys.ts";
import { encodeText } from "../src/protocol/records.ts";
import { store } from "./arrivals.ts";

const groups = 50;
const detectors = 189;
const questions = 4_000;
export const missEvery = 10;
export const instrument = "LSSTCam";

export interface Question {
  readonly group: string;
  readonly detector: string;
  readonly key: string;
}

const groupName = (n: number): string => `2025-11-21T07:03:14.565#${n}`;
const detectorName = (n: number): string =>
  `R${String(Math.floor(n / 9)).padStart(2, "0")}_S${Math.floor((n % 9) / 3)}${n % 3}`;

function question(group: string, detector: string): Question {
  return { group, detector, key: presenceKey(instrument, group, 0, detector) };
}

/** Puts the groups into a bucket. @returns how many there are */
export async function storeGroups(nats: NatsService, bucket: string): Promise<number> {
  const writes = Array.from({ length: groups * detectors }, (_, n) => {
    const { group, detector, key } = question(groupName(n % groups), detectorName(n % detectors));
    const uri = `s3://raw/LSSTCam/20251121/${group}/${detector}.fits`;
    return { subject: kvSubject(bucket, key), data: encodeText(uri), ttlSeconds: 86_400 };
  });
  await store(nats, writes);
  return writes.length;
}

/** Questions in a fixed order; an absent group is one of four hundred. */
export const asked: ReadonlyArray<Question> = Array.from({ length: questions }, (_, n) =>
  n % missEvery === missEvery - 1
    ? question(groupName(groups + n), detectorName(n % detectors))
    : question(groupName(n % groups), detectorName(n % detectors)),
);
