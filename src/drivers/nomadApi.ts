/** The few questions that the nomad driver asks Nomad's HTTP API. */
import { readFile } from "node:fs/promises";
import { request as overHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as overHttps } from "node:https";
import type { Readable } from "node:stream";
import * as Schema from "effect/Schema";
import { nomadAnswerBytesMax, nomadAnswerMs } from "../limits.ts";

export interface NomadAddress {
  /** `http://…`, `https://…`, or `unix:/path` of a socket, as a task finds its agent. */
  readonly address: string;
  /** Read for every question: Nomad renews what is in it. */
  readonly tokenFile: string | null;
  readonly namespace: string;
}

/** Nomad does not answer, or refuses. `status` is its HTTP status, 0 for no answer. */
export class NomadRefused extends Schema.TaggedError<NomadRefused>()("NomadRefused", {
  what: Schema.String,
  status: Schema.Number,
  detail: Schema.String,
}) {
  override get message(): string {
    return `Nomad, asked to ${this.what}: ${this.status === 0 ? "" : `${this.status} `}${this.detail}`;
  }

  /** The same question may be answered later. Nomad says 500 also of what it will never do. */
  get passes(): boolean {
    if (this.status === 0 || this.status === 429 || this.status > 500) return true;
    return (
      this.status === 500 && !/not found|not a parameterized|is stopped|payload|metadata/i.test(this.detail)
    );
  }
}

interface Question {
  readonly what: string;
  readonly method: "GET" | "PUT" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | ReadonlyArray<string>>>;
  readonly body?: unknown;
  /** How much longer than usual its answer may take: a blocking query. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

export interface Allocation {
  readonly ID: string;
  readonly ClientStatus: string;
  readonly TaskStates: Readonly<Record<string, TaskState>> | null;
}

interface TaskState {
  readonly Events: ReadonlyArray<{
    readonly Type: string;
    readonly ExitCode?: number;
    readonly DisplayMessage?: string;
  }> | null;
}

export interface JobState {
  /** `pending`, `running`, `dead`; `gone` where Nomad knows of no such job (any more). */
  readonly status: "pending" | "running" | "dead" | "gone";
  /** For the next blocking question. */
  readonly index: number;
}

interface JobAnswer {
  readonly ID: string;
  readonly Status: "pending" | "running" | "dead";
}

export class NomadApi {
  readonly #of: NomadAddress;

  constructor(of: NomadAddress) {
    this.#of = of;
  }

  /** The same token gives the same job, for as long as Nomad remembers that. Resolves to its id. */
  async dispatch(
    job: string,
    token: string,
    payload: string,
    meta: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<string> {
    const answer = await this.#json({
      what: `dispatch ${job}`,
      method: "PUT",
      path: `/v1/job/${encodeURIComponent(job)}/dispatch`,
      query: { idempotency_token: token },
      body: { Payload: Buffer.from(payload).toString("base64"), Meta: meta, IdPrefixTemplate: payload },
      signal,
    });
    return (answer.value as { readonly DispatchedJobID: string }).DispatchedJobID;
  }

  /** `index`: of the state that is known; then it answers when there is another, or after `waitMs`. 0: at once. */
  async job(id: string, index: number, waitMs: number, signal: AbortSignal): Promise<JobState> {
    try {
      const { value, index: now } = await this.#json({
        what: `tell of job ${id}`,
        method: "GET",
        path: `/v1/job/${encodeURIComponent(id)}`,
        ...(index === 0 ? {} : { query: { index, wait: `${waitMs}ms` }, waitMs }),
        signal,
      });
      // As Nomad's documentation asks: an index that went back is begun with anew.
      return { status: (value as JobAnswer).Status, index: now < index ? 0 : now };
    } catch (cause) {
      if (cause instanceof NomadRefused && cause.status === 404) return { status: "gone", index: 0 };
      throw cause;
    }
  }

  async allocations(id: string): Promise<ReadonlyArray<Allocation>> {
    const path = `/v1/job/${encodeURIComponent(id)}/allocations`;
    const { value } = await this.#json({ what: `list what ran of ${id}`, method: "GET", path });
    return value as ReadonlyArray<Allocation>;
  }

  /** Ends it, and does not wait until it has ended. Of a job that is gone it is nothing. */
  async stop(id: string): Promise<void> {
    const path = `/v1/job/${encodeURIComponent(id)}`;
    try {
      await this.#json({ what: `stop ${id}`, method: "DELETE", path });
    } catch (cause) {
      if (!(cause instanceof NomadRefused) || cause.status !== 404) throw cause;
    }
  }

  /** Jobs dispatched of this one for this payload that have not ended. */
  async dispatched(job: string, payload: string): Promise<ReadonlyArray<string>> {
    const { value } = await this.#json({
      what: `list the jobs of ${job}`,
      method: "GET",
      path: "/v1/jobs",
      query: { prefix: `${job}/dispatch-${payload}-` },
    });
    return (value as ReadonlyArray<JobAnswer>).filter(({ Status }) => Status !== "dead").map(({ ID }) => ID);
  }

  /** What the task wrote, as far as Nomad still has it, from its beginning. */
  async logs(allocation: string, task: string, type: "stdout" | "stderr"): Promise<string> {
    const response = await this.#ask({
      what: `read ${type} of ${allocation}`,
      method: "GET",
      path: `/v1/client/fs/logs/${encodeURIComponent(allocation)}`,
      query: { task, type, plain: true, origin: "start" },
    });
    return textOf(response);
  }

  /** Lines of JSON, until it is cut. */
  events(signal: AbortSignal): Promise<Readable> {
    return this.#ask({
      what: "tell of events",
      method: "GET",
      path: "/v1/event/stream",
      // Not `*`, which only an administrator may hear.
      query: { topic: ["Job", "Allocation"] },
      signal,
    });
  }

  async #json(question: Question): Promise<{ readonly value: unknown; readonly index: number }> {
    const response = await this.#ask(question);
    const text = await textOf(response).catch((cause: unknown) => {
      throw new NomadRefused({ what: question.what, status: 0, detail: String(cause) });
    });
    try {
      return { value: JSON.parse(text) as unknown, index: Number(response.headers["x-nomad-index"] ?? 0) };
    } catch {
      throw new NomadRefused({ what: question.what, status: 0, detail: "it answers no JSON" });
    }
  }

  /** Answers with the head; rejects with {@link NomadRefused} for any status but 200. */
  async #ask(question: Question): Promise<IncomingMessage> {
    const { address, tokenFile, namespace } = this.#of;
    const { method, path, query = {}, body, waitMs = 0, what } = question;
    const token = tokenFile === null ? null : await tokenIn(tokenFile, what);
    const search = searchOf({ namespace, ...query });
    const isSocket = address.startsWith("unix:");
    const url = new URL(`${path}?${search}`, isSocket ? "http://localhost" : address);
    const open = url.protocol === "https:" ? overHttps : overHttp;
    return new Promise((resolve, reject) => {
      const refuse = (status: number, detail: string): void =>
        reject(new NomadRefused({ what, status, detail: detail.trim().slice(0, 500) }));
      const asking = open(
        url,
        {
          method,
          ...(isSocket ? { socketPath: address.slice("unix:".length) } : {}),
          ...(question.signal === undefined ? {} : { signal: question.signal }),
          headers: token === null ? {} : { "x-nomad-token": token },
          timeout: nomadAnswerMs + waitMs,
        },
        (response) => {
          if (response.statusCode === 200) return resolve(response);
          textOf(response).then(
            (text) => refuse(response.statusCode ?? 0, text),
            (cause: unknown) => refuse(response.statusCode ?? 0, String(cause)),
          );
        },
      );
      asking.on("timeout", () => asking.destroy(new Error("it does not answer")));
      asking.on("error", (cause) => refuse(0, cause.message));
      asking.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

const searchOf = (query: NonNullable<Question["query"]>): string =>
  new URLSearchParams(
    Object.entries(query).flatMap(([name, value]) =>
      [value].flat().map((each): [string, string] => [name, String(each)]),
    ),
  ).toString();

/** All of an answer; cut off at its limit. */
async function textOf(response: Readable): Promise<string> {
  const chunks: Array<Buffer> = [];
  let bytes = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > nomadAnswerBytesMax) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Read for each question: it may be written anew. Without it Nomad would only say that it forbids what was asked. */
const tokenIn = (file: string, what: string): Promise<string> =>
  readFile(file, "utf8").then(
    (text) => text.trim(),
    (cause: unknown) => {
      const detail = `its token file cannot be read: ${String(cause)}`;
      throw new NomadRefused({ what, status: 0, detail });
    },
  );
