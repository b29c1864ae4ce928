/** Properties whose values are sent to something that takes several at once. */
import * as fc from "fast-check";

const atOnce = 8;

/** Runs the property over so many values; rejects with the first that does not have it, and the seed. */
export async function forAll<A>(
  of: fc.Arbitrary<A>,
  count: number,
  each: (value: A) => Promise<void>,
): Promise<void> {
  const { seed = Math.floor(Math.random() * 2 ** 31) } = fc.readConfigureGlobal();
  const values = fc.sample(of, { numRuns: count, seed });
  for (let at = 0; at < values.length; at += atOnce) {
    await Promise.all(
      values.slice(at, at + atOnce).map(async (value) => {
        try {
          await each(value);
        } catch (cause) {
          throw new Error(`seed ${seed}: ${JSON.stringify(value).slice(0, 600)}`, { cause });
        }
      }),
    );
  }
}
