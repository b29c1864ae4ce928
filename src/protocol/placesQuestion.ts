/** `orrery.jobs.places`, of `{name}`: where a mission's file lies, at the site that is asked and at those whose files are inputs there. */

export interface PlaceTold {
  /** Null: the site that was asked. */
  readonly site: string | null;
  readonly bucket: string;
  readonly key: string;
  readonly uri: string;
  /** As its store gives it. */
  readonly etag: string;
  /** Bytes; null where nobody said. */
  readonly size: number | null;
}

export interface PlacesAnswer {
  readonly name: string;
  /** Tag of its content, by which runs take it; null where nobody has it. */
  readonly content: string | null;
  /** The first is the one from which runs read it. */
  readonly places: ReadonlyArray<PlaceTold>;
  /** Sites that have other content under its name: it is no input. */
  readonly others: ReadonlyArray<PlaceTold>;
}
