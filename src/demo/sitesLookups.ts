/** Presence of every file of every site, asked at one place: how many are there, and how many of these at another site. */
import type { NatsService } from "../jetstream/Nats.ts";
import { requestDeadlineMs } from "../limits.ts";
import { presenceKey, presenceRequestSubject } from "../protocol/keys.ts";

/** One file's group, by its key: `<instrument>.<group>.<snap>.<detector>`. */
export type Group = string;

export interface Asked {
  /** Present there itself. */
  readonly own: number;
  /** Present at another site; at the supernode all are. */
  readonly elsewhere: number;
  /** Absent, or not answered: to be asked again. */
  readonly missing: ReadonlyArray<Group>;
}

const inFlightMax = 400;

export const instrument = "Camera";
const detectorsEach = 20;

export interface NamedFile {
  readonly key: string;
  readonly group: Group;
}

/** A file's name at a site. One exposure in ten has the same name at all of them, as what is copied from site to site has. */
export function fileOf(site: string, nth: number): NamedFile {
  const exposure = Math.floor(nth / detectorsEach);
  const group = `${exposure % 10 === 0 ? "all" : site}-${exposure}`;
  const place = nth % detectorsEach;
  const detector = `R${String(10 + Math.floor(place / 9))}_S${Math.floor((place % 9) / 3)}${place % 3}`;
  return {
    key: `${instrument}/20251121/${group}/${detector}.fits`,
    group: presenceKey(instrument, group, 0, detector),
  };
}

/** What a lane must say to read groups from {@link fileOf}'s names. */
export const fileLane = `kind: exposure, buckets: [incoming], metadata: key, pattern: '^(?<instrument>\\w+)/(?<day>\\d{8})/(?<exposure>(?<group>[^/]+))/(?<detector>R\\d\\d_S\\d\\d)'`;

/** Asks for each, a bounded number at once. */
export async function askFor(nats: NatsService, groups: ReadonlyArray<Group>): Promise<Asked> {
  const missing: Array<Group> = [];
  let own = 0;
  let elsewhere = 0;
  let next = 0;
  const asker = async (): Promise<void> => {
    for (let group = groups[next++]; group !== undefined; group = groups[next++]) {
      const text = await nats.ask(`${presenceRequestSubject}.${group}`, "", requestDeadlineMs).then(
        (answer) => answer.string(),
        // Counted as missing, and so asked again.
        () => "{}",
      );
      const { present, site } = JSON.parse(text) as { readonly present?: boolean; readonly site?: string };
      if (present !== true) missing.push(group);
      else if (site === undefined) own++;
      else elsewhere++;
    }
  };
  await Promise.all(Array.from({ length: inFlightMax }, asker));
  return { own, elsewhere, missing };
}
