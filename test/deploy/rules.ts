/**
 * Our own rules for a job, over Nomad's: what would be accepted and go wrong. Each is a function of the job as it would be, with its
 * blocks and values; together they are what `rules` lists.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { drainMs, runTermGraceMs } from "../../src/limits.ts";
import type { Value } from "./expression.ts";
import { isList } from "./expression.ts";
import type { Block } from "./model.ts";
import { childrenOf, durationOf, lineOf, numberOf, settingOf, textOf, within } from "./model.ts";
import { nodeRules } from "./nodeRules.ts";
import type { Refusal } from "./refusal.ts";

type Rule = (job: Block) => ReadonlyArray<Refusal>;

const at = (block: Block, name: string | null, message: string): Refusal => ({
  file: block.file,
  line: name === null ? block.line : lineOf(block, name),
  message,
});

const groupsOf = (job: Block): ReadonlyArray<Block> => childrenOf(job, "group");
const tasksOf = (job: Block): ReadonlyArray<Block> =>
  groupsOf(job).flatMap((group) => childrenOf(group, "task"));
const typeOf = (job: Block): string => textOf(job, "type") || "service";
const isUp = (job: Block): boolean => typeOf(job) === "service" || typeOf(job) === "system";

const drivers = ["docker", "exec", "raw_exec"];

const tasks: Rule = (job) =>
  tasksOf(job).flatMap((task) => {
    const driver = textOf(task, "driver");
    const user = textOf(task, "user");
    return [
      ...(drivers.includes(driver)
        ? []
        : [at(task, "driver", `driver must be one of ${drivers.join(", ")}`)]),
      ...(childrenOf(task, "config").length === 1 ? [] : [at(task, null, "a task has one config block")]),
      ...(childrenOf(task, "resources").length === 1 ? [] : [at(task, null, "a task has a resources block")]),
      ...(/^(?!0|root)\w/.test(user) ? [] : [at(task, "user", "a task runs as a user that is not root")]),
      ...(driver === "docker" || /^(?!\d+(?::|$))[^:]+$/.test(user)
        ? []
        : [at(task, "user", `${driver} takes the name of a user of its hosts, and no number`)]),
    ];
  });

/** How long a task needs from its signal to its end, ms. */
function endsWithin(task: Block): readonly [number, string] {
  const [config] = childrenOf(task, "config");
  const args = config === undefined ? undefined : settingOf(config, "args");
  if (isList(args) && args[0] === "run-task") return [runTermGraceMs, "the time that a command has to end"];
  const conf = childrenOf(task, "template")
    .map((template) => textOf(template, "data"))
    .join("\n");
  const duck = ["lame_duck_grace_period", "lame_duck_duration"].map((name) =>
    durationOf(new RegExp(`\\b${name}: *(\\w+)`).exec(conf)?.[1]),
  );
  const lame = duck.reduce<number>((sum, ms) => sum + (ms ?? 0), 0);
  return lame > 0 ? [lame, "the lame-duck time"] : [drainMs, "the drain time"];
}

const killTimeout: Rule = (job) =>
  tasksOf(job).flatMap((task) => {
    const [needs, why] = endsWithin(task);
    const given = durationOf(settingOf(task, "kill_timeout"));
    if (given !== null && given > needs) return [];
    return [at(task, "kill_timeout", `kill_timeout must be above ${why}, ${needs} ms`)];
  });

const updates: Rule = (job) => {
  if (typeOf(job) !== "service") return [];
  const found = [
    ...childrenOf(job, "update"),
    ...groupsOf(job).flatMap((group) => childrenOf(group, "update")),
  ];
  if (found.length === 0) return [at(job, null, "a service has an update block")];
  return found.flatMap((update) => {
    const canary = numberOf(update, "canary") ?? 0;
    const reverts = settingOf(update, "auto_revert") === true;
    const [min, healthy, progress] = ["min_healthy_time", "healthy_deadline", "progress_deadline"].map(
      (name) => durationOf(settingOf(update, name)),
    );
    const faults: Array<Refusal> = [];
    if (!reverts && canary > 0)
      faults.push(at(update, "canary", "canary above 0 requires auto_revert = true"));
    else if (!reverts)
      faults.push(at(update, "auto_revert", "an update reverts by itself: auto_revert = true"));
    if (canary === 0 && settingOf(update, "auto_promote") === true) {
      faults.push(at(update, "auto_promote", "auto_promote requires a canary"));
    }
    if ((min ?? 0) >= (healthy ?? Infinity)) {
      faults.push(at(update, "min_healthy_time", "min_healthy_time must be below healthy_deadline"));
    }
    if ((healthy ?? 0) >= (progress ?? Infinity)) {
      faults.push(at(update, "healthy_deadline", "healthy_deadline must be below progress_deadline"));
    }
    if (canary > 0) faults.push(...alone(job, update));
    return faults;
  });
};

/** What only one allocation can have keeps a canary from starting beside it. */
function alone(job: Block, update: Block): ReadonlyArray<Refusal> {
  const fixed = within(job, "port").find((port) => numberOf(port, "static") !== null);
  if (fixed !== undefined)
    return [at(update, "canary", `a canary cannot start beside the fixed port ${fixed.labels[0] ?? ""}`)];
  const sticky = within(job, "volume").find((volume) => settingOf(volume, "sticky") === true);
  return sticky === undefined
    ? []
    : [at(update, "canary", "a canary cannot have the volume of its predecessor")];
}

/** Also between groups: two of them may stand on one host. */
const ports: Rule = (job) => {
  const taken = new Map<number, string>();
  return within(job, "port").flatMap((port) => {
    const number = numberOf(port, "static");
    if (number === null) return [];
    const name = port.labels[0] ?? "";
    const other = taken.get(number);
    taken.set(number, name);
    if (number < 1 || number > 65_535) return [at(port, "static", `${number} is no port`)];
    return other === undefined ? [] : [at(port, "static", `port ${number} is ${other}'s already`)];
  });
};

const services: Rule = (job) =>
  groupsOf(job).flatMap((group) => {
    const labels = within(group, "port").map((port) => port.labels[0] ?? "");
    const found = [
      ...childrenOf(group, "service"),
      ...childrenOf(group, "task").flatMap((task) => childrenOf(task, "service")),
    ];
    const checked = found.some((service) => childrenOf(service, "check").length > 0);
    const [network] = childrenOf(group, "network");
    return [
      ...(network === undefined || !isUp(job) || checked
        ? []
        : [at(network, null, "what listens has a service with a health check")]),
      ...found.flatMap((service) => serviceFaults(service, labels)),
    ];
  });

function serviceFaults(service: Block, labels: ReadonlyArray<string>): ReadonlyArray<Refusal> {
  const faults: Array<Refusal> = [];
  const name = textOf(service, "name");
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(name)) {
    faults.push(
      at(service, "name", `${name} is no name for a service: at most 63 letters, digits and dashes`),
    );
  }
  for (const each of [service, ...childrenOf(service, "check")]) {
    const port = textOf(each, "port");
    if (port !== "" && !labels.includes(port)) faults.push(at(each, "port", `the group has no port ${port}`));
  }
  const nomad = textOf(service, "provider") === "nomad";
  for (const check of childrenOf(service, "check")) {
    const type = textOf(check, "type");
    if (type === "http" && !textOf(check, "path").startsWith("/"))
      faults.push(at(check, "path", "an http check has a path"));
    if (nomad && type !== "http" && type !== "tcp")
      faults.push(at(check, "type", "Nomad's own checks are http or tcp"));
    for (const name of nomad
      ? ["success_before_passing", "failures_before_critical", "tls_server_name", "expose"]
      : []) {
      if (check.settings.has(name)) faults.push(at(check, name, `${name} is for Consul's checks`));
    }
    for (const name of ["interval", "timeout"]) {
      if ((durationOf(settingOf(check, name)) ?? 0) < 1_000)
        faults.push(at(check, name, `${name} must be 1s or more`));
    }
    if (textOf(check, "on_update") === "ignore" && childrenOf(check, "check_restart").length > 0) {
      faults.push(at(check, "on_update", "on_update ignore and check_restart exclude each other"));
    }
  }
  return faults;
}

const templates: Rule = (job) =>
  tasksOf(job).flatMap((task) =>
    childrenOf(task, "template").flatMap((template) => {
      const faults: Array<Refusal> = [];
      const to = textOf(template, "destination");
      const perms = textOf(template, "perms");
      const isSecret =
        to.startsWith("secrets/") || /\b(?:nomadVar|with secret)\b/.test(textOf(template, "data"));
      if (to.startsWith("/") || to.includes(".."))
        faults.push(at(template, "destination", "destination leaves the task's folder"));
      if (isSecret && !to.startsWith("secrets/"))
        faults.push(at(template, "destination", "a secret belongs under secrets/"));
      if (isSecret && !/^0?[46]00$/.test(perms)) {
        faults.push(at(template, "perms", "a secret is for its owner only: perms 0400"));
      }
      if (isSecret && (numberOf(template, "uid") ?? 0) === 0) {
        faults.push(at(template, "uid", "a secret with perms 0400 needs the uid of the task's user"));
      }
      if (textOf(template, "change_mode") === "signal" && textOf(template, "change_signal") === "") {
        faults.push(at(template, "change_mode", "change_mode signal needs change_signal"));
      }
      if (!template.settings.has("data") && !template.settings.has("source")) {
        faults.push(at(template, null, "a template has data or a source"));
      }
      return faults;
    }),
  );

const countersFile = join(import.meta.dirname, "../../src/actors/counters.ts");
const metrics: ReadonlySet<string> = new Set(
  [...readFileSync(countersFile, "utf8").matchAll(/"(orrery_[a-z_]+)"/g)].map(([, name]) => name ?? ""),
);

const scaling: Rule = (job) =>
  groupsOf(job).flatMap((group) => {
    const count = numberOf(group, "count") ?? 1;
    const faults: Array<Refusal> = count < 0 ? [at(group, "count", "count must be 0 or more")] : [];
    for (const block of childrenOf(group, "scaling")) {
      const [min, max] = [numberOf(block, "min") ?? 0, numberOf(block, "max") ?? 0];
      if (min > max) faults.push(at(block, "min", `min ${min} is above max ${max}`));
      else if (count < min || count > max)
        faults.push(at(group, "count", `count ${count} is not from ${min} to ${max}`));
      for (const query of within(block, "check").map((check) => [check, textOf(check, "query")] as const)) {
        const named = query[1].match(/\borrery_[a-z_]+/g) ?? [];
        if (named.length === 0)
          faults.push(at(query[0], "query", "the query asks for none of Orrery's metrics"));
        for (const name of named.filter((each) => !metrics.has(each))) {
          faults.push(at(query[0], "query", `no node has the metric ${name}`));
        }
      }
    }
    return faults;
  });

const volumes: Rule = (job) =>
  groupsOf(job).flatMap((group) => {
    const declared = childrenOf(group, "volume");
    const mounts = within(group, "volume_mount");
    const names = declared.map((volume) => volume.labels[0] ?? "");
    const taken = mounts.map((mount) => textOf(mount, "volume"));
    return [
      ...mounts
        .filter((mount) => !names.includes(textOf(mount, "volume")))
        .map((mount) => at(mount, "volume", `the group has no volume ${textOf(mount, "volume")}`)),
      ...declared
        .filter((volume) => !taken.includes(volume.labels[0] ?? ""))
        .map((volume) => at(volume, null, `no task mounts the volume ${volume.labels[0] ?? ""}`)),
      ...childrenOf(group, "task")
        .filter((task) => textOf(task, "driver") === "raw_exec")
        .flatMap((task) =>
          childrenOf(task, "volume_mount").map((mount) => at(mount, null, "raw_exec mounts no volumes")),
        ),
    ];
  });

const edge: Rule = (job) =>
  groupsOf(job).flatMap((group) => {
    const [disconnect] = childrenOf(group, "disconnect");
    if (disconnect === undefined)
      return [at(group, null, "says nothing of what happens when its host is cut off: disconnect")];
    const both = disconnect.settings.has("lost_after") && disconnect.settings.has("stop_on_client_after");
    return both
      ? [at(disconnect, "lost_after", "lost_after and stop_on_client_after exclude each other")]
      : [];
  });

/** A dispatched job is one try: whether there is another the runner decides. */
const dispatched: Rule = (job) => {
  const [parameterized] = childrenOf(job, "parameterized");
  if (parameterized === undefined) return [];
  const faults: Array<Refusal> = [];
  if (typeOf(job) !== "batch") faults.push(at(job, "type", "a parameterized job is of type batch"));
  const takes = tasksOf(job).some((task) => childrenOf(task, "dispatch_payload").length > 0);
  if (textOf(parameterized, "payload") === "required" && !takes) {
    faults.push(at(parameterized, "payload", "no task takes the payload: dispatch_payload"));
  }
  for (const group of groupsOf(job)) {
    for (const type of ["restart", "reschedule"]) {
      const [block] = childrenOf(group, type);
      if (block === undefined || numberOf(block, "attempts") !== 0) {
        faults.push(
          at(
            block ?? group,
            block === undefined ? null : "attempts",
            `Nomad must not try again: ${type} attempts = 0`,
          ),
        );
      }
    }
  }
  return faults;
};

const isPinned = (image: Value | undefined): boolean =>
  typeof image !== "string" || image.includes("@sha256:") || /:(?!latest$)[\w.-]+$/.test(image);

const images: Rule = (job) =>
  tasksOf(job).flatMap((task) =>
    childrenOf(task, "config")
      .filter((config) => !isPinned(settingOf(config, "image")))
      .map((config) => at(config, "image", "an image has a tag or digest that does not move")),
  );

export const rules: ReadonlyArray<Rule> = [
  tasks,
  killTimeout,
  updates,
  ports,
  services,
  templates,
  scaling,
  volumes,
  edge,
  dispatched,
  images,
  ...nodeRules,
];
