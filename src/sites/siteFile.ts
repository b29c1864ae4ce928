/** The site file that a new site begins with: how it reaches its server stands in it; what it takes is for a person to say. */
export const siteYaml = (
  name: string,
  servers: ReadonlyArray<string>,
  monitorPort: number,
): string => `# Site ${name}. \`orrery check\` says what is wrong with it; docs/site-file.md shows every key.
name: ${name}
dataDir: data/node
nats:
  mode: external
  servers: [${servers.map((server) => JSON.stringify(server)).join(", ")}]
  tls: { caFile: tls/ca.pem }
  # Monitoring, on the server's own machine: there it is read whether what is acknowledged is on disk.
  monitor: http://127.0.0.1:${monitorPort}
  # A node with fewer roles takes credentials that may less: ORRERY_CREDENTIALS=creds/ingester.creds
  credentialsFile: creds/node.creds
  # Nodes may not make streams and consumers: orrery topology apply does, as creds/admin.creds.
  topology: verify
lanes:
  # What comes in, by a name of your own.
  files:
    kind: object
    buckets: [incoming]
    pattern: '^(?<day>\\d{8})/'
`;

/** The file of a supernode's nodes. */
export const supernodeYaml = (
  name: string,
  servers: ReadonlyArray<string>,
): string => `# Supernode ${name}: what its sites let others see is held here. docs/sites.md says what its nodes do.
name: ${name}
supernode: true
dataDir: data/node
nats:
  mode: external
  servers: [${servers.map((server) => JSON.stringify(server)).join(", ")}]
  replicas: ${servers.length}
  tls: { caFile: tls/ca.pem }
  # A node with fewer roles takes credentials that may less: ORRERY_CREDENTIALS=creds/keeper.creds
  credentialsFile: creds/node.creds
  # Nodes may not make streams: orrery site apply --supernode ${name} does.
  topology: verify
`;
