/** The message of an arrival: "object K of bucket B now exists". MessagePack on the wire, `orrery decode` shows it. */
import { Packr } from "msgpackr";
import * as Schema from "effect/Schema";
import type { Fields } from "./beyond.ts";
import { beyondMessage } from "./beyond.ts";
import type { EventOrder } from "./eventOrder.ts";
import type { FileBody, Given } from "./records.ts";
import { recordVersion } from "./records.ts";

export interface Arrival extends Given {
  readonly v: number;
  readonly bucket: string;
  readonly key: string;
  /** Content's tag as the store gave it, quotes taken off; "" when the sender did not say. */
  readonly etag: string;
  /** Bytes; null when the sender did not say. */
  readonly size: number | null;
  readonly instrument: string;
  readonly day: string;
  /** 0 as it came in; higher when put back from `due`. */
  readonly generation: number;
  /** `webhook`, `watch:<directory>`, `nats`, `replay`, `job:<run>`. */
  readonly via: string;
  /** ISO 8601, UTC; by the site's clock. */
  readonly receivedAt: string;
  /** Only on lanes where newer content supersedes: which of two is the newer. */
  readonly event?: EventOrder;
}

/** What `orrery replay` announces: tonight's files go first. */
export const replayed = "replay";

const isArrival = Schema.is(
  Schema.Struct({
    v: Schema.Number,
    bucket: Schema.String,
    key: Schema.String,
    etag: Schema.String,
    size: Schema.NullOr(Schema.Number),
    instrument: Schema.String,
    day: Schema.String,
    generation: Schema.Number,
    via: Schema.String,
    receivedAt: Schema.String,
    event: Schema.optionalKey(
      Schema.Struct({
        time: Schema.optionalKey(Schema.String),
        sequencer: Schema.optionalKey(Schema.String),
      }),
    ),
    range: Schema.optionalKey(Schema.Tuple([Schema.String, Schema.String])),
    pointing: Schema.optionalKey(Schema.Int),
  }),
);

// Plain maps, no record extension: any MessagePack reader must be able to show a message.
const packr = new Packr({ useRecords: false, variableMapSize: true });

export function pack(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** Throws on bytes that are no MessagePack; the caller turns that into a parked item. */
export function unpack(data: Uint8Array): unknown {
  return packr.unpack(data);
}

/** What an arrival, an announcement or a record was given, and nothing else of it. */
export const givenOf = ({ range, pointing }: Given): Given => ({
  ...(range === undefined ? {} : { range }),
  ...(pointing === undefined ? {} : { pointing }),
});

/** As a record keeps it: nothing where nothing was given. */
export const bodyGiven = (given: Given): Pick<FileBody, "given"> =>
  given.range === undefined && given.pointing === undefined ? {} : { given: givenOf(given) };

const arrivalFields: Fields<Arrival> = {
  v: true,
  bucket: true,
  key: true,
  etag: true,
  size: true,
  instrument: true,
  day: true,
  generation: true,
  via: true,
  receivedAt: true,
  event: true,
  range: true,
  pointing: true,
};

/** As a record keeps what another version wrote into the arrival: nothing where it is of this one. */
export const bodyBeyond = (arrival: Arrival): Pick<FileBody, "beyond"> => {
  const found = beyondMessage(arrival, arrivalFields);
  return found === null ? {} : { beyond: found };
};

/** @param beyond what another version wrote into it, when it came first */
export function encodeArrival(arrival: Omit<Arrival, "v">, beyond?: FileBody["beyond"]): Uint8Array {
  return beyond === undefined
    ? packr.pack({ v: recordVersion, ...arrival })
    : packr.pack({ ...beyond, v: recordVersion, ...arrival });
}

/** Null for bytes that are no arrival. */
export function decodeArrival(data: Uint8Array): Arrival | null {
  let value: unknown;
  try {
    value = packr.unpack(data);
  } catch {
    return null;
  }
  return isArrival(value) ? value : null;
}

/**
 * Printable ASCII for a header. What separates the parts of an id, and the escape itself, are escaped as well: two arrivals
 * that share an id by accident would be one, and the other lost.
 */
function idPart(text: string): string {
  return text.toWellFormed().replaceAll(/[^\x21-\x24\x26-\x3f\x41-\x7e]/gu, encodeURIComponent);
}

/**
 * Nats-Msg-Id of an arrival: the same content announced twice within the duplicate window is stored once. With an event it is the same
 * event that is stored once: content that comes back after other content is announced by another one.
 */
export function arrivalId(
  bucket: string,
  key: string,
  etag: string,
  sequencer: string,
  generation: number,
  event?: EventOrder,
): string {
  const content = etag === "" ? `@${idPart(sequencer)}` : idPart(etag);
  const when = event === undefined ? "" : `@${idPart(event.time ?? "")}@${idPart(event.sequencer ?? "")}`;
  return `${idPart(bucket)}/${idPart(key)}@${content}#${generation}${when}`;
}
