/**
 * A Nomad for tests: its HTTP API as far as the nomad driver uses it, and what stands behind: jobs and allocations with one index that
 * grows with every change, blocking queries, an event stream with a short memory, idempotency tokens that last as long as the job that
 * they made, log files, garbage collection. Tasks are processes of this machine that outlive the agent, as those of a real one do:
 * `restart` cuts every connection and comes back on the same port with the same state.
 *
 * It can be told to be worse than that: to accept a dispatch and not answer it, to lose a job before it starts, to fail a start.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../src/demo/ports.ts";

interface Allocation {
  readonly ID: string;
  readonly JobID: string;
  ClientStatus: "pending" | "running" | "complete" | "failed" | "lost";
  ModifyIndex: number;
  readonly TaskStates: Record<string, { State: string; Failed: boolean; Events: Array<object> }>;
}

interface Job {
  readonly ID: string;
  readonly ParentID: string;
  readonly Meta: Readonly<Record<string, string>>;
  readonly token: string;
  /** Accepted, and nobody was told yet: it is not forgotten before somebody asks again. */
  isUntold: boolean;
  readonly payload: Buffer;
  readonly allocations: Array<Allocation>;
  Status: "pending" | "running" | "dead";
  ModifyIndex: number;
  endedAt: number;
  process: ChildProcess | null;
}

interface Parameterised {
  readonly command: string;
  readonly args: ReadonlyArray<string>;
  readonly metaRequired: ReadonlyArray<string>;
  readonly payloadFile: string;
}

export interface FakeNomadOptions {
  /** Tasks that its hosts have room for at once. */
  readonly room: number;
  /** Ended jobs are forgotten after this. */
  readonly gcAfterMs: number;
}

/** What it does wrong, once for each count that is set. */
export interface Faults {
  /** Dispatches that are accepted and not answered. */
  unanswered: number;
  /** Jobs that are accepted, answered, and lost before they start. */
  lost: number;
  /** Allocations whose task does not start. */
  unstartable: number;
}

const eventsKept = 50;
const taskName = "run";

export class FakeNomad {
  readonly faults: Faults = { unanswered: 0, lost: 0, unstartable: 0 };
  /** Every dispatch that made a job. */
  readonly dispatched: Array<{ readonly id: string; readonly payload: string }> = [];
  /** Requests by method and kind of path. */
  readonly asked = new Map<string, number>();
  collected = 0;
  #port = 0;
  #index = 10;
  readonly #options: FakeNomadOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "orrery-nomad-"));
  readonly #parameterised = new Map<string, Parameterised>();
  readonly #jobs = new Map<string, Job>();
  readonly #events: Array<{ readonly Index: number; readonly line: string }> = [];
  readonly #streams = new Set<ServerResponse>();
  readonly #blocked = new Set<() => void>();
  #server: Server | null = null;
  readonly #collector: NodeJS.Timeout;

  constructor(options: Partial<FakeNomadOptions> = {}) {
    this.#options = { room: 4, gcAfterMs: 60_000, ...options };
    this.#collector = setInterval(() => this.#collect(), 50);
  }

  get address(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  register(id: string, job: Parameterised): void {
    this.#parameterised.set(id, job);
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.#answer(request, response).catch((cause: unknown) => {
        response.writeHead(500);
        response.end(String(cause));
      });
    });
    // While it is away nobody else may be given its port.
    if (this.#port === 0) this.#port = await freePorts(1);
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
    this.#schedule();
  }

  /** The agent alone: tasks go on. */
  async halt(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    this.#streams.clear();
    this.#events.length = 0;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
    for (const wake of this.#blocked) wake();
  }

  async restart(awayMs: number): Promise<void> {
    await this.halt();
    await new Promise((resolve) => setTimeout(resolve, awayMs));
    await this.start();
  }

  /** Everything, also what still runs. */
  async end(): Promise<void> {
    clearInterval(this.#collector);
    await this.halt();
    for (const job of this.#jobs.values()) job.process?.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** The host of the job's task is gone without a word: SIGKILL for the keeper. */
  kill(payload: string): void {
    for (const job of this.#jobs.values())
      if (job.payload.toString() === payload) job.process?.kill("SIGKILL");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", this.address);
    const parts = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
    const kind = `${request.method ?? ""} ${parts[1] ?? ""} ${parts[3] ?? ""}`.trim();
    this.asked.set(kind, (this.asked.get(kind) ?? 0) + 1);
    const body = await readAll(request);
    const [, what, id = ""] = parts;
    if (what === "event") return this.#stream(response, url);
    if (what === "jobs") return this.#send(response, this.#list(url.searchParams.get("prefix") ?? ""));
    if (what === "client") return this.#logs(response, parts[4] ?? "", url);
    if (what === "job" && parts[3] === "dispatch") return this.#dispatch(response, id, url, body);
    if (what !== "job") return refuse(response, 404, "Invalid path");
    if (request.method === "DELETE") return this.#stop(response, id);
    await this.#changed(id, url);
    const job = this.#jobs.get(id);
    if (parts[3] === "allocations") return this.#send(response, job?.allocations ?? []);
    if (job === undefined) return refuse(response, 404, "job not found");
    const { ID, ParentID, Status, ModifyIndex, Meta } = job;
    this.#send(response, { ID, ParentID, Status, ModifyIndex, Meta }, ModifyIndex);
  }

  /** A blocking query: until the job is another than at the index, or the wait is over. */
  async #changed(id: string, url: URL): Promise<void> {
    const index = Number(url.searchParams.get("index") ?? 0);
    if (index === 0) return;
    const waitMs = Number(/^(\d+)ms$/.exec(url.searchParams.get("wait") ?? "")?.[1] ?? 300_000);
    const until = performance.now() + waitMs;
    const isNew = (): boolean => (this.#jobs.get(id)?.ModifyIndex ?? this.#index) > index;
    while (!isNew() && performance.now() < until && this.#server !== null) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#blocked.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, until - performance.now());
        this.#blocked.add(wake);
      });
    }
  }

  #send(response: ServerResponse, value: unknown, index = this.#index): void {
    response.writeHead(200, { "content-type": "application/json", "x-nomad-index": String(index) });
    response.end(JSON.stringify(value));
  }

  #dispatch(response: ServerResponse, id: string, url: URL, body: string): void {
    const parent = this.#parameterised.get(id);
    if (parent === undefined) return refuse(response, 500, "parameterized job not found");
    const {
      Payload = "",
      Meta = {},
      IdPrefixTemplate = "",
    } = JSON.parse(body) as {
      readonly Payload?: string;
      readonly Meta?: Readonly<Record<string, string>>;
      readonly IdPrefixTemplate?: string;
    };
    if (Payload === "")
      return refuse(response, 500, "Payload is not provided but required by parameterized job");
    const missing = parent.metaRequired.filter((name) => !(name in Meta));
    if (missing.length > 0)
      return refuse(response, 500, `Dispatch did not provide required meta keys: ${missing.join()}`);
    const token = url.searchParams.get("idempotency_token") ?? "";
    const same = [...this.#jobs.values()].find(
      (job) => token !== "" && job.ParentID === id && job.token === token,
    );
    const job = same ?? this.#make(id, IdPrefixTemplate, token, Buffer.from(Payload, "base64"), Meta);
    if (same === undefined) this.dispatched.push({ id: job.ID, payload: job.payload.toString() });
    if (this.faults.unanswered > 0) {
      this.faults.unanswered--;
      job.isUntold = true;
      response.destroy();
    } else {
      job.isUntold = false;
      this.#send(response, {
        DispatchedJobID: job.ID,
        JobCreateIndex: job.ModifyIndex,
        EvalID: randomUUID(),
      });
    }
    if (same === undefined && this.faults.lost > 0) {
      this.faults.lost--;
      this.#forget(job);
    }
    this.#schedule();
  }

  #make(parent: string, prefix: string, token: string, payload: Buffer, Meta: Job["Meta"]): Job {
    const unique = `${Math.floor(Date.now() / 1_000)}-${randomUUID().slice(0, 8)}`;
    const job: Job = {
      ID: `${parent}/dispatch-${prefix === "" ? "" : `${prefix}-`}${unique}`,
      ParentID: parent,
      Meta,
      token,
      isUntold: false,
      payload,
      allocations: [],
      Status: "pending",
      ModifyIndex: 0,
      endedAt: 0,
      process: null,
    };
    this.#jobs.set(job.ID, job);
    this.#touch(job, "JobRegistered");
    return job;
  }

  /** Starts what there is room for. A halted agent starts nothing. */
  #schedule(): void {
    if (this.#server === null) return;
    let free = this.#options.room - [...this.#jobs.values()].filter((job) => job.Status === "running").length;
    for (const job of this.#jobs.values()) {
      if (free <= 0) return;
      if (job.Status !== "pending") continue;
      free--;
      this.#begin(job);
    }
  }

  #begin(job: Job): void {
    const parent = this.#parameterised.get(job.ParentID);
    if (parent === undefined) return;
    const state = { State: "pending", Failed: false, Events: [] as Array<object> };
    const allocation: Allocation = {
      ID: randomUUID(),
      JobID: job.ID,
      ClientStatus: "pending",
      ModifyIndex: 0,
      TaskStates: { [taskName]: state },
    };
    job.allocations.push(allocation);
    job.Status = "running";
    if (this.faults.unstartable > 0) {
      this.faults.unstartable--;
      state.Events.push({ Type: "Driver Failure", DisplayMessage: "Failed to pull `no-such-image`" });
      return this.#over(job, allocation, true);
    }
    const folder = join(this.#folder, allocation.ID);
    mkdirSync(join(folder, "local"), { recursive: true });
    writeFileSync(join(folder, "local", parent.payloadFile), job.payload);
    const logs = ["stdout", "stderr"].map((type) => openSync(join(folder, type), "w"));
    const args = parent.args.map((arg) => arg.replace("${NOMAD_TASK_DIR}", join(folder, "local")));
    const child = spawn(parent.command, args, {
      cwd: folder,
      detached: true,
      env: { PATH: process.env["PATH"] ?? "", NOMAD_ALLOC_ID: allocation.ID, NOMAD_JOB_ID: job.ID },
      stdio: ["ignore", ...logs],
    });
    for (const log of logs) closeSync(log);
    job.process = child;
    state.State = "running";
    allocation.ClientStatus = "running";
    child.once("exit", (code, signal) => {
      job.process = null;
      const exit = code ?? (signal === "SIGKILL" ? 137 : 143);
      state.Events.push({ Type: "Terminated", ExitCode: exit, DisplayMessage: `Exit Code: ${exit}` });
      this.#over(job, allocation, exit !== 0);
    });
    this.#touch(job, "AllocationUpdated", allocation);
  }

  #over(job: Job, allocation: Allocation, failed: boolean): void {
    allocation.ClientStatus = failed ? "failed" : "complete";
    job.Status = "dead";
    job.endedAt = performance.now();
    this.#touch(job, "AllocationUpdated", allocation);
    this.#schedule();
  }

  #stop(response: ServerResponse, id: string): void {
    const job = this.#jobs.get(id);
    // Of a job that is not there a real one says nothing amiss.
    if (job === undefined) return this.#send(response, { EvalID: "" });
    if (job.process === null) {
      job.Status = "dead";
      job.endedAt = performance.now();
    } else job.process.kill("SIGTERM");
    this.#touch(job, "JobDeregistered");
    this.#send(response, { EvalID: randomUUID() });
  }

  #list(prefix: string): ReadonlyArray<object> {
    return [...this.#jobs.values()]
      .filter(({ ID }) => ID.startsWith(prefix))
      .map(({ ID, ParentID, Status }) => ({ ID, ParentID, Status }));
  }

  #logs(response: ServerResponse, allocation: string, url: URL): void {
    const type = url.searchParams.get("type") ?? "";
    if (url.searchParams.get("task") !== taskName) return refuse(response, 400, "unknown task name");
    try {
      const text = readFileSync(join(this.#folder, allocation, type));
      response.writeHead(200, { "content-type": "text/plain" });
      response.end(text);
    } catch {
      refuse(response, 404, `Unknown allocation "${allocation}"`);
    }
  }

  #stream(response: ServerResponse, url: URL): void {
    const topics = url.searchParams.getAll("topic");
    if (!topics.includes("Allocation") || !topics.includes("Job"))
      return refuse(response, 403, "Permission denied");
    response.writeHead(200, { "content-type": "application/json" });
    response.write("{}\n");
    const from = Number(url.searchParams.get("index") ?? 0);
    if (from > 0) for (const { Index, line } of this.#events) if (Index >= from) response.write(line);
    this.#streams.add(response);
    response.once("close", () => this.#streams.delete(response));
  }

  /** A change of the state: a new index, an event, an end to waiting. */
  #touch(job: Job, type: string, allocation?: Allocation): void {
    job.ModifyIndex = ++this.#index;
    if (allocation !== undefined) allocation.ModifyIndex = this.#index;
    const event =
      allocation === undefined
        ? {
            Topic: "Job",
            Type: type,
            Key: job.ID,
            FilterKeys: null,
            Payload: { Job: { ID: job.ID } },
          }
        : {
            Topic: "Allocation",
            Type: type,
            Key: allocation.ID,
            FilterKeys: [job.ID, ""],
            Payload: { Allocation: allocation },
          };
    const line = `${JSON.stringify({ Index: this.#index, Events: [event] })}\n`;
    this.#events.push({ Index: this.#index, line });
    if (this.#events.length > eventsKept) this.#events.shift();
    for (const stream of this.#streams) stream.write(line);
    for (const wake of this.#blocked) wake();
  }

  #forget(job: Job): void {
    this.#jobs.delete(job.ID);
    for (const { ID } of job.allocations) rmSync(join(this.#folder, ID), { recursive: true, force: true });
    this.#index++;
    for (const wake of this.#blocked) wake();
  }

  #collect(): void {
    if (this.#server === null) return;
    for (const job of this.#jobs.values()) {
      if (job.isUntold || job.Status !== "dead" || performance.now() - job.endedAt < this.#options.gcAfterMs)
        continue;
      this.collected++;
      this.#forget(job);
    }
  }
}

function refuse(response: ServerResponse, status: number, words: string): void {
  response.writeHead(status, { "content-type": "text/plain" });
  response.end(words);
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Array<Buffer> = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
