/** Waiting for what is looked for again and again. */

/** Looking again would not help. */
export class Hopeless extends Error {}

/**
 * What `look` finds, as soon as it finds something. A look that fails, as one that a machine with much to do lets run out, is one that
 * has found nothing. Rejects after `ms`, with why the last look failed, and at once with what is {@link Hopeless}.
 */
export async function within<A>(
  what: string,
  ms: number,
  look: () => Promise<A | null>,
  everyMs = 200,
): Promise<A> {
  const end = performance.now() + ms;
  for (;;) {
    let failed: unknown = null;
    const found = await look().catch((cause: unknown) => {
      if (cause instanceof Hopeless) throw cause;
      failed = cause;
      return null;
    });
    if (found !== null) return found;
    if (performance.now() > end) {
      const why = failed instanceof Error ? `: ${failed.message}` : "";
      throw new Error(`${what}: not within ${ms / 1_000} s${why}`, { cause: failed });
    }
    await new Promise((done) => setTimeout(done, everyMs));
  }
}
