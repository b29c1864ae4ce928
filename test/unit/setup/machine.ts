import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { findNatsServer } from "../../../scripts/nats-server/find.mjs";
import type { FindNatsServerOptions, FoundNatsServer } from "../../../scripts/nats-server/find.mjs";

/** A nats-server of that version, as far as the set-up can tell. */
export const fakeServer = (version: string): string => `#!/bin/sh\necho "nats-server: v${version}"\n`;

/** A made-up machine: a folder with a PATH, a cache and a home of its own, so that nothing real is found or touched. */
export class Machine {
  readonly root = mkdtempSync(path.join(tmpdir(), "orrery-setup-"));
  readonly bin = path.join(this.root, "bin");
  readonly cache = path.join(this.root, "cache");
  readonly cached = path.join(this.cache, "nats-server-v2.15.2", "nats-server");
  readonly env: Record<string, string> = {
    PATH: this.bin,
    HOME: path.join(this.root, "home"),
    ORRERY_CACHE: this.cache,
    // A port that fetch will not even try: a test that forgets its stand-in fails at once and reaches nothing.
    ORRERY_NATS_RELEASES: "http://127.0.0.1:9",
  };
  said = "";

  constructor() {
    mkdirSync(this.bin);
  }

  program(name: string, script: string): string {
    const file = path.resolve(this.bin, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, script);
    chmodSync(file, 0o755);
    return file;
  }

  find(options: FindNatsServerOptions = {}): Promise<FoundNatsServer> {
    return findNatsServer({
      env: this.env,
      platform: "linux",
      arch: "x64",
      say: (text) => {
        this.said += text;
      },
      ...options,
    });
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
