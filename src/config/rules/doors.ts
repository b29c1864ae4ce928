/** What comes in and is asked from outside: HTTP, the webhook's secret, S3 endpoints, presence, the node's own roles. */
import type { Finding } from "../document.ts";
import type { SiteFile } from "../SiteSchema.ts";
import { parseNetwork } from "../../protocol/networkAddress.ts";

/** Only this machine reaches it. */
export function isLoopback(host: string): boolean {
  const name = host.replaceAll(/^\[|\]$/g, "").toLowerCase();
  return name === "localhost" || name === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
}

const ownPaths = ["/healthz", "/readyz", "/metrics", "/presence"];

export function doorRules(file: SiteFile): ReadonlyArray<Finding> {
  return [
    ...httpRules(file),
    ...webhookRules(file),
    ...endpointRules(file),
    ...presenceRules(file),
    ...roleRules(file),
  ];
}

function httpRules({ http }: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  if (!isLoopback(http.host) && !http.insecure) {
    findings.push({
      path: ["http", "host"],
      message: "plain HTTP on an address that other machines reach",
      fix: "listen on 127.0.0.1 behind a proxy that speaks TLS, or accept it with http.insecure: true",
    });
  }
  for (const [index, proxy] of http.trustedProxies.entries()) {
    const network = parseNetwork(proxy);
    const path = ["http", "trustedProxies", index];
    if (network === null) {
      findings.push({
        path,
        message: "is neither an address nor a network",
        fix: "write an address, 10.0.0.5, or a network, 10.1.0.0/16",
      });
    } else if (network.bits === 0) {
      findings.push({
        path,
        message: "is every address there is: any sender could say that it is another",
        fix: "name the proxies' own addresses",
      });
    }
  }
  return findings;
}

function webhookRules({ enqueuer, http, node }: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  if (!/^(?:\/[\w.~-]+)+$/.test(enqueuer.path)) {
    findings.push({
      path: ["enqueuer", "path"],
      message: "is no path of a webhook",
      fix: "write a path of plain words: /notify",
    });
  }
  const own = ownPaths.find((path) => enqueuer.path === path || enqueuer.path.startsWith(`${path}/`));
  if (own !== undefined) {
    findings.push({
      path: ["enqueuer", "path"],
      message: `${own} is Orrery's own`,
      fix: "choose another: /notify",
    });
  }
  const open = enqueuer.secret === null && !isLoopback(http.host) && !enqueuer.insecure;
  if (open && node.roles.includes("enqueuer")) {
    findings.push({
      path: ["enqueuer", "secret"],
      value: null,
      message: `anybody who reaches ${http.host} could announce files: no secret is asked for`,
      fix: "set enqueuer.secret: env:NOTIFICATION_SECRET, or accept it with enqueuer.insecure: true",
    });
  }
  if (enqueuer.secret !== null && enqueuer.secretIn.length === 0) {
    findings.push({
      path: ["enqueuer", "secretIn"],
      message: "a secret is set and looked for nowhere: every notification would be refused",
      fix: "write [opaqueData, bearer]",
    });
  }
  const subject = enqueuer.natsSubject;
  if (subject !== null && !/^[^\s.*>$]+(?:\.(?:[^\s.*>]+|\*))*(?:\.>)?$/.test(subject)) {
    findings.push({
      path: ["enqueuer", "natsSubject"],
      message: "is no NATS subject to listen on",
      fix: "write words with dots between them: s3.events",
    });
  }
  return findings;
}

function endpointRules({ storage }: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  for (const [name, settings] of Object.entries(storage)) {
    if (settings.driver !== "s3") continue;
    if ((settings.accessKeyId === null) !== (settings.secretAccessKey === null)) {
      findings.push({
        path: ["storage", name],
        value: null,
        message: "accessKeyId and secretAccessKey go together",
        fix: "set both as env:NAME or file:PATH, or neither for the AWS client's own chain",
      });
    }
    if (settings.endpoint === null) continue;
    const path = ["storage", name, "endpoint"];
    const url = URL.canParse(settings.endpoint) ? new URL(settings.endpoint) : null;
    if (url === null || !/^https?:$/.test(url.protocol)) {
      findings.push({
        path,
        message: "is no URL of an S3 server",
        fix: "write https://host or https://host:port",
      });
    } else if (url.username !== "" || url.password !== "") {
      findings.push({
        path,
        message: "credentials must not stand in a URL",
        fix: "take them out, and set accessKeyId and secretAccessKey: env:NAME",
      });
    } else if (url.protocol === "http:" && !isLoopback(url.hostname) && !settings.insecure) {
      findings.push({
        path,
        message: "S3 on another machine over plain HTTP: files can be read and changed on the way",
        fix: `use https://…, or accept it with storage.${name}.insecure: true`,
      });
    }
  }
  return findings;
}

function presenceRules({ presence, lanes, node }: SiteFile): ReadonlyArray<Finding> {
  if (presence === null) {
    const wanted =
      node.roles.includes("presence") && Object.values(lanes).some((lane) => lane.kind === "exposure");
    if (!wanted) return [];
    return [
      {
        severity: "warning",
        path: ["presence"],
        value: null,
        message: "no instruments: every presence look-up will be answered 400",
        fix: "add presence: { instruments: [LSSTCam] }, or leave presence out of node.roles",
      },
    ];
  }
  const path = ["presence", "instruments"];
  if (presence.instruments.length === 0) {
    return [
      {
        path,
        message: "no instrument: every presence look-up would be answered 400",
        fix: "name the instruments: [LSSTCam]",
      },
    ];
  }
  return presence.instruments.flatMap((instrument, index) =>
    presence.instruments.indexOf(instrument) < index
      ? [{ path: [...path, index], message: "is named twice", fix: "remove one of the two" }]
      : [],
  );
}

function roleRules({
  node,
  lanes,
  jobs,
  watch,
  presence,
  webhooks,
  visits,
  supernode,
}: SiteFile): ReadonlyArray<Finding> {
  const findings: Array<Finding> = [];
  const runs = (role: (typeof node.roles)[number]): boolean =>
    node.roles.includes(role) || node.elsewhere.includes(role);
  if (node.roles.length === 0) {
    findings.push({
      path: ["node", "roles"],
      message: "this node would run nothing",
      fix: "remove the key to run every role",
    });
    return findings;
  }
  if (!runs("ingester") && Object.keys(lanes).length > 0) {
    findings.push({
      path: ["node", "roles"],
      message: `a lane nobody reads: ${Object.keys(lanes).join(", ")}: this node runs no ingester, and no other is said to`,
      fix: "add ingester to node.roles, or say node.elsewhere: [ingester] where another node runs it",
    });
  }
  const wanted = [
    {
      role: "reclaimer",
      when: !supernode,
      lost: "items to be tried again, and a dead node's claims, stay where they are",
    },
    { role: "resolver", when: Object.keys(jobs).length > 0, lost: "no job ever becomes ready" },
    { role: "runner", when: Object.keys(jobs).length > 0, lost: "no job ever runs" },
    { role: "watcher", when: watch.length > 0, lost: "the watched folders are not read" },
    { role: "presence", when: presence !== null, lost: "presence look-ups are not answered" },
    { role: "notifier", when: Object.keys(webhooks).length > 0, lost: "no receiver is told of anything" },
    { role: "visits", when: visits !== null, lost: "no visit is defined" },
  ] as const;
  for (const { role, when, lost } of wanted) {
    if (!when || runs(role)) continue;
    findings.push({
      severity: "warning",
      path: ["node", "roles"],
      message: `no ${role} on this node, and no other is said to run it: ${lost}`,
      fix: `add ${role} to node.roles, or say node.elsewhere: [${role}]`,
    });
  }
  return findings;
}
