/** Preloaded into a process whose machine's clock is to be off by TEST_CLOCK_OFF_MS. Its monotonic clock runs as ever. */
const offMs = Number(process.env["TEST_CLOCK_OFF_MS"] ?? 0);
const RightDate = Date;
const rightNow = Date.now.bind(Date);

class OffDate extends RightDate {
  constructor(...given: ReadonlyArray<unknown>) {
    if (given.length === 0) super(rightNow() + offMs);
    // As it was given: a number, a text, another date, or year, month and so on.
    else super(...(given as [number]));
  }

  static override now(): number {
    return rightNow() + offMs;
  }
}

Object.defineProperty(globalThis, "Date", { value: OffDate, configurable: true, writable: true });
Object.defineProperty(performance, "timeOrigin", { value: performance.timeOrigin + offMs });
