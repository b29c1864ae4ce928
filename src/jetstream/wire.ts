/** Wire facts of JetStream hidden behind names: headers, acknowledgements, error codes. */
import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import {
  JetStreamRejected,
  NatsUnavailable,
  TransactionBusy,
  TransactionConflict,
  TransactionDuplicate,
} from "../protocol/errors.ts";
import type { JetStreamError } from "../protocol/errors.ts";

const decoder = new TextDecoder();

/**
 * Headers already in wire form. The client's own header object validates and copies each value (about 3 µs apiece, a third
 * of a settle's processor time); here every value is a number or an id that this program made.
 */
export function wireHeaders(lines: string): MsgHdrs {
  const bytes = Buffer.from(`NATS/1.0\r\n${lines}\r\n`);
  return { encode: () => bytes } as unknown as MsgHdrs;
}

/**
 * "" where there is none. The server stores headers as they are sent, and the client throws at some: in a subscription's callback that
 * would leave the whole connection deaf. What cannot be read says nothing.
 */
export function headerOf(message: { readonly headers?: MsgHdrs | undefined }, name: string): string {
  try {
    return message.headers?.get(name) ?? "";
  } catch {
    // No header that a client of ours wrote.
    return "";
  }
}

interface PubAck {
  readonly seq: number;
  readonly duplicate: boolean;
}

/** Errors whose codes decide what to do next; the rest are rejections to be read by a person. */
const code = {
  wrongLastSequence: 10071,
  wrongLastSequenceConstant: 10164,
  batchIncomplete: 10176,
  batchDuplicateMessage: 10201,
  batchTooManyInFlight: 10210,
  clusterNotAvailable: 10008,
  notEnoughPeers: 10074,
} as const;

/** Resources of the account, the server, its memory and its storage; and a store that failed, which says so of a full disk as well. */
const withoutRoom: ReadonlySet<number> = new Set([10002, 10023, 10028, 10047, 10077]);

/** True where the server had no room for it: as when it is away, that is nobody's fault, and passes. */
export const wantsRoom = (error: JetStreamError): boolean =>
  error._tag === "JetStreamRejected" && withoutRoom.has(error.code);

export function errorOfCode(operation: string, errCode: number, detail: string): JetStreamError {
  switch (errCode) {
    case code.wrongLastSequence:
    case code.wrongLastSequenceConstant:
      return new TransactionConflict({ code: errCode, detail });
    case code.batchDuplicateMessage:
      return new TransactionDuplicate({ detail });
    case code.batchIncomplete:
    case code.batchTooManyInFlight:
    case code.clusterNotAvailable:
    case code.notEnoughPeers:
      return new TransactionBusy({ code: errCode, detail });
    default:
      return new JetStreamRejected({ operation, code: errCode, detail });
  }
}

/** Reads a publish acknowledgement; an error in it comes back as a typed error. */
export function readPubAck(operation: string, message: Msg): PubAck | JetStreamError {
  const parsed = JSON.parse(decoder.decode(message.data)) as {
    readonly seq?: number;
    readonly duplicate?: boolean;
    readonly error?: {
      readonly code?: number;
      readonly err_code?: number;
      readonly description?: string;
    };
  };
  if (parsed.error !== undefined) {
    return errorOfCode(operation, parsed.error.err_code ?? 0, parsed.error.description ?? "");
  }
  return { seq: parsed.seq ?? 0, duplicate: parsed.duplicate === true };
}

/** Turns whatever the client throws into the one error that says "no answer". */
export function unavailable(operation: string): (cause: unknown) => NatsUnavailable {
  return (cause) => {
    const name = cause instanceof Error ? cause.name : "unknown";
    const detail = cause instanceof Error ? cause.message : String(cause);
    return new NatsUnavailable({
      operation,
      detail: detail.startsWith(name) ? detail : `${name}: ${detail}`,
    });
  };
}

export interface DeliveryInfo {
  readonly deliveries: number;
  readonly sequence: number;
  readonly pending: number;
}

/** Reads `$JS.ACK.[domain.account.]stream.consumer.delivered.sseq.cseq.time.pending[.token]`. */
export function readAckSubject(reply: string): DeliveryInfo | null {
  const parts = reply.split(".");
  const at = parts.length === 9 ? 4 : parts.length >= 11 ? 6 : -1;
  if (at < 0 || parts[0] !== "$JS" || parts[1] !== "ACK") return null;
  const deliveries = Number(parts[at]);
  const sequence = Number(parts[at + 1]);
  const pending = Number(parts[at + 4]);
  return Number.isSafeInteger(deliveries) && Number.isSafeInteger(sequence)
    ? { deliveries, sequence, pending }
    : null;
}
