/** `places`: where a file lies, here and at the sites whose files are inputs here. */
import * as Schema from "effect/Schema";
import type { Place } from "../jobs/places.ts";
import type { PlacesAnswer, PlaceTold } from "../protocol/placesQuestion.ts";
import type { Known } from "./answering.ts";
import { BadQuestion } from "./BadQuestion.ts";

const isNamed = Schema.is(Schema.Struct({ name: Schema.String }));

export const placeTold = ({ site, bucket, key, uri, etag, size }: Place): PlaceTold => ({
  site,
  bucket,
  key,
  uri,
  etag,
  size,
});

export function placesAnswer({ facts }: Known, said: unknown): PlacesAnswer {
  if (!isNamed(said)) throw new BadQuestion("it needs name");
  const standing = facts.placesOf(said.name);
  return {
    name: said.name,
    content: standing?.file.content ?? null,
    places: (standing?.places ?? []).map(placeTold),
    others: (standing?.others ?? []).map(placeTold),
  };
}
