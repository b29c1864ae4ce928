/**
 * The folder of deployments, one folder a site or supernode:
 *
 *     NAME/deployment.json   names, addresses, public keys
 *     NAME/keys/             seeds: to be kept away from the machines that run the servers
 *     NAME/creds/            one .creds file a role
 *     NAME/tls/              ca.pem, server.pem, server.key
 *     NAME/*.conf            the servers' configurations
 *     NAME/site.yaml         the site file
 *     nats/context/          contexts for the nats CLI: XDG_CONFIG_HOME=FOLDER nats --context NAME-admin
 */
import * as Schema from "effect/Schema";
import { chmod, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { didYouMean } from "../config/nearMiss.ts";
import { Deployment } from "../sites/deployment.ts";
import { failed, misused } from "./failures.ts";

const decode = Schema.decodeUnknownSync(Deployment);

export interface Folder {
  /** Absolute. */
  readonly root: string;
  /** Absolute: NAME's own. */
  readonly path: string;
  readonly name: string;
}

export const folderOf = (root: string, name: string): Folder => ({ root, path: join(root, name), name });

export const defaultRoot = "sites";

/** Other files may lie beside the deployments. */
const isMissing = (cause: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "");

/** Null where there is none. */
export async function readDeployment(folder: Folder): Promise<Deployment | null> {
  const file = join(folder.path, "deployment.json");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return null;
    throw cause;
  }
  try {
    return decode(JSON.parse(text));
  } catch (cause) {
    throw failed(
      `${file} is no deployment of Orrery: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

/** Rejects where there is none of this name and kind. */
export async function theDeployment(folder: Folder, kind: Deployment["kind"]): Promise<Deployment> {
  const found = await readDeployment(folder);
  if (found === null) {
    const flag = kind === "supernode" ? " --supernode" : "";
    const others = (await listDeployments(folder.root)).flatMap((each) =>
      each.kind === kind ? [each.name] : [],
    );
    const are =
      others.length === 0 ? "" : `; there ${others.length === 1 ? "is" : "are"} ${others.join(", ")}`;
    throw misused(
      `there is no ${kind} ${folder.name}${didYouMean(folder.name, others)} in ${folder.root}${are}: orrery site init ${folder.name}${flag} makes it`,
    );
  }
  if (found.kind !== kind) throw misused(`${folder.name} is a ${found.kind}, and no ${kind}`);
  return found;
}

/** Whole or not at all; readable by others only where it says so. */
export async function writeWhole(file: string, text: string, mode: 0o600 | 0o644 = 0o644): Promise<void> {
  const fresh = `${file}.new`;
  await writeFile(fresh, text, { mode });
  await chmod(fresh, mode);
  await rename(fresh, file);
}

export const writeDeployment = (folder: Folder, deployment: Deployment): Promise<void> =>
  writeWhole(join(folder.path, "deployment.json"), `${JSON.stringify(deployment, null, 2)}\n`);

export async function listDeployments(root: string): Promise<ReadonlyArray<Deployment>> {
  let names: ReadonlyArray<string>;
  try {
    names = await readdir(root);
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw cause;
  }
  const found = await Promise.all(names.toSorted().map((name) => readDeployment(folderOf(root, name))));
  return found.filter((deployment) => deployment !== null);
}

export async function makeFolders(folder: Folder): Promise<void> {
  for (const part of ["keys", "creds", "tls"])
    await mkdir(join(folder.path, part), { recursive: true, mode: 0o700 });
  await mkdir(join(folder.root, "nats", "context"), { recursive: true });
}

export const keyFile = (folder: Folder, name: "operator" | "account" | "system"): string =>
  join(folder.path, "keys", `${name}.nk`);
export const credsFile = (folder: Folder, name: string): string =>
  join(folder.path, "creds", `${name}.creds`);

/** Rejects, with what it is good for, where the seed is not in the folder. */
export async function readSeed(folder: Folder, name: Parameters<typeof keyFile>[1]): Promise<string> {
  const file = keyFile(folder, name);
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (cause) {
    if (isMissing(cause))
      throw failed(`${file} is not there: it signs for ${folder.name}. Put it back for this command`);
    throw cause;
  }
}

export const writeKey = (folder: Folder, name: Parameters<typeof keyFile>[1], seed: string): Promise<void> =>
  writeWhole(keyFile(folder, name), `${seed}\n`, 0o600);
export const writeCreds = (folder: Folder, name: string, creds: string): Promise<void> =>
  writeWhole(credsFile(folder, name), creds, 0o600);

/** Beside `src/` in the checkout, beside `dist/` when installed. */
export const readTemplate = (name: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../../nats/${name}.conf`, import.meta.url)), "utf8");

export interface NatsContext {
  readonly description: string;
  readonly url: string;
  readonly creds: string;
  readonly ca: string;
  readonly inbox: string;
}

/** For the nats CLI, which looks below `$XDG_CONFIG_HOME/nats/context`. */
export const writeContext = (folder: Folder, role: string, context: NatsContext): Promise<void> =>
  writeWhole(
    join(folder.root, "nats", "context", `${folder.name}-${role}.json`),
    `${JSON.stringify(
      {
        description: context.description,
        url: context.url,
        creds: context.creds,
        ca: context.ca,
        inbox_prefix: context.inbox,
      },
      null,
      2,
    )}\n`,
  );
