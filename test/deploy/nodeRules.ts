/** Rules for Orrery's own nodes: a job whose task has ORRERY_ROLES, with the site file that it is given. */
import { siteRoles, supernodeRoles } from "../../src/config/SiteSchema.ts";
import type { Block } from "./model.ts";
import { childrenOf, lineOf, numberOf, settingOf, textOf, within } from "./model.ts";
import type { Refusal } from "./refusal.ts";
import { isSupernodeFile } from "./sitesAndRoles.ts";

interface Node {
  readonly group: Block;
  readonly task: Block;
  readonly actors: ReadonlyArray<string>;
  readonly siteFile: Block;
  readonly text: string;
}

const nodesOf = (job: Block): ReadonlyArray<Node> =>
  childrenOf(job, "group").flatMap((group) =>
    childrenOf(group, "task").flatMap((task) => {
      const env = settingOf(task, "env") as Readonly<Record<string, unknown>> | undefined;
      const actors = env?.["ORRERY_ROLES"];
      const siteFile = childrenOf(task, "template").find(
        (template) => textOf(template, "destination") === "local/site.yaml",
      );
      if (typeof actors !== "string" || siteFile === undefined) return [];
      return [{ group, task, actors: actors.split(","), siteFile, text: textOf(siteFile, "data") }];
    }),
  );

const at = (block: Block, name: string, message: string): Refusal => ({
  file: block.file,
  line: lineOf(block, name),
  message,
});

const actorsFit = ({ task, actors, text }: Node): ReadonlyArray<Refusal> => {
  const [known, whose] = isSupernodeFile(text)
    ? ([supernodeRoles, "a supernode's nodes"] as const)
    : ([siteRoles, "a site's nodes"] as const);
  return actors
    .filter((actor) => !known.some((role) => role === actor))
    .map((actor) => at(task, "env", `${actor} is none of what ${whose} run: ${known.join(", ")}`));
};

/** Of a site that is not heard of somebody must tell, also when a machine of the supernode's is lost. */
const watchedTwice = ({ group, actors }: Node): ReadonlyArray<Refusal> => {
  if (!actors.includes("keeper")) return [];
  const apart = childrenOf(group, "constraint").some(
    (constraint) =>
      textOf(constraint, "operator") === "distinct_hosts" && textOf(constraint, "value") === "true",
  );
  return [
    ...((numberOf(group, "count") ?? 1) >= 2 ? [] : [at(group, "count", "a supernode has two keepers")]),
    ...(apart ? [] : [at(group, "count", "a supernode's keepers stand on different machines")]),
  ];
};

/** As the first process of its container a node would wait for nobody but its own children: what those leave stays, as zombies. */
const reaped = ({ task }: Node): ReadonlyArray<Refusal> =>
  textOf(task, "driver") !== "docker"
    ? []
    : childrenOf(task, "config")
        .filter((config) => settingOf(config, "init") !== true)
        .map((config) => at(config, "image", "a node in a container needs init = true: it reaps nobody"));

/** A node is given what its site file reads, and no other secret. */
const secretsRead = ({ task, siteFile, text }: Node): ReadonlyArray<Refusal> => {
  const read = new Set([...text.matchAll(/\.\.\/(secrets\/[\w.-]+)/g)].map(([, path]) => path ?? ""));
  const given = within(task, "template").filter((each) => textOf(each, "destination").startsWith("secrets/"));
  const paths = given.map((each) => textOf(each, "destination"));
  return [
    ...[...read]
      .filter((path) => !paths.includes(path))
      .map((path) => at(siteFile, "data", `the site file reads ${path}, which the task is not given`)),
    ...given
      .filter((each) => !read.has(textOf(each, "destination")))
      .map((each) =>
        at(
          each,
          "destination",
          `the site file does not read ${textOf(each, "destination")}: not to be given`,
        ),
      ),
  ];
};

export const nodeRules: ReadonlyArray<(job: Block) => ReadonlyArray<Refusal>> = [
  actorsFit,
  watchedTwice,
  reaped,
  secretsRead,
].map((rule) => (job: Block) => nodesOf(job).flatMap(rule));
