/** A telescope beside the plain files: exposures with sidecars in a store, and somebody who keeps asking whether they are there. */
import { setTimeout as sleep } from "node:timers/promises";
import { groupOfKey } from "../../src/protocol/presence.ts";
import { presentSubject } from "../../src/protocol/keys.ts";
import type { MiniStore } from "../support/miniStore.ts";
import type { Cluster } from "./cluster.ts";
import type { Announced } from "./sender.ts";
import type { LookUp } from "./told.ts";

/** The lane, and its bucket. */
export const rawLane = "raw";
export const instrument = "LSSTCam";
const day = "20260101";
const detectors = ["R00_S00", "R11_S01", "R22_S11", "R22_S12", "R33_S20", "R44_S22"];
const askMsMax = 2_000;
const askEveryMs = 25;
/** Of four questions one is about something that nobody ever sent. */
const strangers = 4;

export interface RawSite {
  readonly folder: string;
  readonly node: string;
  readonly storeUrl: string;
  readonly receiverUrl: string;
  readonly bridge: string;
}

/** What the site file of a node needs for them; the bridge takes its orders from {@link ordersFile}. */
export const rawSite = ({ folder, node, storeUrl, receiverUrl, bridge }: RawSite): string => `  ${rawLane}:
    kind: exposure
    buckets: [${rawLane}]
    storage: store
    pattern: '^(?<instrument>[^/]+)/(?<day>\\d{8})/(?<exposure>[^/]+)/[^/]+_(?<detector>R\\d\\d_S\\d\\d)\\.fits$'
    metadata: header
    sidecar: .json
    attemptsMax: 50
    crashesAloneMax: 10
    backoffBase: 100 ms
    backoffMax: 500 ms
    driver:
      type: subprocess
      command: ["{node}", "${bridge}", "${folder}/catalog", "${ordersFile(folder, node)}"]
      startDeadline: 10 s
      batchDeadline: 3 s
storage:
  store:
    driver: s3
    endpoint: ${storeUrl}
    accessKeyId: file:${folder}/key
    secretAccessKey: file:${folder}/key
presence:
  instruments: [${instrument}]
webhooks:
  summit:
    url: ${receiverUrl}
    timeout: 2 s
    backoffBase: 100 ms
    backoffMax: 1 s
`;

export const ordersFile = (folder: string, node: string): string => `${folder}/orders-${node}`;

const groupOf = (exposure: string): string => `2026-01-01T00:00:00.${exposure.slice(-6)}`;
const uriOf = (key: string): string => `s3://${rawLane}/${key}`;

export class Exposures {
  /** By `group/detector`. */
  readonly sent = new Map<string, string>();
  readonly announced = new Map<string, number>();
  readonly lookUps: Array<LookUp> = [];
  readonly #cluster: Cluster;
  readonly #store: MiniStore;
  readonly #heard: Array<string> = [];
  #count = 0;

  constructor(cluster: Cluster, store: MiniStore) {
    this.#cluster = cluster;
    this.#store = store;
    const prefix = presentSubject("").length;
    cluster.nats.connection.subscribe(presentSubject(">"), {
      callback: (error, message) => {
        const name = error === null ? groupOfKey(message.subject.slice(prefix)) : null;
        if (name === null) return;
        const group = `${name.group}/${name.detector}`;
        if (this.announced.has(group)) return;
        this.announced.set(group, Date.now());
        this.#heard.push(group);
      },
    });
  }

  /** The files of one more exposure, which are in the store from now on. */
  #next(): ReadonlyArray<Announced> {
    const exposure = `MC_O_${day}_${String(++this.#count).padStart(6, "0")}`;
    return detectors.map((detector, i) => {
      const bad = this.#count % 13 === 0 && i === 3 ? "bad_" : "";
      const key = `${instrument}/${day}/${exposure}/${bad}${exposure}_${detector}.fits`;
      const sidecar = {
        INSTRUME: instrument,
        DAYOBS: day,
        SEQNUM: this.#count,
        OBSID: exposure,
        GROUPID: groupOf(exposure),
        DETECTOR: detector,
        EXPTIME: 30,
      };
      this.#store.objects.set(`${rawLane}/${key}`, new Uint8Array(2_880));
      this.#store.objects.set(
        `${rawLane}/${key.replace(/fits$/, "json")}`,
        new TextEncoder().encode(JSON.stringify(sidecar)),
      );
      this.sent.set(`${groupOf(exposure)}/${detector}`, uriOf(key));
      return { key, etag: "1", bucket: rawLane };
    });
  }

  /** Takes exposures until it is told to end; the files of several come in between each other. */
  async take(over: AbortSignal, everyMs: number): Promise<void> {
    const one = async (): Promise<void> => {
      while (!over.aborted) {
        const files = this.#next();
        for (let at = 0; at < files.length; at += 2) {
          await Promise.all([this.#cluster.sender.send(files.slice(at, at + 2)), sleep(everyMs)]);
        }
      }
    };
    await Promise.all([one(), one()]);
  }

  /** Asks about groups, announced or never sent, until it is told to end. */
  async ask(over: AbortSignal, random: () => number): Promise<void> {
    for (let i = 0; !over.aborted; i++) {
      await sleep(askEveryMs);
      // What was announced just now as often as anything else.
      const heard = this.#heard.length;
      const place = random() < 0.5 ? heard - 1 - Math.floor(random() * 20) : Math.floor(random() * heard);
      const group = i % strangers === 0 ? `never-${i}/R22_S11` : this.#heard[Math.max(0, place)];
      if (group !== undefined) await this.#askOne(group, random);
    }
  }

  /** Asks once about each that was sent, again while there is no answer. Call it at rest. */
  async askAll(random: () => number): Promise<void> {
    const groups = [...this.sent.keys()];
    const one = async (): Promise<void> => {
      for (let group = groups.pop(); group !== undefined; group = groups.pop()) {
        for (let tries = 0; tries < 20 && (await this.#askOne(group, random)) !== 200; tries++)
          await sleep(50);
      }
    };
    await Promise.all(Array.from({ length: 16 }, one));
  }

  async #askOne(group: string, random: () => number): Promise<number> {
    const urls = [...this.#cluster.nodes.values()].flatMap(({ http }) => http ?? []);
    const url = urls[Math.floor(random() * urls.length)];
    if (url === undefined) return 0;
    const [name = "", detector = ""] = group.split("/");
    const askedAt = Date.now();
    const look = await fetch(`${url}/presence/${instrument}/${encodeURIComponent(name)}/0/${detector}`, {
      signal: AbortSignal.timeout(askMsMax),
    })
      .then(async (answer) => ({ status: answer.status, body: (await answer.json()) as { uri?: string } }))
      // Killed, stopped, or cut off: no answer is no wrong answer.
      .catch(() => ({ status: 0, body: {} as { uri?: string } }));
    this.lookUps.push({ group, askedAt, status: look.status, uri: look.body.uri ?? null });
    return look.status;
  }
}
