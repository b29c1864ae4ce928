/** What the ledger says of a mission, as it happens: its files and how each job stands with each partition. Counts records, never events. */
import type { Change } from "../jetstream/follower.ts";
import type { DatasetFacts, FileBody, LedgerRecord, State } from "../protocol/records.ts";
import { decodeRecord } from "../protocol/records.ts";
import type { JobRecord } from "../protocol/jobs.ts";
import { decodeJob } from "../protocol/jobs.ts";

export interface SeenFile {
  readonly key: string;
  readonly bucket: string;
  readonly objectKey: string;
  readonly state: State;
  readonly facts: DatasetFacts | null;
  /** Last error of one that is parked. */
  readonly error: string | null;
}

export const missionKeys = (lane: string): ReadonlyArray<string> => [`file.${lane}.>`, "job.>"];

export class MissionPicture {
  /** By ledger key. */
  readonly jobs = new Map<string, JobRecord>();
  /** By name, without folders. */
  readonly files = new Map<string, SeenFile>();
  readonly #began = performance.now();
  #changedAt = performance.now();

  /** Milliseconds since it began. */
  now(): number {
    return performance.now() - this.#began;
  }

  /** For how long nothing has changed, ms. */
  quietFor(): number {
    return performance.now() - this.#changedAt;
  }

  /** Takes one change of the ledger, in order. */
  learn({ key, data, ended }: Change): void {
    if (ended) return;
    this.#changedAt = performance.now();
    if (key.startsWith("job.")) this.jobs.set(key, decodeJob(key, data));
    else this.#learnFile(key, decodeRecord<FileBody>(key, data));
  }

  #learnFile(key: string, { state, body, errors }: LedgerRecord<FileBody>): void {
    const name = body.key.slice(body.key.lastIndexOf("/") + 1);
    const last = errors.at(-1);
    this.files.set(name, {
      key,
      bucket: body.bucket,
      objectKey: body.key,
      state,
      facts: body.dataset ?? null,
      error: last === undefined ? null : `${last.reason}: ${last.detail}`,
    });
  }

  isKnown(name: string): boolean {
    return this.files.get(name)?.state === "known";
  }

  /** Known, or given up on. */
  isSettled(name: string): boolean {
    const file = this.files.get(name);
    return file?.state === "known" || file?.state === "parked";
  }

  /** Whether something is about to be made, or being made. */
  isActive(): boolean {
    for (const { state } of this.jobs.values()) if (state === "ready" || state === "running") return true;
    return false;
  }
}
