/** A real agent, server and client in one, on loopback and a folder of its own: where there is a `nomad` on the PATH. */
import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const readyMs = 60_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

export class RealNomad {
  readonly address: string;
  readonly #folder: string;
  readonly #config: string;
  readonly #log: string;
  #agent: ChildProcess | null = null;

  private constructor(
    folder: string,
    ports: { readonly http: number; readonly rpc: number; readonly serf: number },
  ) {
    this.#folder = folder;
    this.#config = join(folder, "agent.hcl");
    this.#log = join(folder, "agent.log");
    this.address = `http://127.0.0.1:${ports.http}`;
    writeFileSync(
      this.#config,
      `
data_dir  = "${join(folder, "data")}"
bind_addr = "127.0.0.1"
advertise {
  http = "127.0.0.1:${ports.http}"
  rpc  = "127.0.0.1:${ports.rpc}"
  serf = "127.0.0.1:${ports.serf}"
}
ports {
  http = ${ports.http}
  rpc  = ${ports.rpc}
  serf = ${ports.serf}
}
server {
  enabled          = true
  bootstrap_expect = 1
}
client {
  enabled           = true
  servers           = ["127.0.0.1:${ports.rpc}"]
  cpu_total_compute = 4000
  # It asks no cloud what machine it is on: that takes seconds, and fails where a bundle of authorities is set for one.
  options = {
    "fingerprint.denylist" = "env_aws,env_azure,env_digitalocean,env_gce,consul,vault"
  }
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
`,
    );
  }

  static async start(): Promise<RealNomad> {
    const ports = { http: await freePort(), rpc: await freePort(), serf: await freePort() };
    const nomad = new RealNomad(mkdtempSync(join(tmpdir(), "orrery-real-nomad-")), ports);
    try {
      await nomad.#begin();
    } catch (cause) {
      await nomad.end();
      throw cause;
    }
    return nomad;
  }

  async #begin(): Promise<void> {
    const log = openSync(this.#log, "a");
    const agent = spawn("nomad", ["agent", "-config", this.#config], { stdio: ["ignore", log, log] });
    closeSync(log);
    this.#agent = agent;
    const until = performance.now() + readyMs;
    for (;;) {
      const nodes = await this.#ask("GET", "/v1/nodes").catch(() => []);
      if (Array.isArray(nodes) && nodes.some((node: { Status?: string }) => node.Status === "ready")) return;
      if (performance.now() > until || agent.exitCode !== null) {
        throw new Error(`the agent does not become ready: ${readFileSync(this.#log, "utf8").slice(-2_000)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** A parameterised job whose task is this program. */
  async register(id: string, command: string, args: ReadonlyArray<string>): Promise<void> {
    const task = {
      Name: "run",
      Driver: "raw_exec",
      Config: { command, args },
      DispatchPayload: { File: "try" },
      KillTimeout: 15e9,
      Resources: { CPU: 50, MemoryMB: 64 },
    };
    const group = {
      Name: "run",
      Count: 1,
      RestartPolicy: { Attempts: 0, Interval: 60e9, Delay: 1e9, Mode: "fail" },
      ReschedulePolicy: { Attempts: 0, Unlimited: false },
      Tasks: [task],
    };
    const ParameterizedJob = { Payload: "required", MetaRequired: ["owner"] };
    const Job = {
      ID: id,
      Name: id,
      Type: "batch",
      Datacenters: ["*"],
      ParameterizedJob,
      TaskGroups: [group],
    };
    await this.#ask("PUT", "/v1/jobs", { Job });
  }

  /** Ended jobs are collected now. */
  async collect(): Promise<void> {
    await this.#ask("PUT", "/v1/system/gc").catch(() => undefined);
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.address}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(await response.text());
    const text = await response.text();
    return text === "" ? null : (JSON.parse(text) as unknown);
  }

  async restart(awayMs: number): Promise<void> {
    await this.#halt();
    await new Promise((resolve) => setTimeout(resolve, awayMs));
    await this.#begin();
  }

  async #halt(): Promise<void> {
    const agent = this.#agent;
    this.#agent = null;
    if (agent === null || agent.exitCode !== null) return;
    const ended = once(agent, "exit");
    agent.kill("SIGTERM");
    await ended;
  }

  async end(): Promise<void> {
    await this.#halt();
    // What an agent that is root mounted for its allocations stays mounted without it.
    const mounts = existsSync("/proc/mounts") ? readFileSync("/proc/mounts", "utf8").split("\n") : [];
    for (const [, at = ""] of mounts.map((line) => line.split(" ")))
      if (at.startsWith(`${this.#folder}/`)) execFileSync("umount", ["-l", at]);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
