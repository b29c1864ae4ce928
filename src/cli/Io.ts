/** The terminal as a service: handed in, so that tests can listen. */
import * as Context from "effect/Context";
import type { IoService } from "./terminal.ts";

export class Io extends Context.Service<Io, IoService>()("orrery/cli/Io") {}

export type { IoService } from "./terminal.ts";

export function say(io: IoService, line: string): void {
  io.out.write(`${line}\n`);
}

export function tell(io: IoService, line: string): void {
  io.err.write(`${line}\n`);
}

/** One JSON document, indented: both people and programs read it. */
export function sayJson(io: IoService, value: unknown): void {
  io.out.write(`${JSON.stringify(value, null, 2)}\n`);
}
