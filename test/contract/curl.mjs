/** As much of curl as the scripts beside it use, for machines without one. Prints the body, then what `-w` asks for. */
import { readFileSync } from "node:fs";
import { request } from "node:http";

let method = null;
let url = "";
let body = null;
let after = "";
/** @type {Record<string, string>} */
const headers = {};
const args = process.argv.slice(2);
const next = () => args.shift() ?? "";
/** @type {Record<string, () => void>} */
const known = {
  "-sS": () => undefined,
  "-I": () => {
    method = "HEAD";
  },
  "-X": () => {
    method = next();
  },
  "-w": () => {
    after = next();
  },
  "-H": () => {
    const [name, ...value] = next().split(":");
    headers[name ?? ""] = value.join(":").trim();
  },
  "-d": () => {
    const data = next();
    // Like curl: line breaks of a file are left out.
    body = data === "@-" ? readFileSync(0, "utf8").replaceAll(/[\r\n]/g, "") : data;
  },
};
while (args.length > 0) {
  const arg = next();
  const option = known[arg];
  if (option !== undefined) option();
  else if (arg.startsWith("-")) throw new Error(`${arg} is not known here`);
  else url = arg;
}

const sent = request(
  url,
  {
    method: method ?? (body === null ? "GET" : "POST"),
    headers: {
      ...headers,
      ...(body === null || "Transfer-Encoding" in headers
        ? {}
        : { "Content-Length": Buffer.byteLength(body) }),
    },
    agent: false,
  },
  (response) => {
    /** @type {Array<Uint8Array>} */
    const chunks = [];
    response.on("data", (chunk) => chunks.push(chunk));
    response.on("end", () => {
      /** @type {Record<string, unknown>} */
      const said = { http_code: response.statusCode, content_type: response.headers["content-type"] ?? "" };
      process.stdout.write(Buffer.concat(chunks));
      process.stdout.write(
        after.replaceAll(/%\{(\w+)\}/g, (_, name) => String(said[name])).replaceAll("\\n", "\n"),
      );
    });
  },
);
sent.on("error", (cause) => {
  console.error(cause.message);
  process.exitCode = 7;
});
sent.end(body ?? undefined);
