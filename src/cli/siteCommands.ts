/** `orrery site init|join|sees|ls|revoke|…`: a deployment's keys, credentials and server configurations. */
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { argument, integer, json, plain, run, text, toggle } from "./spec.ts";

const dir = text("dir", "FOLDER", "Where deployments are kept; default ./sites");
const supernode = Flag.String("supernode").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("Name of the supernode"),
);
const port = (name: string, value: number, description: string) =>
  integer(name, "PORT", `${description}; default ${value}`).pipe(Flag.withDefault(value));

const init = Command.make(
  "init",
  {
    name: argument("NAME", "Its name: JetStream domain, and the first word of its keys at the supernode"),
    dir,
    supernode: toggle("supernode", "A supernode: a cluster of three servers that sites join"),
    hosts: text("hosts", "A,B,C", "Hosts of its servers; default 127.0.0.1"),
    port: port(
      "port",
      4222,
      "For clients; further servers on one host take the ports behind it, as with all of these",
    ),
    monitorPort: port("monitor-port", 8222, "Monitoring, on loopback"),
    clusterPort: port("cluster-port", 6222, "Supernode: its servers among themselves"),
    leafPort: port("leaf-port", 7422, "Supernode: sites that join"),
    dataDir: text("data-dir", "FOLDER", "Where its servers keep their store; default FOLDER/NAME/data"),
    tlsCert: text(
      "tls-cert",
      "FILE",
      "Certificate of its servers, PEM; default: openssl makes an authority and one",
    ),
    tlsKey: text("tls-key", "FILE", "Key of the certificate"),
    tlsCa: text("tls-ca", "FILE", "Authority that signed it"),
    json,
  },
  (given) =>
    run(
      () => import("./siteInit.ts"),
      (module, io) => module.init(io, plain(given)),
    ),
).pipe(
  Command.withDescription(
    "Make keys, credentials for each role, certificates, server configuration and site file of a new site, or of a supernode.",
  ),
  Command.withShortDescription("Make a site's keys and configuration"),
  Command.withExamples([
    { command: "orrery site init summit --hosts nats.summit.example.org" },
    {
      command:
        "orrery site init hub --supernode --hosts hub-a.example.org,hub-b.example.org,hub-c.example.org",
    },
  ]),
);

const join = Command.make(
  "join",
  {
    name: argument("NAME", "The site"),
    supernode,
    sees: text("sees", "A,B", "Sites whose groups it may look up: all, none, or names; default all"),
    filesOf: text("files-of", "A,B", "Sites whose files it is sent, as inputs of its jobs; default none"),
    dir,
    json,
  },
  (given) =>
    run(
      () => import("./siteMembers.ts"),
      (module, io) => module.join(io, plain(given)),
    ),
).pipe(
  Command.withDescription(
    "Give a site a user of its own at the supernode, and its server the configuration to join.",
  ),
  Command.withShortDescription("Let a site join a supernode"),
);

const sees = Command.make(
  "sees",
  {
    name: argument("NAME", "The site that asks"),
    sites: argument("SITES", "all, none, or names with commas between"),
    supernode,
    dir,
    json,
  },
  (given) =>
    run(
      () => import("./siteMembers.ts"),
      (module, io) => module.sees(io, plain(given)),
    ),
).pipe(
  Command.withDescription("Say of which other sites a site may look up groups; in force once it is applied."),
  Command.withShortDescription("Whose groups a site may look up"),
);

const ls = Command.make("ls", { dir, json }, (given) =>
  run(
    () => import("./siteMembers.ts"),
    (module, io) => module.list(io, plain(given)),
  ),
).pipe(Command.withDescription("Sites and supernodes of the folder, and who has joined whom."));

const revoke = Command.make("revoke", { name: argument("NAME", "The site"), supernode, dir, json }, (given) =>
  run(
    () => import("./siteMembers.ts"),
    (module, io) => module.revoke(io, plain(given)),
  ),
).pipe(
  Command.withDescription(
    "Put a site out of the supernode: its connection is ended within seconds, and its key is void there. The site itself goes on alone.",
  ),
  Command.withShortDescription("Put a site out of the supernode"),
);

const apply = Command.make("apply", { supernode, dir, json }, (given) =>
  run(
    () => import("./siteSources.ts"),
    (module, io) => module.apply(io, plain(given)),
  ),
).pipe(
  Command.withDescription(
    "Make the supernode's bucket of all sites, and have it take over the ledger of each that has joined.",
  ),
  Command.withShortDescription("Have the supernode source the sites' ledgers"),
);

const sources = Command.make("sources", { supernode, dir, json }, (given) =>
  run(
    () => import("./siteSources.ts"),
    (module, io) => module.sources(io, plain(given)),
  ),
).pipe(
  Command.withDescription(
    "What the supernode holds of each site, and since when it has heard nothing of it. Exit 3 when a site is silent.",
  ),
  Command.withShortDescription("How far each site's ledger has come"),
);

const reconcile = Command.make(
  "reconcile",
  {
    name: argument("SITE", "The site"),
    supernode,
    dir,
    dryRun: toggle("dry-run", "Only look"),
    evenMost: toggle("even-most", "Drop also where more than half of the site's keys would go"),
    json,
  },
  (given) =>
    run(
      () => import("./siteReconcile.ts"),
      (module, io) => module.reconcile(io, plain(given)),
    ),
).pipe(
  Command.withDescription(
    "Compare what the supernode has of a site with what the site has, key by key, and drop what the site has no more. Exit 3 when something else differs.",
  ),
  Command.withShortDescription("Compare a site with what is held of it"),
);

const forget = Command.make(
  "forget",
  {
    name: argument("SITE", "The site"),
    supernode,
    epoch: Flag.String("epoch").pipe(
      Flag.withMetavar("EPOCH"),
      Flag.withDescription("The life, as the keeper's log names it; not the present one"),
    ),
    dir,
    json,
  },
  (given) =>
    run(
      () => import("./siteForget.ts"),
      (module, io) => module.forget(io, plain(given)),
    ),
).pipe(
  Command.withDescription(
    "Drop what the supernode keeps of a former life of a site: the keeper does so by itself once the present one has grown to about as much.",
  ),
  Command.withShortDescription("Drop a former life of a site"),
);

export const site = Command.make("site").pipe(
  Command.withDescription(
    "Sites and the supernode: keys, credentials and server configurations, and who has joined.",
  ),
  Command.withShortDescription("Sites and the supernode: init, join, ls, …"),
  Command.withSubcommands([init, join, sees, ls, revoke, apply, sources, reconcile, forget]),
  Command.withExamples([
    { command: "orrery site init summit" },
    { command: "orrery site init hub --supernode" },
    { command: "orrery site join summit --supernode hub" },
    { command: "orrery site revoke summit --supernode hub" },
  ]),
);
