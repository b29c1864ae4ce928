/** Which files of variables go together: a site has nodes of the roles that its `nodes` name, and a supernode's file has nodes only. */
import { didYouMean } from "../../src/config/nearMiss.ts";
import type { HclBody } from "./hclTree.ts";
import type { Refusal } from "./refusal.ts";
import { declaredIn } from "./variables.ts";

interface Given {
  readonly file: string;
  readonly json: Readonly<Record<string, unknown>>;
  readonly tree: HclBody;
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};

const rolesOf = ({ json }: Given): ReadonlyArray<string> =>
  Object.keys(fieldsOf(fieldsOf(json["site"])["nodes"]));
const nameOf = ({ json }: Given): string => String(fieldsOf(json["role"])["name"]);

export const isSupernodeFile = (text: string): boolean => /^supernode: true$/m.test(text);

/** Whether a file of variables has to do with a job: the file of a supernode's nodes has with that of nodes alone. */
export function concerns(given: Given, job: Given, files: ReadonlyMap<string, string>): boolean {
  const path = fieldsOf(given.json["site"])["site_file"];
  if (typeof path !== "string" || !isSupernodeFile(files.get(path) ?? "")) return true;
  return declaredIn(job.tree).has("role");
}

export function goTogether(chosen: ReadonlyArray<Given>): boolean {
  const site = chosen.find(({ json }) => "site" in json);
  const role = chosen.find(({ json }) => "role" in json);
  return site === undefined || role === undefined || rolesOf(site).includes(nameOf(role));
}

/** Nodes of a role that there is not, and a role that no site has: neither would be resolved with anything. */
export function unmatchedRoles(variables: ReadonlyArray<Given>): ReadonlyArray<Refusal> {
  const sites = variables.filter(({ json }) => "site" in json);
  const roles = variables.filter(({ json }) => "role" in json);
  const names = roles.map(nameOf);
  const wanted = new Set(sites.flatMap(rolesOf));
  return [
    ...sites.flatMap((site) =>
      rolesOf(site)
        .filter((name) => !names.includes(name))
        .map((name) => {
          const nodes = site.tree.attributes.get("site")?.fields.get("nodes");
          const line = nodes?.fields.get(name)?.line ?? nodes?.line ?? 1;
          return { file: site.file, line, message: `there is no role ${name}${didYouMean(name, names)}` };
        }),
    ),
    ...roles
      .filter((role) => !wanted.has(nameOf(role)))
      .map((role) => {
        const line = role.tree.attributes.get("role")?.fields.get("name")?.line ?? 1;
        return { file: role.file, line, message: `no site has nodes of the role ${nameOf(role)}` };
      }),
  ];
}
