/** Where a file lies: at a site whose jobs are made of other sites' files it may be at several. */
import * as Effect from "effect/Effect";
import type { PlacesAnswer, PlaceTold } from "../protocol/placesQuestion.ts";
import { fileName } from "../protocol/route.ts";
import type { IoService } from "./Io.ts";
import { tell } from "./Io.ts";
import { askJobs } from "./mission.ts";
import type { Field } from "./recordView.ts";
import type { SiteLink } from "./site.ts";
import type { Story } from "./story.ts";
import { bytes } from "./words.ts";

/**
 * Null at a site that takes no other site's files, for what is no file of its mission, and where nobody answers: then that is told, and
 * what the ledger says can be shown all the same.
 */
export const placesOf = (
  io: IoService,
  link: SiteLink,
  written: string,
): Effect.Effect<PlacesAnswer | null> => {
  const { filesOf, catalogue } = link.site;
  const name = fileName(written);
  return filesOf === null || catalogue?.recogniser.recognise(name).ok !== true
    ? Effect.succeed(null)
    : askJobs<PlacesAnswer>(link, "places", { name }).pipe(
        Effect.catch(({ message }) =>
          Effect.sync(() => {
            tell(io, `whether other sites have it is not known: ${message}`);
            return null;
          }),
        ),
      );
};

/** As JSON has it, beside a record. */
export const placesIn = (told: PlacesAnswer | null): Partial<Pick<PlacesAnswer, "places" | "others">> =>
  told === null ? {} : { places: told.places, others: told.others };

export const siteWords = ({ site }: Pick<PlaceTold, "site">): string =>
  site === null ? "here" : `site ${site}`;

const placeWords = (place: PlaceTold): string =>
  `${siteWords(place)}: ${place.bucket}/${place.key}, etag ${place.etag}${place.size === null ? "" : `, ${bytes(place.size)}`}`;

export const placeFields = ({ places, others }: PlacesAnswer): ReadonlyArray<Field> => [
  ...places.map((place): Field => ["place", placeWords(place)]),
  ...others.map((place): Field => ["other content", `${placeWords(place)}; it is no input here`]),
];

/** Of a file that this site has no record of, and another has. */
export function elsewhereStory(told: PlacesAnswer): Story {
  const sites = told.places.map(siteWords).join(" and ");
  return {
    name: told.name,
    key: "no record here",
    summary: `known at ${sites}`,
    standing: "known",
    events: [],
    facts: placeFields(told),
    now: `It is known at ${sites}, and an input of jobs here.`,
    next: "Runs that take it read it there. A copy that comes in here is the same file: it makes nothing stale.",
    commands: [],
  };
}
