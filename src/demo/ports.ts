/** Ports for servers that are configured before they are started: written into files and told to others, and only then listened on. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";

const lowest = 10_000;
/** From here on they are the system's own to give, where it does not say otherwise. */
const usualLimit = 32_768;
/** Of each process; two that choose at the same time seldom choose in the same part. */
const partPorts = 700;
const triesInPart = 50;
const triesMax = 5_000;

/** Given out by this process, and perhaps not listened on yet. */
const given = new Set<number>();

/**
 * Where the system's own ports begin: those that it gives to whoever connects, or listens on any. One of them can be taken between its
 * choice and its use, also by a client that asks whether the server is there at last.
 */
async function limit(): Promise<number> {
  const text = await readFile("/proc/sys/net/ipv4/ip_local_port_range", "utf8").catch(() => "");
  const low = Number.parseInt(text, 10);
  return low >= 2 * lowest ? Math.min(low, 65_536) : usualLimit;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** The first of so many ports in a row that are free on loopback and that this process has not given out before. */
export async function freePorts(count: number): Promise<number> {
  const end = (await limit()) - count;
  const parts = Math.max(1, Math.floor((end - lowest) / partPorts));
  const part = lowest + (process.pid % parts) * partPorts;
  for (let tried = 0; tried < triesMax; tried++) {
    const first =
      tried < triesInPart
        ? part + Math.floor(Math.random() * Math.max(1, partPorts - count))
        : lowest + Math.floor(Math.random() * (end - lowest));
    const ports = Array.from({ length: count }, (_, i) => first + i);
    if (ports.some((port) => given.has(port))) continue;
    if (!(await Promise.all(ports.map(isFree))).every(Boolean)) continue;
    for (const port of ports) given.add(port);
    return first;
  }
  throw new Error(`no ${count} free ports in a row between ${lowest} and ${end + count}`);
}
