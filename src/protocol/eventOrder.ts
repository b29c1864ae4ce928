/** Which of two events on one object is the newer, as far as their store says. Notifications may come late, twice, and in any order. */

/** What a store says of when an event was; absent where it does not. */
export interface EventOrder {
  /** ISO 8601, by the store's clock. */
  readonly time?: string;
  readonly sequencer?: string;
}

export type Order = "newer" | "older" | "unknown";

export function eventOrder(time: string, sequencer: string): EventOrder | undefined {
  if (time === "" && sequencer === "") return undefined;
  return { ...(time === "" ? {} : { time }), ...(sequencer === "" ? {} : { sequencer }) };
}

const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?Z$/;

/** As text that sorts like the time, to the nanosecond: Ceph tells microseconds. Null for what is no such time. */
function sortable(time: string | undefined): string | null {
  const parts = time === undefined ? null : iso.exec(time);
  return parts === null || time === undefined ? null : time.slice(0, 19) + (parts[1] ?? "").padEnd(9, "0");
}

/**
 * The times decide where they differ. Sequencers only break a tie, by AWS's rule (the shorter is filled up with zeros at its
 * right, then as text): Ceph writes the bytes of its clock from the lowest to the highest, which sorts as nothing.
 */
export function orderOf(event: EventOrder | undefined, than: EventOrder | undefined): Order {
  if (event === undefined || than === undefined) return "unknown";
  const [a, b] = [sortable(event.time), sortable(than.time)];
  if (a !== null && b !== null && a !== b) return a > b ? "newer" : "older";
  const [x, y] = [event.sequencer, than.sequencer];
  if (x === undefined || y === undefined) return "unknown";
  const length = Math.max(x.length, y.length);
  const [left, right] = [x.toUpperCase().padEnd(length, "0"), y.toUpperCase().padEnd(length, "0")];
  return left === right ? "unknown" : left > right ? "newer" : "older";
}
