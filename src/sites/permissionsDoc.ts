/** docs/permissions.md, from the table itself. */
import { leafPermissions } from "./leaf.ts";
import { leafFilesPermissions } from "./leafFiles.ts";
import type { Credential, Permission } from "./permissions.ts";
import { adminFor, credentials, permissions } from "./permissions.ts";
import type { SupernodeCredential } from "./supernodePermissions.ts";
import { supernodeCredentials, supernodePermissions } from "./supernodePermissions.ts";

const code = (subjects: ReadonlyArray<string>): string =>
  subjects.length === 0 ? "-" : subjects.map((subject) => `\`${subject}\``).join(" ");

function rows(of: ReadonlyArray<Permission>): ReadonlyArray<string> {
  return of.map(
    ({ may, publish = [], subscribe = [] }) => `| ${may} | ${code(publish)} | ${code(subscribe)} |`,
  );
}

const section = (
  title: string,
  of: ReadonlyArray<Permission>,
  columns: readonly [string, string],
): ReadonlyArray<string> => [
  `### ${title}`,
  "",
  `| may | ${columns[0]} | ${columns[1]} |`,
  "| --- | --- | --- |",
  ...rows(of),
  "",
];

const columns = ["publishes", "hears"] as const;

export function permissionsDoc(): string {
  const users: ReadonlyArray<readonly [string, Credential]> = Object.entries(credentials);
  const supernodeUsers: ReadonlyArray<readonly [string, SupernodeCredential]> =
    Object.entries(supernodeCredentials);
  return [
    "# Who may do what",
    "",
    "<!-- Written from src/sites/permissions.ts: `vitest run test/unit/sites -u` writes it anew. -->",
    "",
    "`orrery site init` makes one `.creds` file for each of these, `orrery site join` that of `leaf`. What is not listed is refused by the server, with the subject in the error; a test tries all of it, both ways, on real servers.",
    "",
    "| credentials | for | may do what these may |",
    "| --- | --- | --- |",
    ...users.map(([name, { for: whom, actors }]) => `| \`${name}\` | ${whom} | ${actors.join(", ")} |`),
    `| \`admin\` | ${adminFor} | everything in the site's account; \`$SYS.>\` is refused |`,
    "| `system` | who watches the site's own server | the server's system account, and nothing of the site's |",
    "| `leaf` | the site's server, to join a supernode; no client may use it | [what passes between site and supernode](#between-a-site-and-the-supernode) |",
    "",
    "A site and the supernode have an operator each: an account of the one is unknown to the other, the system accounts as well. A site's names and keys are its own; two sites meet only in what the supernode holds of each.",
    "",
    "Who may list or follow a bucket makes a consumer there, and NATS looks at what a consumer is asked for only by its stream's name: somebody who holds such credentials and means harm can change or end that stream's other consumers, and can have its messages delivered to a subject of the site's account that he could not publish to himself. Nothing outside the site's account is reached by it. Give `operator` to people you would let do that.",
    "",
    "Not in the table, and so refused: a storage with the driver `objectstore`, notifications by `enqueuer.natsSubject`, and subjects on which actors of your own answer. A site that has these uses credentials of its own making, signed with `keys/account.nk`.",
    "",
    "## Within a site",
    "",
    "`{inbox}` is the user's own, `_INBOX.` and its public key: no other user may hear its answers.",
    "",
    ...Object.entries(permissions).flatMap(([actor, of]) => section(actor, of, columns)),
    "## At the supernode",
    "",
    "`orrery site init NAME --supernode` makes these, and `admin` and `system` as at a site.",
    "",
    "| credentials | for | may do what these may |",
    "| --- | --- | --- |",
    ...supernodeUsers.map(
      ([name, { for: whom, actors }]) => `| \`${name}\` | ${whom} | ${actors.join(", ")} |`,
    ),
    "",
    ...Object.entries(supernodePermissions).flatMap(([actor, of]) =>
      section(`${actor}, at the supernode`, of, columns),
    ),
    "## Between a site and the supernode",
    "",
    "As the supernode's servers enforce it, whatever the site's server is told to send. `{site}` is the site's name.",
    "",
    ...section("leaf", leafPermissions, ["site → supernode", "supernode → site"]),
    "A site that has joined with `--files-of` has this besides, once for each site that it named: `{of}`. Which files it is sent the supernode's consumer says, which no site can make or change ([why so](decisions/files-of-other-sites.md)).",
    "",
    ...section("leaf, other sites' files", leafFilesPermissions, ["site → supernode", "supernode → site"]),
  ].join("\n");
}
