/**
 * The files of one try of a run: its scratch folder, the inputs brought into it, and its outputs taken out into their buckets.
 *
 * Outputs are all there or none is published. An object that already holds an output's content is left as it is, so
 * that a run which is done again announces the same content and nobody takes it for a change.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { otherSiteAgainMs, runStagedAtOnceMax, runStorageTriesMax } from "../limits.ts";
import type { RunInput, RunOutput } from "../protocol/runs.ts";
import type { StorageError } from "../storage/errors.ts";
import type { StorageDriver } from "../storage/Storage.ts";
import { SystemFailure } from "./claims.ts";
import { NotNow } from "./NotNow.ts";
import type { ExpectedOutput } from "./runJob.ts";

/**
 * This try is over: for now, or (permanent) for good, or (not-yet) with its run, and the partition is blocked again. What it says is
 * kept in the run's record.
 */
export class RunFailed extends Schema.TaggedError<RunFailed>()("RunFailed", {
  class: Schema.Literals(["transient", "permanent", "not-yet"]),
  reason: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.reason}: ${this.detail}`;
  }
}

/** The storage of a bucket's objects, of another site's where one is named; null for a bucket whose bytes nobody here can read. */
export type StorageOf = (bucket: string, site?: string) => StorageDriver | null;

/** Absolute paths. */
export interface Scratch {
  readonly root: string;
  /** The command's working directory unless its job names another. */
  readonly work: string;
  readonly inputs: string;
  readonly outputs: string;
  readonly temporary: string;
  /** What `ORRERY_INPUTS` names, and `ORRERY_EXPECTED`. */
  readonly manifest: string;
  readonly expected: string;
  readonly log: string;
}

/** What is in the scratch folder, and what lies elsewhere on this disk. */
export interface Staged {
  /** Text of the manifest. */
  readonly manifest: string;
  /** Folders outside the scratch folder from which inputs are read. */
  readonly reads: ReadonlyArray<string>;
}

/** What the command is told of one input. `path` is absent where this node cannot read the bucket's bytes. */
interface ManifestEntry extends RunInput {
  readonly path?: string;
}

const disk = <A>(what: string, call: () => Promise<A>): Effect.Effect<A, SystemFailure> =>
  Effect.tryPromise({
    try: call,
    catch: (cause) => new SystemFailure({ what: `the disk (${what})`, detail: String(cause) }),
  });

export const makeScratch = (root: string): Effect.Effect<Scratch, SystemFailure> =>
  disk("make the scratch folder of a run", async () => {
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
    const scratch: Scratch = {
      root,
      work: join(root, "work"),
      inputs: join(root, "inputs"),
      outputs: join(root, "outputs"),
      temporary: join(root, "tmp"),
      manifest: join(root, "inputs.json"),
      expected: join(root, "outputs.json"),
      log: join(root, "log"),
    };
    for (const folder of [scratch.work, scratch.inputs, scratch.outputs, scratch.temporary]) {
      await mkdir(folder, { recursive: true });
    }
    return scratch;
  });

/** The failure of a store, as what it means for a run. */
const storageFault =
  (missing: string) =>
  (error: StorageError): RunFailed | SystemFailure => {
    const failed = (kind: RunFailed["class"], reason: string): RunFailed =>
      new RunFailed({ class: kind, reason, detail: error.message });
    switch (error._tag) {
      case "StorageUnavailable":
        return new SystemFailure({ what: "the storage", detail: error.message });
      case "ObjectMissing":
        return failed("permanent", missing);
      case "AccessDenied":
      case "ObjectChanged":
        return failed("transient", error._tag);
      default:
        return failed("permanent", error._tag);
    }
  };

/**
 * The same of another site's storage. While it is away, as when the way there is cut, whatever needs nothing of it goes on. What is
 * not there may come, or be withdrawn, or the site file is wrong: no try of this run would do better until something of that changes.
 */
const otherSiteFault =
  ({ site = "", bucket, key }: RunInput) =>
  (error: StorageError): RunFailed | NotNow =>
    error._tag === "StorageUnavailable"
      ? new NotNow({ detail: `storage of site ${site}: ${error.message}`, againMs: otherSiteAgainMs })
      : new RunFailed({
          class: "not-yet",
          reason: "InputElsewhere",
          detail:
            `site ${site} is to have ${bucket}/${key}, and it cannot be read: ${error.message}. ` +
            `If the storage under filesOf.sites.${site} is the wrong one, mend the site file and make the partition anew with orrery retry`,
        });

/** A store that is away for a moment must not cost hours of computing. */
const patiently = <A, E extends { readonly _tag: string }>(
  effect: Effect.Effect<A, E>,
): Effect.Effect<A, E> =>
  Effect.retry(effect, {
    times: runStorageTriesMax - 1,
    while: (error: E) => error._tag === "StorageUnavailable",
    schedule: Schedule.exponential("500 millis"),
  });

/** Brings the inputs in and writes their manifest, a JSON array in the order of the run's record, and that of the outputs. */
export const stageInputs = Effect.fnUntraced(function* (
  scratch: Scratch,
  inputs: ReadonlyArray<RunInput>,
  outputs: ReadonlyArray<ExpectedOutput>,
  storageOf: StorageOf,
) {
  const entries = yield* Effect.forEach(
    inputs,
    (input, index): Effect.Effect<ManifestEntry, RunFailed | SystemFailure | NotNow> => {
      const storage = storageOf(input.bucket, input.site);
      if (storage === null) return input.site === undefined ? Effect.succeed(input) : noStorageOf(input);
      return Effect.map(stage(scratch, input, index, storage), (path) => ({ ...input, path }));
    },
    { concurrency: runStagedAtOnceMax },
  );
  const manifest = `${JSON.stringify(entries, null, 1)}\n`;
  const expected = outputs.map(({ name, dataset }) => ({ name, dataset, path: join(scratch.outputs, name) }));
  yield* disk("write the manifests of a run", async () => {
    await writeFile(scratch.manifest, manifest);
    await writeFile(scratch.expected, `${JSON.stringify(expected, null, 1)}\n`);
  });
  const folders = entries.flatMap(({ path }) =>
    path === undefined || path.startsWith(scratch.root) ? [] : [dirname(path)],
  );
  return { manifest, reads: [...new Set(folders)] } satisfies Staged;
});

const stage = (scratch: Scratch, input: RunInput, index: number, storage: StorageDriver) => {
  const fault = input.site === undefined ? storageFault("InputMissing") : otherSiteFault(input);
  return bringIn(scratch, input, index, storage).pipe(
    Effect.mapError((error) => (error._tag === "SystemFailure" ? error : fault(error))),
  );
};

const bringIn = Effect.fnUntraced(function* (
  scratch: Scratch,
  { bucket, key, site }: RunInput,
  index: number,
  storage: StorageDriver,
) {
  // Nobody waits here for another site: the worker has others' runs to do meanwhile.
  const patient = site === undefined ? patiently : <A, E>(effect: Effect.Effect<A, E>) => effect;
  if (storage.kind === "file") {
    // It is on this disk already: the command reads it where it lies, and must not write there.
    yield* patient(storage.head(bucket, key));
    return fileURLToPath(storage.uri(bucket, key));
  }
  const folder = join(scratch.inputs, String(index));
  const path = join(folder, fileNameOf(key));
  yield* disk("make a folder for an input", () => mkdir(folder, { recursive: true }));
  yield* patient(download(storage, bucket, key, path));
  return path;
});

const noStorageOf = ({ site = "", bucket, key }: RunInput): Effect.Effect<never, RunFailed> =>
  Effect.fail(
    new RunFailed({
      class: "not-yet",
      reason: "InputElsewhere",
      detail:
        `only site ${site} has ${bucket}/${key}, and this node's site file names no storage for it: ` +
        `add filesOf.sites.${site}, and make the partition anew with orrery retry`,
    }),
  );

const download = (storage: StorageDriver, bucket: string, key: string, path: string) =>
  Effect.acquireUseRelease(
    disk("write an input", () => open(path, "w")),
    (file) =>
      Stream.runForEach(storage.stream(bucket, key), (chunk) =>
        disk("write an input", () => file.writeFile(chunk)),
      ),
    (file) => Effect.promise(() => file.close().catch(() => undefined)),
  );

const fileNameMax = 200;

/** The last part of an object's key, as far as a file system takes it. */
function fileNameOf(key: string): string {
  const last = key.slice(key.lastIndexOf("/") + 1).replaceAll("\0", "_");
  const bytes = Buffer.from(last);
  const name = bytes.length <= fileNameMax ? last : bytes.subarray(-fileNameMax).toString("latin1");
  return name === "" || name === "." || name === ".." ? "input" : name;
}

/** The names of declared outputs that the command did not leave as files. */
export const missingOutputs = (
  scratch: Scratch,
  outputs: ReadonlyArray<ExpectedOutput>,
): Effect.Effect<ReadonlyArray<string>, SystemFailure> =>
  disk("look at the outputs of a run", async () => {
    const missing: Array<string> = [];
    for (const output of outputs) {
      const isFile = await stat(join(scratch.outputs, output.name)).then(
        (about) => about.isFile(),
        (cause: unknown) => {
          if ((cause as NodeJS.ErrnoException).code === "ENOENT") return false;
          throw cause;
        },
      );
      if (!isFile) missing.push(output.name);
    }
    return missing;
  });

/** Puts every output into its bucket. Called again for the same files it writes nothing anew. */
export const publishOutputs = (
  scratch: Scratch,
  outputs: ReadonlyArray<ExpectedOutput>,
  storageOf: StorageOf,
): Effect.Effect<ReadonlyArray<RunOutput>, RunFailed | SystemFailure> =>
  Effect.forEach(outputs, ({ name, bucket, key }) => {
    const storage = storageOf(bucket);
    if (storage === null) {
      return Effect.fail(
        new RunFailed({
          class: "permanent",
          reason: "NoStorage",
          detail: `output ${name}: this site has no storage for bucket ${bucket}`,
        }),
      );
    }
    return Effect.map(publish(storage, bucket, key, join(scratch.outputs, name)), ({ etag, size }) => ({
      name,
      bucket,
      key,
      etag,
      size,
    }));
  });

const publish = Effect.fnUntraced(
  function* (storage: StorageDriver, bucket: string, key: string, path: string) {
    const { size } = yield* disk("look at an output", () => stat(path));
    const there = yield* patiently(storage.head(bucket, key)).pipe(
      Effect.catchTag("ObjectMissing", () => Effect.succeed(null)),
    );
    if (there !== null && there.size === size && (yield* isSame(storage, bucket, key, path))) {
      return { etag: there.etag, size };
    }
    return yield* patiently(
      Effect.suspend(() => storage.write(bucket, key, { size, chunks: createReadStream(path) })),
    );
  },
  Effect.mapError((error) => (error._tag === "SystemFailure" ? error : storageFault("OutputGone")(error))),
);

const isSame = Effect.fnUntraced(function* (
  storage: StorageDriver,
  bucket: string,
  key: string,
  path: string,
) {
  const there = createHash("sha256");
  yield* Stream.runForEach(storage.stream(bucket, key), (chunk) => Effect.sync(() => there.update(chunk)));
  const here = createHash("sha256");
  yield* disk("read an output", async () => {
    for await (const chunk of createReadStream(path)) here.update(chunk as Uint8Array);
  });
  return there.digest("hex") === here.digest("hex");
});

/** Whether the objects of an earlier try still stand as they were published. */
export const stillStand = (
  outputs: ReadonlyArray<RunOutput>,
  storageOf: StorageOf,
): Effect.Effect<boolean, RunFailed | SystemFailure> =>
  Effect.forEach(outputs, ({ bucket, key, etag }) => {
    const storage = storageOf(bucket);
    if (storage === null) return Effect.succeed(false);
    return patiently(storage.head(bucket, key)).pipe(
      Effect.map((info) => info.etag === etag),
      Effect.catchTag("ObjectMissing", () => Effect.succeed(false)),
      Effect.mapError(storageFault("OutputGone")),
    );
  }).pipe(Effect.map((all) => all.every(Boolean)));
