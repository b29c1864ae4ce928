import { createHash } from "node:crypto";
import { fileFromArchive } from "./archive.mjs";

/** Where the project publishes its releases. A mirror lays them out alike: `<base>/v<version>/<file>`. */
export const RELEASES = "https://github.com/nats-io/nats-server/releases/download";

const ARCHIVE_BYTES_MAX = 64 * 1024 * 1024;
const CHECKSUMS_BYTES_MAX = 1024 * 1024;

/** Node's names for systems and processors, and those of the release's files. */
/** @type {Readonly<Record<string, string>>} */
const SYSTEMS = { linux: "linux", darwin: "darwin", win32: "windows", freebsd: "freebsd" };
/** @type {Readonly<Record<string, string>>} */
const PROCESSORS = {
  x64: "amd64",
  // Runs on ARMv7, too.
  arm: "arm6",
  arm64: "arm64",
  ia32: "386",
  mips64el: "mips64le",
  ppc64: "ppc64le",
  riscv64: "riscv64",
  s390x: "s390x",
};

/**
 * The name of the release's archive for a system and processor, without its ending: `nats-server-v2.15.2-linux-amd64`.
 * undefined when nats-server is not built for it.
 *
 * @param {string} version @param {string} platform @param {string} arch
 */
export function assetName(version, platform, arch) {
  const system = SYSTEMS[platform];
  const processor = PROCESSORS[arch];
  if (system === undefined || processor === undefined) return undefined;
  return `nats-server-v${version}-${system}-${processor}`;
}

/**
 * Downloads one release's archive, checks it against that release's SHA256SUMS and returns the program inside.
 * Nothing is written. Throws an Error whose message names the address and what was wrong.
 *
 * @param {{ version: string, platform: string, arch: string, releases: string,
 *   downloadLimitMs: number, idleLimitMs: number }} options
 *   `releases` is the base address; `downloadLimitMs` bounds each download, `idleLimitMs` the wait for its next bytes
 * @returns {Promise<Buffer>}
 */
export async function programFromRelease(options) {
  const { version, platform, arch, releases } = options;
  const name = assetName(version, platform, arch);
  if (name === undefined) throw new Error(`nats-server is not released for ${platform} on ${arch}`);
  const format = platform === "win32" ? "zip" : "tar.gz";
  const base = `${releases.replace(/\/+$/, "")}/v${version}`;
  const file = `${name}.${format}`;

  const sums = await download(`${base}/SHA256SUMS`, { ...options, bytesMax: CHECKSUMS_BYTES_MAX });
  const expected = checksumOf(sums.toString("utf8"), file);
  if (expected === undefined) throw new Error(`${base}/SHA256SUMS does not name ${file}`);
  const archive = await download(`${base}/${file}`, { ...options, bytesMax: ARCHIVE_BYTES_MAX });
  const actual = createHash("sha256").update(archive).digest("hex");
  if (actual !== expected) {
    throw new Error(`${base}/${file} has SHA-256 ${actual}, but SHA256SUMS says ${expected}: not used`);
  }
  return fileFromArchive(archive, format, platform === "win32" ? "nats-server.exe" : "nats-server");
}

/** @param {string} sums lines of `<64 hex digits>  <file>` @param {string} file */
function checksumOf(sums, file) {
  for (const line of sums.split("\n")) {
    const match = /^([0-9a-f]{64})\s+\*?(\S+)$/i.exec(line.trim());
    if (match?.[2] === file) return match[1]?.toLowerCase();
  }
  return undefined;
}

/**
 * @param {string} url
 * @param {{ bytesMax: number, downloadLimitMs: number, idleLimitMs: number }} limits
 * @returns {Promise<Buffer>}
 */
async function download(url, { bytesMax, downloadLimitMs, idleLimitMs }) {
  const abort = new AbortController();
  const stop = (/** @type {string} */ reason) => () => abort.abort(new Error(reason));
  const whole = setTimeout(stop(`not downloaded within ${downloadLimitMs / 1000} s`), downloadLimitMs);
  let idle = setTimeout(stop(`no answer within ${idleLimitMs / 1000} s`), idleLimitMs);
  try {
    const response = await fetch(url, { signal: abort.signal });
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
    if (response.body === null) throw new Error("an empty answer");
    const chunks = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      clearTimeout(idle);
      idle = setTimeout(stop(`the download stood still for ${idleLimitMs / 1000} s`), idleLimitMs);
      bytes += chunk.length;
      if (bytes > bytesMax) throw new Error(`larger than ${bytesMax} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    const reason = abort.signal.aborted ? abort.signal.reason : error;
    throw new Error(`${url}: ${reasonOf(reason)}`, { cause: error });
  } finally {
    clearTimeout(whole);
    clearTimeout(idle);
    abort.abort();
  }
}

/**
 * fetch says only "fetch failed"; the reason is in the cause.
 *
 * @param {unknown} error
 * @returns {string}
 */
function reasonOf(error) {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  return error.message === "" && "code" in error ? String(error.code) : error.message;
}
