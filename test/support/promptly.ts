/** Times that are judged: only where the machine had time for what is measured. */
import { availableParallelism, loadavg } from "node:os";

const tickMs = 20;
/** A timer that comes so late tells of a machine that stood still, or gave this process no time. */
const lateMsMax = 150;

/**
 * Rejects when the work takes longer than `limitMs` on a machine that had time for it. Where more programs want a core than there are
 * cores, or nothing ran for a while, no time says anything: there the work has to end, as it does at its own deadline, and no more.
 */
export async function promptly<A>(what: string, limitMs: number, work: () => Promise<A>): Promise<A> {
  const began = performance.now();
  let [last, lateMs] = [began, 0];
  const look = (): void => {
    const now = performance.now();
    lateMs = Math.max(lateMs, now - last - tickMs);
    last = now;
  };
  const timer = setInterval(look, tickMs);
  try {
    const result = await work();
    look();
    const tookMs = performance.now() - began;
    const isSteady = lateMs <= lateMsMax && (loadavg()[0] ?? 0) <= availableParallelism();
    if (isSteady && tookMs > limitMs)
      throw new Error(`${what} took ${Math.round(tookMs)} ms, and may take ${limitMs} ms`);
    return result;
  } finally {
    clearInterval(timer);
  }
}
