/**
 * What passes besides between the supernode and a site that takes another site's files. The site may have its own consumer begin
 * anew and tell it how far it has come, and nothing else: which files it is sent stands in that consumer, which only the supernode's
 * people can make. A site that could make consumers there could have what they deliver sent to any subject of the supernode.
 */
import { filesOfConsumer, filesOfDelivery, filesOfStream } from "../protocol/filesOf.ts";
import type { Permission, Subjects } from "./permissions.ts";

/** `{site}` takes files of `{of}`; `{hub}` is the supernode. */
export const leafFilesPermissions: ReadonlyArray<Permission> = [
  {
    may: "be sent the files of another site, as far as the supernode's people let it",
    publish: [
      `$JS.{hub}.API.CONSUMER.RESET.${filesOfStream}.${filesOfConsumer("{site}", "{of}")}`,
      `$JS.FC.${filesOfStream}.${filesOfConsumer("{site}", "{of}")}.>`,
    ],
    subscribe: [
      filesOfDelivery("{site}", "{of}"),
      `$JSC.R.{hub}.*.${filesOfStream}.${filesOfConsumer("{site}", "{of}")}.>`,
    ],
  },
];

export function leafFilesSubjects(site: string, hub: string, filesOf: ReadonlyArray<string>): Subjects {
  const all = (pick: (permission: Permission) => ReadonlyArray<string>): ReadonlyArray<string> =>
    filesOf.flatMap((of) =>
      leafFilesPermissions
        .flatMap(pick)
        .map((subject) => subject.replace("{hub}", hub).replace("{site}", site).replace("{of}", of)),
    );
  return {
    publish: all(({ publish = [] }) => publish),
    subscribe: all(({ subscribe = [] }) => subscribe),
  };
}
