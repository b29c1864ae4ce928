/** Streams for the plain programs, with the settings that Orrery's own have. */
import type { NatsService } from "../src/jetstream/Nats.ts";
import { arrivalsConsumer, topologyOf } from "../src/jetstream/topology.ts";
import { arrivalsStream, kvStream, ledgerBucket } from "../src/protocol/keys.ts";

export interface RawStreams {
  readonly stream: string;
  readonly subject: string;
  readonly consumer: string;
  readonly bucket: string;
}

/** One stream with a durable consumer, and one bucket, named after the plain program that uses them. */
export async function rawStreams(nats: NatsService, name: string): Promise<RawStreams> {
  const ours = topologyOf({
    lanes: ["raw"],
    runLanes: [],
    items: [],
    follows: [],
    replicas: 1,
    duplicateWindowMs: 120_000,
  });
  const names = {
    stream: `RAW_${name}`,
    subject: `raw.${name}`,
    consumer: `raw-${name}`,
    bucket: `raw_${name}`,
  };
  for (const stream of ours.streams) {
    if (stream.name === arrivalsStream) {
      await nats.jsm.streams.add({ ...stream, name: names.stream, subjects: [names.subject] });
    }
    if (stream.name === kvStream(ledgerBucket)) {
      await nats.jsm.streams.add({
        ...stream,
        name: kvStream(names.bucket),
        subjects: [`$KV.${names.bucket}.>`],
      });
    }
  }
  for (const { config } of ours.consumers) {
    if (config.durable_name !== arrivalsConsumer("raw")) continue;
    const { filter_subject: _, ...rest } = config;
    await nats.jsm.consumers.add(names.stream, { ...rest, durable_name: names.consumer });
  }
  return names;
}
