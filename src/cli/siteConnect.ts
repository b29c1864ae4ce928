/** The way to a deployment's own servers, with the credentials of its folder. */
import { join } from "node:path";
import type * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { ConnectSettings, NatsService } from "../jetstream/Nats.ts";
import { connectNats } from "../jetstream/Nats.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import type { Deployment } from "../sites/deployment.ts";
import { certificateFiles } from "./certificates.ts";
import { connectFirstMs, serversOf } from "./eachServer.ts";
import type { Folder } from "./siteFolder.ts";
import { credsFile } from "./siteFolder.ts";
import { urlsOf } from "./siteInit.ts";
import type { Way } from "./way.ts";

/** All but where: by which credentials, and whose certificates are taken. */
export const settingsOf = (folder: Folder, role: "admin" | "system"): Omit<ConnectSettings, "servers"> => ({
  name: `orrery site (${role})`,
  credentialsFile: credsFile(folder, role),
  tls: { caFile: certificateFiles(join(folder.path, "tls")).ca, certFile: null, keyFile: null },
});

export const wayTo = (folder: Folder, deployment: Deployment, role: "admin" | "system"): Way => ({
  servers: serversOf(deployment, urlsOf(deployment.servers)),
  settings: settingsOf(folder, role),
  namedBy: `${folder.name}'s folder`,
  supernode: deployment.kind === "supernode" ? deployment.name : null,
});

export const connectDeployment = (
  folder: Folder,
  deployment: Deployment,
  role: "admin" | "system",
): Effect.Effect<NatsService, NatsUnavailable, Scope.Scope> =>
  connectNats(
    { ...settingsOf(folder, role), servers: urlsOf(deployment.servers) },
    { firstMs: connectFirstMs },
  );
