/** When a five-field cron expression comes next, UTC. */
import type { Instant } from "./instant.ts";
import { dayUs } from "./instant.ts";

interface Fields {
  readonly minutes: ReadonlyArray<number>;
  readonly hours: ReadonlyArray<number>;
  readonly daysOfMonth: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly daysOfWeek: ReadonlySet<number>;
  /** As cron has it: where both are said, a day that is either counts. */
  readonly eitherDay: boolean;
}

const minuteUs = 60_000_000;
/** 29 February on a given day of the week comes within this. */
const yearsMax = 41;

export class Schedule {
  readonly #fields: Fields;

  /** @param expression one that `cronFault` finds nothing wrong with */
  constructor(expression: string) {
    const [minute = "*", hour = "*", dayOfMonth = "*", month = "*", dayOfWeek = "*"] = expression
      .trim()
      .split(/\s+/);
    this.#fields = {
      minutes: numbersOf(minute, 0, 59),
      hours: numbersOf(hour, 0, 23),
      daysOfMonth: new Set(numbersOf(dayOfMonth, 1, 31)),
      months: new Set(numbersOf(month, 1, 12)),
      // Sunday is 0 and 7.
      daysOfWeek: new Set(numbersOf(dayOfWeek, 0, 7).map((day) => day % 7)),
      eitherDay: dayOfMonth !== "*" && dayOfWeek !== "*",
    };
  }

  /** The first time at or after an instant; null where it never comes (30 February). */
  atOrAfter(at: Instant): Instant | null {
    const first = Math.floor(at / dayUs) * dayUs;
    for (let day = first; day < first + yearsMax * 366 * dayUs; day += dayUs) {
      const found = this.#isDay(day) ? this.#within(day, at, false) : null;
      if (found !== null) return found;
    }
    return null;
  }

  /** The last time at or before an instant; null where there was none. */
  atOrBefore(at: Instant): Instant | null {
    const last = Math.floor(at / dayUs) * dayUs;
    for (let day = last; day > last - yearsMax * 366 * dayUs; day -= dayUs) {
      const found = this.#isDay(day) ? this.#within(day, at, true) : null;
      if (found !== null) return found;
    }
    return null;
  }

  #isDay(day: Instant): boolean {
    const date = new Date(day / 1_000);
    const { daysOfMonth, daysOfWeek, months, eitherDay } = this.#fields;
    if (!months.has(date.getUTCMonth() + 1)) return false;
    const ofMonth = daysOfMonth.has(date.getUTCDate());
    const ofWeek = daysOfWeek.has(date.getUTCDay());
    return eitherDay ? ofMonth || ofWeek : ofMonth && ofWeek;
  }

  #within(day: Instant, at: Instant, backwards: boolean): Instant | null {
    const { hours, minutes } = this.#fields;
    const times = hours.flatMap((hour) => minutes.map((minute) => day + (hour * 60 + minute) * minuteUs));
    return (backwards ? times.findLast((time) => time <= at) : times.find((time) => time >= at)) ?? null;
  }
}

function numbersOf(field: string, min: number, max: number): ReadonlyArray<number> {
  const found = new Set<number>();
  for (const item of field.split(",")) {
    const parts = /^(?:\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(item);
    if (parts === null) continue;
    const [, from, to, step] = parts;
    const first = Number(from ?? min);
    const last = Number(to ?? (step === undefined ? from : undefined) ?? max);
    for (let value = first; value <= last; value += Math.max(1, Number(step ?? 1))) found.add(value);
  }
  return [...found].sort((a, b) => a - b);
}
