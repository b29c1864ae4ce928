/** Five-field cron expressions, UTC: minute, hour, day of the month, month, day of the week. */

const fields: ReadonlyArray<readonly [name: string, min: number, max: number]> = [
  ["minute", 0, 59],
  ["hour", 0, 23],
  ["day of the month", 1, 31],
  ["month", 1, 12],
  ["day of the week", 0, 7],
];

/** What is wrong with an expression, in words; null for a good one. Names of months and days are not known. */
export function cronFault(text: string): string | null {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== fields.length) return `has ${parts.length} fields, not ${fields.length}`;
  for (const [index, [name, min, max]] of fields.entries()) {
    for (const item of (parts[index] ?? "").split(",")) {
      const found = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(item);
      if (found === null) return `its ${name} cannot be read: ${item}`;
      const [, from, to, step] = found;
      const first = Number(from ?? min);
      const last = Number(to ?? from ?? max);
      if (first < min || last > max || first > last)
        return `its ${name} must be from ${min} to ${max}: ${item}`;
      if (step !== undefined && Number(step) === 0) return `its ${name} has a step of 0`;
    }
  }
  return null;
}
