/** A supernode: what its file may not say, and what only its file may. */
import { isRecord } from "../decode.ts";
import type { Finding } from "../document.ts";
import type { SiteFile } from "../SiteSchema.ts";
import { keysOfSites, siteRoles, supernodeRoles } from "../SiteSchema.ts";

/** @param raw the file before defaults were filled in */
export function supernodeRules(file: SiteFile, raw: unknown): ReadonlyArray<Finding> {
  return file.supernode ? [...onlyOfSites(raw), ...serverRules(file), ...roleRules(file)] : keeperRules(file);
}

function onlyOfSites(raw: unknown): ReadonlyArray<Finding> {
  const given = isRecord(raw) ? raw : {};
  return keysOfSites
    .filter((key) => key in given)
    .map((key) => ({
      path: [key],
      atKey: true,
      value: null,
      message: "has no meaning at a supernode: it takes nothing in, and works on no files",
      fix: "remove it, or put it into the file of a site",
    }));
}

function serverRules({ nats }: SiteFile): ReadonlyArray<Finding> {
  if (nats.mode === "external") return [];
  return [
    {
      path: ["nats", "mode"],
      message: "sites join a supernode's servers: they are servers of their own",
      fix: "write mode: external, and servers: [tls://host:4222]",
    },
  ];
}

function roleRules({ node }: SiteFile): ReadonlyArray<Finding> {
  return (["roles", "elsewhere"] as const).flatMap((key) =>
    node[key].flatMap((role, index) =>
      supernodeRoles.includes(role)
        ? []
        : [
            {
              path: ["node", key, index],
              message: "is a role of a site's nodes: a supernode works on no files",
              fix: `write some of ${supernodeRoles.join(", ")}`,
            },
          ],
    ),
  );
}

function keeperRules({ node }: SiteFile): ReadonlyArray<Finding> {
  return node.roles.flatMap((role, index) =>
    siteRoles.includes(role)
      ? []
      : [
          {
            path: ["node", "roles", index],
            message: "is a role of a supernode's nodes: at a site there is nothing for it to keep",
            fix: "remove it, or say supernode: true where this is one",
          },
        ],
  );
}
