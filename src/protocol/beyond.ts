/**
 * Fields that this program does not know, because a newer one wrote them. Whoever rewrites what it has read keeps them, so that nodes of
 * neighbouring versions can work on the same records. Pure.
 */
import { beyondCharsMax } from "../limits.ts";

type FieldOf<A> = A extends unknown ? keyof A : never;

/** Every field that a type has, or one of its alternatives: a field that is added and not named here does not compile. */
export type Fields<A> = Readonly<Record<FieldOf<A>, true>>;

/** What of the value is none of the fields; null where nothing is, which is nearly always. */
export function beyond(
  value: object,
  fields: Readonly<Record<string, true>>,
): Readonly<Record<string, unknown>> | null {
  let found: Record<string, unknown> | null = null;
  // Without a list of its own: it is asked of each arrival.
  for (const name in value) {
    // As a name `__proto__` would set the prototype.
    if (fields[name] === true || name === "__proto__" || !Object.hasOwn(value, name)) continue;
    found ??= {};
    found[name] = (value as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}

/**
 * As {@link beyond}, of a message: null also for what no record could hold. Messages come from whoever may publish them, and may carry
 * anything that MessagePack has.
 */
export function beyondMessage(
  value: object,
  fields: Readonly<Record<string, true>>,
): Readonly<Record<string, unknown>> | null {
  const found = beyond(value, fields);
  if (found === null) return null;
  try {
    const text = JSON.stringify(found);
    return text.length > beyondCharsMax ? null : (JSON.parse(text) as Record<string, unknown>);
  } catch {
    // A number of 64 bits, say: no record could hold it, so nothing of it is kept.
    return null;
  }
}
