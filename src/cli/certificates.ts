/**
 * TLS certificates of a deployment: given as PEM files, or made by `openssl`, with an authority for each site and supernode.
 * Orrery makes none itself: Node can make keys, not certificates.
 */
import { execFile } from "node:child_process";
import { access, chmod, constants, copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { opensslMsMax } from "../limits.ts";
import { failed, misused } from "./failures.ts";

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export const certificateFiles = (folder: string): CertificateFiles => ({
  cert: join(folder, "server.pem"),
  key: join(folder, "server.key"),
  ca: join(folder, "ca.pem"),
});

const authorityDays = "3650";
const serverDays = "825";
const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

async function openssl(args: ReadonlyArray<string>): Promise<void> {
  try {
    await promisify(execFile)("openssl", [...args], { timeout: opensslMsMax });
  } catch (cause) {
    const { code, stderr } = cause as { readonly code?: unknown; readonly stderr?: string };
    const fix = "give certificates of your own: --tls-cert FILE --tls-key FILE --tls-ca FILE";
    if (code === "ENOENT")
      throw failed(`openssl is not on the PATH, and makes the TLS certificates: install it, or ${fix}`);
    throw failed(
      `openssl ${String(args[0])} failed (${(stderr ?? String(cause)).trim().split("\n").at(-1)}); ${fix}`,
    );
  }
}

/** Copies what is given. Rejects where a file is not there. */
export async function takeCertificates(folder: string, given: CertificateFiles): Promise<void> {
  for (const [flag, file] of [
    ["--tls-cert", given.cert],
    ["--tls-key", given.key],
    ["--tls-ca", given.ca],
  ] as const) {
    await access(file, constants.R_OK).catch((cause: unknown) => {
      const { code } = cause as NodeJS.ErrnoException;
      throw misused(
        `${flag} ${file} ${code === "ENOENT" ? "is not there" : `cannot be read (${code ?? "?"})`}`,
      );
    });
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const to = certificateFiles(folder);
  await copyFile(given.cert, to.cert);
  await copyFile(given.ca, to.ca);
  await copyFile(given.key, to.key);
  await chmod(to.key, 0o600);
}

/** An authority of the deployment's own, and one certificate for all of its servers. */
export async function makeCertificates(
  folder: string,
  name: string,
  hosts: ReadonlyArray<string>,
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const to = certificateFiles(folder);
  const authorityKey = join(folder, "ca.key");
  const request = join(folder, "server.csr");
  const extensions = join(folder, "server.ext");
  const names = [...new Set([...hosts, "localhost", "127.0.0.1"])];
  await writeFile(
    extensions,
    [
      "basicConstraints=critical,CA:FALSE",
      "keyUsage=critical,digitalSignature",
      // Servers of a cluster are each other's clients.
      "extendedKeyUsage=serverAuth,clientAuth",
      `subjectAltName=${names.map((host) => `${isIP(host) === 0 ? "DNS" : "IP"}:${host}`).join(",")}`,
      "",
    ].join("\n"),
  );
  const authority = [
    "-keyout",
    authorityKey,
    "-out",
    to.ca,
    "-days",
    authorityDays,
    "-subj",
    `/CN=Orrery ${name} authority`,
  ];
  await openssl(["req", "-x509", ...curve, ...authority, "-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
  await openssl(["req", ...curve, "-keyout", to.key, "-out", request, "-subj", `/CN=${name}`]);
  const signed = [
    "-CA",
    to.ca,
    "-CAkey",
    authorityKey,
    "-CAcreateserial",
    "-CAserial",
    join(folder, "ca.srl"),
  ];
  await openssl([
    "x509",
    "-req",
    "-in",
    request,
    ...signed,
    "-days",
    serverDays,
    "-extfile",
    extensions,
    "-out",
    to.cert,
  ]);
  await rm(request);
  await rm(extensions);
  await chmod(to.key, 0o600);
  await chmod(authorityKey, 0o600);
}
