/** Who is told of what the lanes take in: webhooks and visits, both by exposure. */
import type { Finding } from "../document.ts";
import { didYouMean } from "../nearMiss.ts";
import type { Path } from "../SiteFileError.ts";
import type { SiteFile } from "../SiteSchema.ts";

export function receiverRules(file: SiteFile): ReadonlyArray<Finding> {
  return [
    ...Object.entries(file.webhooks).flatMap(([name, webhook]) => [
      ...laneRules(file, webhook.lanes, ["webhooks", name, "lanes"], "there is nothing to tell"),
      ...(webhook.backoffBase <= webhook.backoffMax
        ? []
        : [
            {
              path: ["webhooks", name, "backoffBase"],
              message: "is longer than backoffMax",
              fix: "make backoffMax at least as long",
            },
          ]),
    ]),
    ...(file.visits === null
      ? []
      : laneRules(file, file.visits.lanes, ["visits", "lanes"], "there is nothing that makes a visit")),
  ];
}

function laneRules(
  { lanes }: SiteFile,
  named: ReadonlyArray<string>,
  path: Path,
  nothing: string,
): ReadonlyArray<Finding> {
  const known = Object.keys(lanes).filter((name) => lanes[name]?.kind === "exposure");
  if (named.length === 0) {
    return known.length > 0
      ? []
      : [
          {
            path,
            value: null,
            message: `no lane of kind exposure: ${nothing}`,
            fix: "add one, or remove the section",
          },
        ];
  }
  return named.flatMap((name, index): ReadonlyArray<Finding> => {
    const at = [...path, index];
    if (named.indexOf(name) < index) {
      return [{ path: at, message: "is named twice", fix: "remove one of the two" }];
    }
    if (known.includes(name)) return [];
    return [
      {
        path: at,
        message: Object.hasOwn(lanes, name)
          ? "is a lane of kind object: its files belong to no exposure"
          : `no lane of this name${didYouMean(name, known)}`,
        fix: known.length === 0 ? "add a lane of kind exposure" : `use one of ${known.join(", ")}`,
      },
    ];
  });
}
