/** What a site that takes other sites' files knows of where each file lies: from records to places, and what is to be said of them. */
import type { Fact } from "../jobs/fact.ts";
import type { IndexedFile } from "../jobs/indexed.ts";
import { indexedFile } from "../jobs/indexed.ts";
import type { ContentTag, Place, StandingFile, Taken } from "../jobs/places.ts";
import { Places } from "../jobs/places.ts";
import type { FileBody, LedgerRecord } from "../protocol/records.ts";
import type { RunInput } from "../protocol/runs.ts";

const tagOf = ({ etag, body }: Pick<LedgerRecord<FileBody>, "etag" | "body">): ContentTag => ({
  etag,
  digest: body.dataset?.digest ?? null,
  size: body.size,
});

/** Of a known file of a mission. @param site null: this one */
export function placeOf(
  site: string | null,
  record: string,
  of: LedgerRecord<FileBody>,
  file: IndexedFile,
): Place {
  const { bucket, key, uri } = of.body;
  return { site, record, bucket, key, uri, file, ...tagOf(of) };
}

/** Null for a record that is no known file of a mission. */
export function placeOfRecord(
  site: string | null,
  key: string,
  record: LedgerRecord<FileBody>,
): Place | null {
  const file = record.state === "known" ? indexedFile(record.body, record.etag) : null;
  return file === null ? null : placeOf(site, key, record, file);
}

const placeWords = ({ site, etag, size }: Place): string =>
  `${site === null ? "this site" : `site ${site}`} has ${etag}${size === null ? "" : ` of ${size} bytes`}`;

export class FilePlaces {
  readonly #places = new Places();
  /** By name: which sites' other content was told. */
  readonly #told = new Map<string, string>();

  put(place: Place): void {
    this.#places.put(place);
  }

  drop(name: string, site: string | null): boolean {
    return this.#places.drop(name, site);
  }

  /** @returns whether the file stands under another tag since */
  took({ name, etag, site, size, digest }: RunInput): boolean {
    if (name === undefined) return false;
    const before = this.#places.standing(name)?.file.content;
    const taken: Taken = { etag, site: site ?? null, size: size ?? null, digest: digest ?? null };
    this.#places.took(name, taken);
    return before !== undefined && this.#places.standing(name)?.file.content !== before;
  }

  standing(name: string): StandingFile | null {
    return this.#places.standing(name);
  }

  /** The file as it stands now. */
  factOf(name: string): Fact {
    const standing = this.#places.standing(name);
    return standing === null ? { type: "withdrawn", name } : { type: "file", file: standing.file };
  }

  /** A text where the sites that have other content under the name are others than were told before. */
  conflictOf(name: string): string | null {
    const standing = this.#places.standing(name);
    const [chosen] = standing?.places ?? [];
    const words = (standing?.others ?? []).map(placeWords).join(", ");
    if (words === "" || chosen === undefined) {
      this.#told.delete(name);
      return null;
    }
    if (this.#told.get(name) === words) return null;
    this.#told.set(name, words);
    return `${name} has different content at two sites: ${placeWords(chosen)}, which is taken; ${words}`;
  }
}
