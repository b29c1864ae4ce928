/** `orrery site init`: keys, credentials, certificates, server configuration and site file of a new site or supernode. */
import { join, resolve } from "node:path";
import * as Effect from "effect/Effect";
import { asName, isName } from "../config/rules/names.ts";
import { accountJwt, newAccount, newOperator, newUser, operatorJwt } from "../jetstream/trust.ts";
import type { Key } from "../jetstream/trust.ts";
import type { Deployment, Ports, ServerAddress } from "../sites/deployment.ts";
import { addresses, hostPort, listenOn } from "../sites/deployment.ts";
import { adminFor, credentials, subjectsOf } from "../sites/permissions.ts";
import type { CredentialName } from "../sites/permissions.ts";
import { siteYaml, supernodeYaml } from "../sites/siteFile.ts";
import type { SupernodeCredentialName } from "../sites/supernodePermissions.ts";
import { supernodeCredentials, supernodeSubjectsOf } from "../sites/supernodePermissions.ts";
import { fill, quoted, trustConf } from "../sites/template.ts";
import { certificateFiles, makeCertificates, takeCertificates } from "./certificates.ts";
import type { CommandFailed } from "./failures.ts";
import { failed, misused, ofCause } from "./failures.ts";
import type { IoService } from "./Io.ts";
import { say, sayJson } from "./Io.ts";
import type { Folder } from "./siteFolder.ts";
import { epochAfter, knownEpochs } from "./siteLife.ts";
import {
  credsFile,
  defaultRoot,
  folderOf,
  makeFolders,
  readDeployment,
  readTemplate,
  writeContext,
  writeCreds,
  writeDeployment,
  writeKey,
  writeWhole,
} from "./siteFolder.ts";

export interface InitOptions {
  readonly name: string;
  readonly dir: string | null;
  readonly supernode: boolean;
  readonly hosts: string | null;
  readonly port: number;
  readonly monitorPort: number;
  readonly clusterPort: number;
  readonly leafPort: number;
  readonly dataDir: string | null;
  readonly tlsCert: string | null;
  readonly tlsKey: string | null;
  readonly tlsCa: string | null;
  readonly json: boolean;
}

export const rootOf = (io: IoService, dir: string | null): string => resolve(io.cwd, dir ?? defaultRoot);

export const init = (io: IoService, options: InitOptions): Effect.Effect<void, CommandFailed> =>
  Effect.tryPromise({ try: () => make(io, options), catch: ofCause });

async function make(io: IoService, options: InitOptions): Promise<void> {
  const { name } = options;
  if (!isName(name))
    throw misused(`${name} is no name for a site: use a-z, 0-9, _ and - only, as ${asName(name)}`);
  const folder = folderOf(rootOf(io, options.dir), name);
  if ((await readDeployment(folder)) !== null) {
    throw failed(`${folder.path} holds a deployment already; its keys are not made anew. Move it away first`);
  }
  const kind = options.supernode ? "supernode" : "site";
  const hosts = hostsOf(options);
  const ports: Ports = {
    client: options.port,
    monitor: options.monitorPort,
    cluster: options.clusterPort,
    leaf: options.leafPort,
  };
  const servers = addresses(hosts, kind, ports);
  for (const { host: _host, ...listens } of servers) {
    const bad = Object.values(listens).find((port) => port < 1 || port > 65_535);
    if (bad !== undefined) throw misused(`a port is 1 to 65535, and ${bad} would be one of them`);
  }
  await makeFolders(folder);
  await certify(io, folder, options, hosts);
  const keys = { operator: newOperator(), account: newAccount(), system: newAccount() };
  const deployment: Deployment = {
    v: 1,
    name,
    kind,
    madeAt: new Date().toISOString(),
    epoch: epochAfter(await knownEpochs(folder.root, name)),
    operator: keys.operator.publicKey,
    account: keys.account.publicKey,
    system: keys.system.publicKey,
    servers,
    supernode: null,
    members: {},
    revoked: {},
  };
  for (const key of ["operator", "account", "system"] as const) await writeKey(folder, key, keys[key].seed);
  await writeTrust(folder, deployment, keys.operator.seed, keys.system.seed, keys.account.seed);
  const roles = await writeUsers(folder, deployment, keys);
  const dataDir = resolve(io.cwd, options.dataDir ?? join(folder.path, "data"));
  const configurations = await writeServers(folder, deployment, dataDir);
  await writeSiteFile(folder, deployment);
  // Last: a folder without it is one that was not finished.
  await writeDeployment(folder, deployment);
  const made = { name, kind, folder: folder.path, configurations, credentials: roles };
  if (options.json) return sayJson(io, made);
  say(io, `${kind} ${name}: ${folder.path}`);
  for (const file of configurations) say(io, `  nats-server -c ${file}`);
  if (kind === "site") {
    const admin = credsFile(folder, "admin");
    say(io, `  ORRERY_CREDENTIALS=${admin} orrery topology apply ${join(folder.path, "site.yaml")}`);
  }
  if (kind === "supernode") say(io, `  ${applyWords(folder, options.dir)}`);
  say(io, `  orrery start ${join(folder.path, "site.yaml")}`);
  const operator = credsFile(folder, "operator");
  say(io, `  ORRERY_CREDENTIALS=${operator} orrery status --site ${join(folder.path, "site.yaml")}`);
  say(io, `keys/ signs for ${name}: keep it away from the machines that run it`);
  return undefined;
}

const applyWords = ({ name }: Folder, dir: string | null): string =>
  `orrery site apply --supernode ${name}${dir === null ? "" : ` --dir ${dir}`}`;

function hostsOf({ hosts, supernode }: InitOptions): ReadonlyArray<string> {
  const found = (hosts ?? "127.0.0.1").split(",").map((host) => host.trim());
  const bad = found.find((host) => !/^[A-Za-z0-9.:-]+$/.test(host));
  if (bad !== undefined) throw misused(`--hosts: ${quoted(bad)} is no host name or address`);
  if (!supernode) {
    if (found.length > 1) throw misused("a site has one server: give one host");
    return found;
  }
  if (found.length === 1) return Array.from({ length: 3 }, () => found[0] ?? "");
  if (found.length % 2 === 0) throw misused("a supernode has an odd number of servers: give 3 hosts");
  return found;
}

async function certify(
  io: IoService,
  folder: Folder,
  options: InitOptions,
  hosts: ReadonlyArray<string>,
): Promise<void> {
  const { tlsCert, tlsKey, tlsCa } = options;
  const tls = join(folder.path, "tls");
  if (tlsCert === null && tlsKey === null && tlsCa === null) return makeCertificates(tls, folder.name, hosts);
  if (tlsCert === null || tlsKey === null || tlsCa === null) {
    throw misused("--tls-cert, --tls-key and --tls-ca go together");
  }
  const given = { cert: resolve(io.cwd, tlsCert), key: resolve(io.cwd, tlsKey), ca: resolve(io.cwd, tlsCa) };
  return takeCertificates(tls, given);
}

/** The accounts as they stand now, into the file that every server of the deployment includes. @returns the account's JWT */
export async function writeTrust(
  folder: Folder,
  deployment: Deployment,
  operatorSeed: string,
  systemSeed: string,
  accountSeed: string,
): Promise<string> {
  const { name, system, account, revoked } = deployment;
  const jwt = await accountJwt(name, accountSeed, operatorSeed, { jetstream: true, revoked });
  const text = trustConf(await operatorJwt(name, operatorSeed, system), system, {
    [system]: await accountJwt("SYS", systemSeed, operatorSeed, { jetstream: false }),
    [account]: jwt,
  });
  await writeWhole(join(folder.path, "trust.conf"), text);
  return jwt;
}

const everything = { publish: [">"], subscribe: [">"] };
/** Everything in an account of its own, and nothing of the servers. */
export const adminSubjects = { ...everything, publishNot: ["$SYS.>"], subscribeNot: ["$SYS.>"] };

export const urlsOf = (servers: ReadonlyArray<ServerAddress>): ReadonlyArray<string> =>
  servers.map(({ host, client }) => `tls://${hostPort(host, client)}`);

/** Every role's .creds file, and for people a context of the nats CLI. @returns the names */
async function writeUsers(
  folder: Folder,
  deployment: Deployment,
  keys: { readonly account: Key; readonly system: Key },
): Promise<ReadonlyArray<string>> {
  const { name, kind, servers } = deployment;
  const people = new Map<string, { readonly publicKey: string; readonly description: string }>();
  const written: Array<string> = [];
  const user = async (
    role: string,
    description: string,
    seed: string,
    may: Parameters<typeof newUser>[2],
  ) => {
    const made = await newUser(`${name} ${role}`, seed, may);
    await writeCreds(folder, role, made.creds);
    written.push(role);
    if (role === "admin" || role === "operator" || role === "system")
      people.set(role, { publicKey: made.publicKey, description });
  };
  if (kind === "site") {
    for (const role of Object.keys(credentials) as ReadonlyArray<CredentialName>) {
      await user(role, credentials[role].for, keys.account.seed, (inbox) => subjectsOf(role, inbox));
    }
  } else {
    for (const role of Object.keys(supernodeCredentials) as ReadonlyArray<SupernodeCredentialName>) {
      const whom = supernodeCredentials[role].for;
      await user(role, whom, keys.account.seed, (inbox) => supernodeSubjectsOf(role, inbox));
    }
  }
  await user("admin", adminFor, keys.account.seed, () => adminSubjects);
  await user("system", "who watches the servers, and revokes", keys.system.seed, () => everything);
  for (const [role, { publicKey, description }] of people) {
    await writeContext(folder, role, {
      description: `Orrery ${kind} ${name}: ${description}`,
      url: urlsOf(servers).join(","),
      creds: credsFile(folder, role),
      ca: certificateFiles(join(folder.path, "tls")).ca,
      inbox: role === "operator" ? `_INBOX.${publicKey}` : "_INBOX",
    });
  }
  return written;
}

/** @returns the configuration of each server */
async function writeServers(
  folder: Folder,
  deployment: Deployment,
  dataDir: string,
): Promise<ReadonlyArray<string>> {
  const { name, kind, servers } = deployment;
  const template = await readTemplate(kind);
  const tls = certificateFiles(join(folder.path, "tls"));
  const routes = servers.map(({ host, cluster = 0 }) => quoted(`nats-route://${hostPort(host, cluster)}`));
  const files: Array<string> = [];
  for (const [index, { host, client, monitor, cluster = 0, leaf = 0 }] of servers.entries()) {
    const server = kind === "site" ? name : `${name}-${index}`;
    const file = join(folder.path, kind === "site" ? "nats.conf" : `${server}.conf`);
    const text = fill(template, {
      name,
      server,
      client: listenOn(host, client),
      monitor: hostPort("127.0.0.1", monitor),
      cluster: listenOn(host, cluster),
      leaf: listenOn(host, leaf),
      routes: routes.join(", "),
      cert: quoted(tls.cert),
      key: quoted(tls.key),
      ca: quoted(tls.ca),
      store: quoted(join(dataDir, server)),
      accounts: quoted(join(dataDir, `${server}-accounts`)),
    });
    await writeWhole(file, text);
    files.push(file);
  }
  if (kind === "site")
    await writeWhole(join(folder.path, "leaf.conf"), `# ${name} has joined no supernode.\n`);
  return files;
}

const writeSiteFile = (folder: Folder, { name, kind, servers }: Deployment): Promise<void> =>
  writeWhole(
    join(folder.path, "site.yaml"),
    kind === "site"
      ? siteYaml(name, urlsOf(servers), servers[0]?.monitor ?? 0)
      : supernodeYaml(name, urlsOf(servers)),
  );
