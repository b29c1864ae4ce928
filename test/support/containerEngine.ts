/** The container engine (Docker, or one that speaks its API) of this machine, as testcontainers finds it. */
import type { ContainerRuntimeClient } from "testcontainers";

const answerMsMax = 5_000;

/** Rejects with `what` when it takes longer; what it waited for is left to itself. */
export async function within<A>(ms: number, what: string, promise: Promise<A>): Promise<A> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no end within ${ms / 1_000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects, within 0.3 s on a machine without one, when no engine answers. */
export async function containerEngine(): Promise<ContainerRuntimeClient> {
  // Loaded only where it is asked for: 0.2 s, which no native test should pay.
  const { getContainerRuntimeClient } = await import("testcontainers");
  return within(answerMsMax, "the container engine", getContainerRuntimeClient());
}

/** Why there is none, or null when one answers. */
export async function engineMissing(): Promise<string | null> {
  try {
    await containerEngine();
    return null;
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}
