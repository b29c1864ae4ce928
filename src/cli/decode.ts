/**
 * `orrery decode`: one message of Orrery's streams as JSON, for `nats stream view --translate`. The nats CLI runs it once
 * a message, so this imports next to nothing.
 */
import { Unpackr } from "msgpackr";

export type Decoded =
  | { readonly ok: true; readonly values: ReadonlyArray<unknown> }
  | { readonly ok: false; readonly text: string }
  | { readonly ok: null; readonly why: string };

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// Integers beyond 2^53 come as bigint and are written out whole.
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

function textOf(data: Uint8Array): string | null {
  try {
    return utf8.decode(data);
  } catch {
    // Not UTF-8: no text, and so no JSON.
    return null;
  }
}

function jsonOf(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    // Not JSON: something else is tried.
    return null;
  }
}

function linesOf(text: string): ReadonlyArray<unknown> | null {
  const values: Array<unknown> = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const json = jsonOf(line);
    if (json === null) return null;
    values.push(json.value);
  }
  return values.length === 0 ? null : values;
}

function packedOf(data: Uint8Array): ReadonlyArray<unknown> | string {
  try {
    const values: Array<unknown> = [];
    unpackr.unpackMultiple(data, (value: unknown) => {
      values.push(value);
    });
    return values;
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

/** Maps, lists and long text: what a program packs. A lone small number is what a text looks like to MessagePack. */
const isContainer = (value: unknown): boolean => typeof value === "object" && value !== null;

// oxlint-disable-next-line no-control-regex
const isReadable = (text: string): boolean => !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text);

/** JSON stays, MessagePack is decoded (one value or several in a row), text is text. */
export function decodeBytes(data: Uint8Array): Decoded {
  if (data.length === 0) return { ok: true, values: [] };
  const text = textOf(data);
  if (text !== null) {
    const json = jsonOf(text);
    if (json !== null) return { ok: true, values: [json.value] };
    const lines = linesOf(text);
    if (lines !== null) return { ok: true, values: lines };
  }
  const packed = packedOf(data);
  const isList = typeof packed !== "string";
  if (isList && packed.every(isContainer)) return { ok: true, values: packed };
  if (text !== null && isReadable(text)) return { ok: false, text };
  // Any byte begins some MessagePack value: a row of lone ones is more likely nothing of the kind.
  if (isList && packed.length === 1) return { ok: true, values: packed };
  const why = isList ? `it would be ${packed.length} lone values` : packed;
  const first = Buffer.from(data.subarray(0, 16)).toString("hex");
  return {
    ok: null,
    why: `${data.length} bytes that are neither MessagePack (${why}) nor JSON nor text; they begin with ${first}`,
  };
}

function plain(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") {
    return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER
      ? Number(value)
      : value.toString();
  }
  if (value instanceof Uint8Array) return `base64:${Buffer.from(value).toString("base64")}`;
  // A Buffer has a toJSON, which ran before this.
  if (isBufferJson(value)) return `base64:${Buffer.from(value.data).toString("base64")}`;
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value;
}

function isBufferJson(value: unknown): value is { readonly data: ReadonlyArray<number> } {
  return (
    typeof value === "object" &&
    value !== null &&
    "type" in value &&
    value.type === "Buffer" &&
    "data" in value &&
    Array.isArray(value.data)
  );
}

/** @param compact one line a value, for programs; else indented, for people */
export function renderValue(value: unknown, compact: boolean): string {
  return `${JSON.stringify(value, plain, compact ? 0 : 2) ?? "null"}\n`;
}

export const decodeBytesMax = 64 * 1_048_576;

/** @returns the exit code */
export async function decode(
  io: {
    readonly out: (text: string) => void;
    readonly err: (text: string) => void;
    readonly readStdin: (bytesMax: number) => Promise<Uint8Array>;
  },
  options: { readonly json: boolean },
): Promise<number> {
  const data = await io.readStdin(decodeBytesMax);
  const decoded = decodeBytes(data);
  if (decoded.ok === null) {
    io.err(`orrery decode: ${decoded.why}\n`);
    return 1;
  }
  if (!decoded.ok) {
    io.out(options.json ? `${JSON.stringify(decoded.text)}\n` : `${decoded.text.trimEnd()}\n`);
    return 0;
  }
  for (const value of decoded.values) io.out(renderValue(value, options.json));
  return 0;
}
