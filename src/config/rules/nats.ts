/** The NATS section: what belongs to which mode, credentials, encryption. */
import { isRecord } from "../decode.ts";
import type { Finding } from "../document.ts";
import { maskUserInfo } from "../show.ts";
import type { SiteFile } from "../SiteSchema.ts";
import { isLoopback } from "./doors.ts";

const embeddedOnly = ["syncAlways", "port"];
const externalOnly = ["servers", "credentialsFile", "user", "password", "token", "tls", "monitor"];

export function natsRules(file: SiteFile, raw: unknown): ReadonlyArray<Finding> {
  return [...modeRules(file, raw), ...serverRules(file), ...monitorRules(file), ...credentialRules(file)];
}

function modeRules({ nats }: SiteFile, raw: unknown): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const section = isRecord(raw) && isRecord(raw["nats"]) ? raw["nats"] : {};
  const other = nats.mode === "embedded" ? "external" : "embedded";
  for (const key of nats.mode === "embedded" ? externalOnly : embeddedOnly) {
    if (!(key in section)) continue;
    findings.push({
      path: ["nats", key],
      message: `has no meaning with nats.mode ${nats.mode}`,
      fix: `remove it, or set nats.mode: ${other}`,
    });
  }
  if (nats.mode === "embedded" && nats.replicas > 1) {
    findings.push({
      path: ["nats", "replicas"],
      message: "the embedded server is one server: it cannot hold several copies",
      fix: "set 1, or use a cluster with nats.mode: external",
    });
  }
  if (nats.mode === "external" && nats.servers.length === 0) {
    findings.push({
      path: ["nats", "servers"],
      value: null,
      message: "nats.mode external needs at least one server",
      fix: "add servers: [nats://host:4222], or set nats.mode: embedded",
    });
  }
  if (nats.replicas % 2 === 0) {
    findings.push({
      severity: "warning",
      path: ["nats", "replicas"],
      message: "an even number of copies survives no more failures than one copy less",
      fix: "use 1, 3 or 5",
    });
  }
  return findings;
}

function serverRules({ nats }: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  for (const [index, address] of nats.servers.entries()) {
    const path = ["nats", "servers", index];
    const url = parseServer(address);
    if (url === null) {
      findings.push({
        path,
        message: "is no NATS address",
        fix: "write nats://host:4222 or tls://host:4222",
      });
      continue;
    }
    if (url.username !== "" || url.password !== "") {
      findings.push({
        path,
        value: maskUserInfo(address),
        message: "credentials must not stand in an address",
        fix: "take them out, and set nats.user and nats.password: env:NAME (or token, credentialsFile)",
      });
    }
    const encrypted = url.protocol === "tls:" || nats.tls !== null;
    if (!encrypted && !isLoopback(url.hostname) && !nats.insecure) {
      findings.push({
        path,
        message: "NATS to another machine in plain text: credentials and data can be read on the way",
        fix: "use tls://… or a nats.tls section, or accept it with nats.insecure: true",
      });
    }
  }
  return findings;
}

function monitorRules({ nats }: SiteFile): ReadonlyArray<Finding> {
  if (nats.monitor === null) return [];
  const path = ["nats", "monitor"];
  const url = URL.canParse(nats.monitor) ? new URL(nats.monitor) : null;
  if (url === null || !/^https?:$/.test(url.protocol))
    return [{ path, message: "is no address of a monitoring endpoint", fix: "write http://127.0.0.1:8222" }];
  if (url.username !== "" || url.password !== "")
    return [
      {
        path,
        value: maskUserInfo(nats.monitor),
        message: "credentials must not stand in an address",
        fix: "take them out",
      },
    ];
  return url.protocol === "http:" && !isLoopback(url.hostname) && !nats.insecure
    ? [
        {
          path,
          message: "monitoring of another machine in plain text: what it answers can be changed on the way",
          fix: "use https://…, or accept it with nats.insecure: true",
        },
      ]
    : [];
}

/** Null for what is no address of a NATS server; a bare `host:port` is one. */
export function parseServer(address: string): URL | null {
  const full = address.includes("://") ? address : `nats://${address}`;
  // URL wants a scheme of its own list to take the host apart properly.
  const match = /^(nats|tls):\/\/(.+)$/.exec(full);
  if (match === null) return null;
  try {
    const url = new URL(`${String(match[1])}://${String(match[2])}`);
    return url.hostname === "" || (url.pathname !== "" && url.pathname !== "/") ? null : url;
  } catch {
    // No URL at all; the null says so.
    return null;
  }
}

function credentialRules({ nats }: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  if ((nats.user === null) !== (nats.password === null)) {
    const missing = nats.user === null ? "user" : "password";
    findings.push({
      path: ["nats", missing === "user" ? "password" : "user"],
      message: "nats.user and nats.password go together",
      fix: missing === "user" ? "add user: …" : "add password: env:NAME",
    });
  }
  const ways = [nats.credentialsFile, nats.user, nats.token].filter((way) => way !== null).length;
  if (ways > 1) {
    findings.push({
      path: ["nats"],
      value: null,
      message: "more than one of credentialsFile, user and token is given",
      fix: "keep the one that the server asks for",
    });
  }
  const { tls } = nats;
  if (tls !== null && (tls.certFile === null) !== (tls.keyFile === null)) {
    findings.push({
      path: ["nats", "tls"],
      value: null,
      message: "a client certificate needs both certFile and keyFile",
      fix: tls.certFile === null ? "add certFile" : "add keyFile",
    });
  }
  return findings;
}
