#!/usr/bin/env node
import * as module from "node:module";
import process from "node:process";

// The packed command runs under whatever Node its user has. This file must be readable by an old one, so it imports
// nothing of ours before the version is known to do.

const NODE_MIN = [20, 19] as const;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
  process.stderr.write(
    `orrery needs Node ${NODE_MIN.join(".")} or newer; this is ${process.versions.node}.\n` +
      `Fix: install a newer Node, for instance from https://nodejs.org\n`,
  );
  process.exit(1);
}

// Compiled modules are kept between runs: about a tenth of a second of every start. Node 20 has no such cache.
if ("enableCompileCache" in module) module.enableCompileCache();

const { main } = await import("./cli.ts");
main(process.argv.slice(2));
