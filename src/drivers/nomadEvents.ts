/**
 * Nomad's event stream, as a bell for those who wait for a job: something happened to it, look again. One stream for all, open while
 * somebody waits. It is a wake-up and no truth: what came while it was cut is not asked for again; whoever waits is woken at each
 * new connection instead, and looks from time to time anyway.
 */
import { createInterface } from "node:readline";
import { nomadEventBytesMax, nomadReconnectMs } from "../limits.ts";
import type { NomadApi } from "./nomadApi.ts";

interface EventLine {
  readonly Index?: number;
  readonly Events?: ReadonlyArray<{
    readonly Key?: string;
    readonly FilterKeys?: ReadonlyArray<string> | null;
  }> | null;
}

export class NomadEvents {
  readonly #api: NomadApi;
  readonly #waiting = new Map<string, () => void>();
  #stream: AbortController | null = null;
  #up = false;

  constructor(api: NomadApi) {
    this.#api = api;
  }

  /** While it is not, whoever waits must ask Nomad itself to wait. */
  get isUp(): boolean {
    return this.#up;
  }

  /** `wake` is called for whatever happens to the job. Returns the end of it. */
  listen(job: string, wake: () => void): () => void {
    this.#waiting.set(job, wake);
    if (this.#stream === null) {
      this.#stream = new AbortController();
      void this.#follow(this.#stream.signal);
    }
    return () => {
      this.#waiting.delete(job);
      if (this.#waiting.size > 0) return;
      this.#stream?.abort();
      this.#stream = null;
      this.#up = false;
    };
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const stream = await this.#api.events(signal);
        this.#up = true;
        this.#ring(null);
        await this.#read(stream, signal);
      } catch {
        // Away, or not allowed: whoever waits asks for itself.
      }
      if (signal.aborted) return;
      this.#up = false;
      this.#ring(null);
      await new Promise((resolve) => setTimeout(resolve, nomadReconnectMs));
    }
  }

  async #read(stream: NodeJS.ReadableStream, signal: AbortSignal): Promise<void> {
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      const at = chunk.lastIndexOf(10);
      bytes = at === -1 ? bytes + chunk.length : chunk.length - at;
      if (bytes > nomadEventBytesMax) (stream as unknown as { destroy(): void }).destroy();
    });
    for await (const line of createInterface({ input: stream })) {
      if (signal.aborted) return;
      const { Events } = JSON.parse(line) as EventLine;
      for (const { Key, FilterKeys } of Events ?? []) {
        for (const job of [Key ?? "", ...(FilterKeys ?? [])]) this.#ring(job);
      }
    }
  }

  #ring(job: string | null): void {
    if (job !== null) return this.#waiting.get(job)?.();
    for (const wake of this.#waiting.values()) wake();
  }
}
